"""lm-evaluation-harness: methods as its models, tasks as its tasks, its own command line."""
