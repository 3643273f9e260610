"""MongoDB: one database or all, as an archive."""

from __future__ import annotations

from backstay.api.dumps import Mongodb
from backstay.dumps.base import Words, option


def words(spec: Mongodb) -> Words:
    """Given a spec, return the arguments of scripts/mongodb.sh; no database means all."""
    return (
        *option("database", spec.database),
        *option("auth", spec.authentication_database),
    )
