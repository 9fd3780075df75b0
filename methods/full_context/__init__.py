"""Full context: the whole pool, as far as it fits, stands before every question."""
