"""Memories on disk: the bank, and how its numbers are stored."""
