"""LoRA in weights: one adapter trained on the corpus, which the model then answers from."""
