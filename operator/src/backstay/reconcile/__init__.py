"""One module per kind: gather, plan, apply."""
