"""The verb repository-open: is the repository there, and can it be used? It alone makes one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from backstay.agent.restic.engine import NO_LOCK, Restic
from backstay.agent.restic.locks import read_locks
from backstay.agent.restic.opening import opened
from backstay.agent.restic.repository import Repository
from backstay.agent.restic.snapshots import read_snapshots
from backstay.agent.results import answer
from backstay.agent.tasks import Fields

_SIZE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class OpenTask:
    """What `repository-open` is asked for."""

    repository: Repository
    initialise: bool

    @classmethod
    def read(cls, task: Fields) -> OpenTask:
        return cls(Repository.read(task), task.flag("initialise"))


def repository_open(task: OpenTask) -> dict[str, Any]:
    """Given a repository, return what it is. Raise RepositoryError if it cannot be used."""
    with opened(task.repository, initialise=task.initialise) as found:
        listed = read_snapshots(found.restic)
        verb = "Initialised" if found.is_new else "Opened"
        return answer(
            verb,
            f"the repository {found.id[:8]} has {len(listed.snapshots)} snapshots",
            id=found.id,
            format=found.format,
            restic=found.version,
            snapshots=len(listed.snapshots),
            damaged=list(listed.damaged),
            bytes=_size(found.restic),
            locks=[lock.to_json() for lock in read_locks(found.restic)],
            ignored=list(found.ignored),
        )


def _size(restic: Restic) -> int | None:
    """Bytes that the repository's data takes, None where that is not known in time: it is nice to
    know, and nothing rests on it.
    """
    words = (NO_LOCK, "stats", "--mode", "raw-data")
    done = restic.run(*words, seconds=_SIZE_SECONDS)
    if done.code != 0 or done.late:
        return None
    try:
        found = json.loads(done.output)["total_size"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None
