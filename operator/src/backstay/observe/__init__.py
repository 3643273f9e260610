"""Metrics and log binding. No I/O, importable everywhere."""
