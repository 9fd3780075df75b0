"""ROME and MEMIT: facts that changed are written into the weights of a few MLPs."""
