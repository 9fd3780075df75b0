"""Formats that people's data come in: read as passages and questions, written as a task folder."""

FORMATS: dict[str, str] = {}
"""Format -> ``module:Class``, a subclass of ``harness.formats.base.Format``; imported when used."""
