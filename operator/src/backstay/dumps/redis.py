"""Redis and Valkey: the whole server, as an RDB file."""

from __future__ import annotations

from backstay.api.dumps import Redis
from backstay.dumps.base import Words


def words(spec: Redis) -> Words:
    """Given a spec, return the arguments of scripts/redis.sh: it takes what all servers take."""
    del spec
    return ()
