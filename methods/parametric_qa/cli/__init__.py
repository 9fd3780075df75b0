"""Commands that Parametric QA brings."""
