"""Points that may come late: when they are tried again, and which run's goes first.

Invariants: the newest data goes first, and stands for what is older; an upload that is under way is
not overtaken, as what it has brought is of use to the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed, format_time
from backstay.api.point import PointResult, PointStatus
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.status import has_data, origin_of, plan_of, short

FIRST_TRY: Final = timedelta(minutes=1)
LONGEST_TRY: Final = timedelta(minutes=30)
"""Between two tries."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a late point can be made now."""

    behind: str = ""
    """In words: what goes first; "" if nothing does."""
    superseded: str = ""
    """In words: what stands for it; "" if nothing does."""


def late_until(status: BackupStatus, source: str, store: str) -> datetime | None:
    """Given a status and one of its points, return until when it may come late; None: the run
    waits for it.
    """
    mine = plan_of(status).point((source, store))
    if mine is None or mine.late_after is None or status.started_at is None:
        return None
    return status.started_at + mine.late_after


def waits_for_late(status: BackupStatus) -> bool:
    """Given a status, return whether the run has nothing left to wait for but points that may come
    late: then it holds nothing, and the next slot does not wait for it.
    """
    waiting = [p.key for p in status.points if p.pending]
    return (
        status.phase is BackupPhase.UPLOADING
        and bool(waiting)
        and all(late_until(status, *key) is not None for key in waiting)
    )


def to_retry(
    status: BackupStatus, entry: PointStatus, why: str, now: datetime
) -> PointStatus | None:
    """Given a run, a point of it that a try did not make, why, and now, return it as it waits for
    its next try; None: it has none.
    """
    over = late_until(status, *entry.key)
    wait = min(FIRST_TRY * (1 << min(entry.tries, 10)), LONGEST_TRY)
    if over is None or now + wait > over:
        return None
    tries, at = entry.tries + 1, now + wait
    said = f"try {tries} failed, the next is at {format_time(at)}: {why}"
    return changed(
        entry,
        requested_at=None,
        job=None,
        progress=None,
        tries=tries,
        retry_at=at,
        message=short(said),
    )


def turn(run: Run, entry: PointStatus, runs: Sequence[Run]) -> Turn:
    """Given a run, a late point of it and the Backups of its policy, return whose turn it is among
    those that have such a point of the same source.
    """
    others = [(r, p) for r in runs if r.uid != run.uid for p in r.status.points]
    same = [(r, p) for r, p in others if p.key == entry.key]
    mine = _taken(run.status, entry)
    newer = [(r, p) for r, p in same if mine is not None and _is_after(_taken(r.status, p), mine)]
    done = [r.name for r, p in newer if p.result is PointResult.GOOD and not (p.missing or p.gone)]
    if done:
        return Turn(superseded=f"Backup {max(done)} is newer and has its copy: there is no use")
    for other, point in same:
        if point.pending and point.requested_at is not None and not other.status.phase.final:
            return Turn(behind=f"the upload of Backup {other.name} is under way")
    for other, point in newer:
        if point.pending and not other.status.phase.final and has_data(other.status, point):
            return Turn(behind=f"Backup {other.name} is newer and goes first")
    return Turn()


def _taken(status: BackupStatus, entry: PointStatus) -> datetime | None:
    """Of what moment the data of a point is, whether it is made yet or not."""
    origin = origin_of(status, *entry.key)
    return entry.taken_at or (origin.taken_at if origin is not None else None)


def _is_after(moment: datetime | None, other: datetime) -> bool:
    return moment is not None and moment > other
