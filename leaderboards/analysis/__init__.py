"""Analysis of runs: why answers are wrong, what storage buys, how methods scale."""
