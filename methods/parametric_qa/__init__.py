"""Parametric QA: each document becomes a small learned memory that the model reads."""
