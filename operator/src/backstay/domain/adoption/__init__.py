"""Snapshots of another tool become points of a policy."""
