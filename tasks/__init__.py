"""Tasks: each a folder with a ``task.yaml`` and a sample, found by path; nothing here is code."""
