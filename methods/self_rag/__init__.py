"""Self-RAG and the same decisions asked of any model."""
