"""Faults of the machine, at every place where a command changes a file."""
