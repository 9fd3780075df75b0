"""Writing: from a passage's text to its code."""
