"""PostgreSQL: one database in the custom format, or any number as SQL."""

from __future__ import annotations

from backstay.api.dumps import Postgres
from backstay.dumps.base import Words


def words(spec: Postgres) -> Words:
    """Given a spec, return the arguments of scripts/postgres.sh; no database means all."""
    format, globals = spec.layout()
    return (f"format={format}", f"globals={globals}", "--", *spec.databases)
