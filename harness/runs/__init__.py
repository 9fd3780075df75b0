"""Runs: from a plan to a scored, measured folder that any kill leaves resumable."""
