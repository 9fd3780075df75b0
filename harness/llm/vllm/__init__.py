"""vLLM in this process: its offline engine behind the harness's contract."""
