"""Meters: hardware, memory, latency."""
