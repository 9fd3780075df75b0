"""Memory layer: product keys in the place of one MLP; a corpus changes the values of few slots."""
