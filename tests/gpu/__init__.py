"""What only a GPU can show, as one script (check.py); a CPU goes the same ways with less to see."""
