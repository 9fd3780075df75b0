"""Boards: what a YAML file may name, and the runs it becomes."""
