"""Study: what a model is trained on so that its weights hold passages, and that training."""
