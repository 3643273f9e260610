"""The verb repository-find: which snapshots a restore is of, and what their records say.

The choice is made here and not by the operator: a repository may have more snapshots than a log
holds, and what is chosen is small.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from backstay.agent.restic.engine import Restic
from backstay.agent.restic.opening import opened
from backstay.agent.restic.repository import Repository
from backstay.agent.restic.roots import root_of
from backstay.agent.restic.snapshots import read_snapshots
from backstay.agent.results import answer
from backstay.agent.tasks import Fields
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.stores.repository.choice import REPOSITORY, Want, choose, contents
from backstay.domain.stores.repository.found import describe
from backstay.domain.times import parse_time


@dataclass(frozen=True, slots=True)
class FindTask:
    """What `repository-find` is asked for."""

    repository: Repository
    wants: tuple[Want, ...]
    words: tuple[str, ...]
    """What a person acknowledged."""

    @classmethod
    def read(cls, task: Fields) -> FindTask:
        wants = tuple(map(_want, task.children("wants")))
        if not wants:
            raise task.fail("wants", "expected at least one")
        return cls(Repository.read(task), wants, task.texts("acknowledge"))


def _want(found: Fields) -> Want:
    return Want(
        namespace=found.text("namespace"),
        claim=found.text("claim"),
        snapshot=found.text("snapshot", ""),
        as_of=parse_time(found.text("asOf")) if found.has("asOf") else None,
        previous=found.number("previous", 0),
        host=found.text("host", ""),
        path=found.text("path", ""),
        field=found.text("field", REPOSITORY),
    )


def repository_find(task: FindTask) -> dict[str, Any]:
    """Given what is wanted, write a line for each; return the answer.

    Raise UserError if one of them is not to be had, RepositoryError if the repository cannot be
    read.
    """
    said = Acknowledged(task.words)
    with opened(task.repository) as found:
        there = contents(read_snapshots(found.restic).snapshots)
        # All before any is written: what cannot be found of one is the answer for all.
        lines = [_line(found.restic, one, choose(there, one, said)) for one in task.wants]
    for line in lines:
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    return answer(
        "Found", f"{len(lines)} found", id=found.id, found=len(lines), acknowledged=said.used
    )


def _line(restic: Restic, want: Want, chosen: Any) -> dict[str, Any]:
    return describe(want, chosen, root_of(restic, chosen.data, want.path))
