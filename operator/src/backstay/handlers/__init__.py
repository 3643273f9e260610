"""Kopf registrations: they only enqueue."""
