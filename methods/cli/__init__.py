"""Commands for all methods."""
