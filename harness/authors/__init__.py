"""What helps authors of methods and tasks: files to start from."""
