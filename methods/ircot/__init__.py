"""IRCoT: retrieval interleaved with chain-of-thought reasoning (Trivedi et al., ACL 2023)."""
