"""Adaptive-RAG: each question takes the cheapest route that fits it (Jeong et al., NAACL 2024)."""
