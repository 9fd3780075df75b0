"""Training of the shared parts, the reader and the selector by a recipe."""
