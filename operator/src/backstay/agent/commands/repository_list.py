"""The verb repository-list: every snapshot of a repository, ours or not."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from backstay.agent.restic.locks import read_locks
from backstay.agent.restic.opening import opened
from backstay.agent.restic.repository import Repository
from backstay.agent.restic.snapshots import Listed, read_snapshots
from backstay.agent.results import answer
from backstay.agent.tasks import Fields
from backstay.domain.stores.repository.listing import to_line


@dataclass(frozen=True, slots=True)
class ListTask:
    """What `repository-list` is asked for."""

    repository: Repository

    @classmethod
    def read(cls, task: Fields) -> ListTask:
        return cls(Repository.read(task))


def repository_list(task: ListTask) -> dict[str, Any]:
    """Given a repository, write a line for each snapshot; return the answer, whose number says
    whether all lines have arrived. Raise RepositoryError if it cannot be listed whole.
    """
    with opened(task.repository) as found:
        listed = read_snapshots(found.restic)
        locks = read_locks(found.restic)
    for snapshot in listed.snapshots:
        sys.stdout.write(to_line(snapshot) + "\n")
    return answer(
        "Listed",
        f"{len(listed.snapshots)} snapshots{_worse(listed)}",
        id=found.id,
        snapshots=len(listed.snapshots),
        damaged=list(listed.damaged),
        locks=[lock.to_json() for lock in locks],
    )


def _worse(listed: Listed) -> str:
    return f", {len(listed.damaged)} more that cannot be read" if listed.damaged else ""
