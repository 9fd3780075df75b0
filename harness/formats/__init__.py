"""Formats that people's data come in: read as passages and questions, written as a task folder."""

FORMATS: dict[str, str] = {
    "table": "harness.formats.table:Table",
    "texts": "harness.formats.texts:Texts",
}
"""Format -> ``module:Class``, a subclass of ``harness.formats.base.Format``; imported when used."""
