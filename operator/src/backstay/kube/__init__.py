"""The only I/O to Kubernetes: client, exec, errors, lease, events."""
