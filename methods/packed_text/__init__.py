"""Packed text: what fewer bytes of text, or fewer words of it, are worth to a reader."""
