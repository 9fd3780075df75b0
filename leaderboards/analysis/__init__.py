"""Why answers are wrong, what storage buys, and how methods scale: tables and pictures of runs."""
