"""Models behind an OpenAI-compatible server, and all that may go wrong on the way there."""
