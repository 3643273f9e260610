"""SQLite: a copy of a database, itself a database."""

from __future__ import annotations

from backstay.api.dumps import Sqlite
from backstay.dumps.base import Words


def words(spec: Sqlite) -> Words:
    """Given a spec, return the arguments of scripts/sqlite.sh."""
    return (f"database={spec.database}",)
