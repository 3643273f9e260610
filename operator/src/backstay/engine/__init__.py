"""Keyed queue and resync. Gets callbacks, imports no kube."""
