"""Pure: actions in, Kubernetes objects (dicts) out."""
