"""Runs in Pods and Jobs beside the data. Knows nothing of Kubernetes."""
