"""From what the agent answers to the point that a Backup shows.

Invariant: an answer is read with caution, as whoever may write the status of Pods can write one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from backstay.api.point import PointResult, PointStatus
from backstay.api.repository import RepositorySpec
from backstay.api.repository_store import PlannedRepository, StoredSource, StoredStatus
from backstay.api.store import REPOSITORY
from backstay.domain.errors import DataError
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.status import short
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.remedies import remedy
from backstay.domain.times import parse_time

SHORT_ID: Final = 8
"""Characters by which restic and people name a snapshot."""
_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an upload was asked for."""

    source: str
    repository: str
    id: str | None
    """Of the repository; None: whichever it is."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def stored_point(result: AgentResult, asked: Asked) -> PointStatus | None:
    """Given the result of an upload and what was asked for, return the good point that a Backup
    shows; None if there is none.

    Raise DataError if what was stored cannot be understood.
    """
    if not result.ok:
        return None
    id, data, record, tree = (_id(result, key) for key in ("id", "data", "record", "tree"))
    if asked.id not in (None, id):
        raise DataError(f"id: the point is in another repository ({id[:SHORT_ID]})")
    try:
        return PointStatus(
            source=asked.source,
            store=REPOSITORY,
            ref=data[:SHORT_ID],
            attempt=1,
            result=PointResult.GOOD,
            taken_at=parse_time(str(result.raw.get("time", ""))),
            bytes=result.number("bytes"),
            message=_lacks(result, result.number("unreadable") or 0),
            stored=_stored(result, asked, id=id, data=data, record=record, tree=tree),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"snapshot {data[:SHORT_ID]}: {where}: {first['msg']}") from error


def _stored(
    result: AgentResult, asked: Asked, *, id: str, data: str, record: str, tree: str
) -> StoredStatus:
    """Raise ValidationError if something of it is not as it should be."""
    return StoredStatus(
        repository=asked.repository,
        id=id,
        data=data,
        record=record,
        tree=tree,
        source=StoredSource.model_validate(result.raw.get("source") or {}),
        labels=dict(asked.labels),
        annotations=dict(asked.annotations),
        files=result.number("files"),
        new_bytes=result.number("added"),
        seconds=result.number("seconds"),
        unreadable=result.number("unreadable") or 0,
    )


def failure(result: AgentResult, planned: PlannedRepository, spec: RepositorySpec | None) -> str:
    """Given what a Job could not do, what it was planned as, and its repository as it is said to be
    (None: nobody knows), return that in words, its reason first, and what can be done about it.
    """
    said = f"{result.reason}: {result.message.rstrip('. ')}"
    cure = remedy(result.reason, spec, planned.id or "") if spec is not None else ""
    return f"{said}; BackupRepository {planned.settings.name}: {cure}" if cure else said


def last_good(runs: Sequence[Run], source: str, id: str | None) -> PointStatus | None:
    """Given the Backups of a policy, a source and the ID of a repository, return the newest good
    point of it there, as Backups show it; None: there is none.
    """
    good = [
        (p.taken_at, p)
        for run in runs
        for p in run.status.points
        if (p.source, p.store, p.result) == (source, REPOSITORY, PointResult.GOOD)
        if p.stored is not None and p.stored.id == id and not p.missing and not p.gone
        if p.taken_at is not None
    ]
    return max(good, key=lambda one: one[0])[1] if good else None


def _id(result: AgentResult, key: str) -> str:
    found = result.raw.get(key)
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise DataError(f"{key}: expected the ID of a restic snapshot, 64 hexadecimal digits")
    return found


def _lacks(result: AgentResult, unreadable: int) -> str | None:
    """What a point that is good has not of its source."""
    if not unreadable:
        return None
    found = result.raw.get("examples")
    names = [str(name) for name in found] if isinstance(found, list) else []
    more = [*names, "..."] if unreadable > len(names) else names
    return short(f"{unreadable} files could not be read and are missing: {', '.join(more)}")
