"""The snapshots of a repository, all of them or none.

Invariants: restic leaves out a snapshot that it cannot read, or all where it cannot list them, and
still ends with 0. What it complains of is how that is known: each snapshot is either listed, or
named as damaged, and else there is no list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from backstay.agent.restic.engine import NO_LOCK, Restic
from backstay.agent.restic.said import KEPT
from backstay.domain.errors import DataError
from backstay.domain.stores.repository.exits import FAILED, judge
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.listing import Snapshot, from_restic
from backstay.domain.stores.repository.reasons import Reason

_SECONDS: Final = 900.0
_COMPLAINTS: Final = ("Ignoring ", "could not load snapshots")
_DAMAGED: Final = re.compile(r'Ignoring "([0-9a-f]{64})": ', re.ASCII)
_TRIES: Final = 3
"""One that is forgotten while all are read cannot be read either, but only once."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The snapshots of a repository."""

    snapshots: tuple[Snapshot, ...]
    damaged: tuple[str, ...] = ()
    """Ids of those that are there and cannot be read, so that nobody knows of what they are."""


def read_snapshots(restic: Restic, *tags: str) -> Listed:
    """Given restic and tags, return the snapshots that have all of those, by time. Raise
    RepositoryError if they cannot be listed whole.
    """
    # Commas are what restic takes for "and"; no tag of ours has one.
    words = ("--tag", ",".join(tags)) if tags else ()
    for _ in range(_TRIES):
        done = restic.run(NO_LOCK, "snapshots", *words, seconds=_SECONDS)
        done.check("listing the snapshots")
        complaints = [line for line in done.said if line.startswith(_COMPLAINTS)]
        if not complaints:
            break
    if len(done.said) >= KEPT:
        raise RepositoryError(Reason.DAMAGED, "too many snapshots cannot be read to name them")
    damaged = tuple(_damaged(complaints, done.cache))
    found = sorted(map(from_restic, _array(done.output)), key=lambda one: (one.time, one.id))
    return Listed(tuple(found), damaged)


def _damaged(complaints: Sequence[str], cache: str) -> Iterator[str]:
    for line in complaints:
        found = _DAMAGED.match(line)
        verdict = judge(FAILED, [line], cache=cache)
        # Whom the server refuses, or does not answer, knows nothing of what is there.
        if found is None or verdict.reason not in {Reason.FAILED, Reason.DAMAGED}:
            reason = verdict.reason
            raise RepositoryError(reason, f"the snapshots cannot be listed: {line[:600]}")
        yield found[1]


def _array(output: bytes) -> list[object]:
    try:
        found = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise DataError(f"restic lists snapshots in no JSON: {error}") from error
    # With no snapshot at all, older ones say null.
    if found is None:
        return []
    if not isinstance(found, list):
        raise DataError("restic lists snapshots in no array")
    return found
