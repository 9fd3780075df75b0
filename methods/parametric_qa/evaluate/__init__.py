"""Evaluations of memories: what can be read out, what training cost, what changes reach."""
