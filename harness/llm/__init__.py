"""Language models: local transformers, OpenAI-compatible servers, any lm-eval model."""
