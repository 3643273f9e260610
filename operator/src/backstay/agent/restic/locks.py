"""The locks of a repository: who holds it, for the operator to judge whether they are alive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from backstay.agent.restic.engine import NO_LOCK, Restic

_SECONDS: Final = 120.0
_MOST: Final = 32
"""Locks that are read: each takes restic a start. Of more, the rest is known by its id alone."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock. Of one that was not read, only the id is known."""

    id: str
    host: str | None = None
    pid: int | None = None
    exclusive: bool | None = None
    time: str | None = None
    """When it was last refreshed, by its holder's clock (RFC 3339)."""

    def to_json(self) -> dict[str, Any]:
        """Return it as answers have it."""
        return {key: getattr(self, key) for key in self.__slots__}


def read_locks(restic: Restic) -> list[Lock]:
    """Given restic, return the locks of its repository by id. One that is released meanwhile is
    left out. Raise RepositoryError if they cannot be listed.
    """
    ids = lock_ids(restic)
    found = [_read(restic, one) if at < _MOST else Lock(one) for at, one in enumerate(ids)]
    if all(lock.host is not None for lock in found):
        return found
    still = set(lock_ids(restic))
    return [lock for lock in found if lock.id in still]


def lock_ids(restic: Restic) -> list[str]:
    """Given restic, return the ids of all locks, sorted. Raise RepositoryError if they cannot be
    listed.
    """
    done = restic.run(NO_LOCK, "list", "locks", seconds=_SECONDS).check("listing the locks")
    return sorted(done.output.decode().split())


def _read(restic: Restic, lock: str) -> Lock:
    """A lock as it says itself, or by its id alone where it cannot be read."""
    done = restic.run(NO_LOCK, "cat", "lock", lock, seconds=_SECONDS)
    try:
        found = json.loads(done.output)
        return Lock(
            id=lock,
            host=str(found["hostname"]),
            pid=int(found["pid"]),
            exclusive=bool(found["exclusive"]),
            time=str(found["time"]),
        )
    except (ValueError, KeyError, TypeError):
        return Lock(lock)
