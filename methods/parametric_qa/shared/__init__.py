"""Shared parts: what all memories have in common, trained or made from the model."""
