"""Parametric QA, joint: the codes of a pool are trained together with the model that reads them."""
