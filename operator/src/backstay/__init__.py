"""Backstay: Kubernetes backups that prove themselves."""
