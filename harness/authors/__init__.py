"""What helps authors of methods and tasks: files to start from, and what a name to check means."""
