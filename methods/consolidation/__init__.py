"""Memory consolidation: what is read most often of Parametric QA's memories moves into weights."""
