"""Graph PPR: passages found by a walk over the names that they share."""
