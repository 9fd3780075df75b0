"""CoRAG: chains of sub-queries and sub-answers, read together with the question's passages."""
