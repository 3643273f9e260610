"""Whether what runs were to copy off the cluster is there in time: the condition OffsiteFresh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed, format_time, with_condition
from backstay.api.policy_status import PolicyStatus
from backstay.api.store import REPOSITORY
from backstay.domain.schedule.policy_seen import RunSeen, Seen

OFFSITE_FRESH: Final = "OffsiteFresh"
_NAMES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class _Late:
    """A source of which a run made no copy in time, nor did a later one."""

    source: str
    run: RunSeen
    newest: datetime | None
    """Of its copies."""

    def __str__(self) -> str:
        has = f"its newest copy is of {format_time(self.newest)}" if self.newest else "it has none"
        return f"{self.source}: {has}, and Backup {self.run.name} made none in time"


def judged(seen: Seen, status: PolicyStatus) -> tuple[PolicyStatus, timedelta | None]:
    """Given what was seen of a policy and a status, return it with what OffsiteFresh says, and
    after what time that may be another thing by time alone (None: never).
    """
    if seen.spec is None:
        return status, None
    wanted = seen.spec.repository
    if wanted is None:
        others = tuple(c for c in status.conditions if c.type != OFFSITE_FRESH)
        return changed(status, conditions=others), None
    newest = _newest(seen)
    late = list(_late(seen, newest, wanted.late_after))
    shown = "; ".join(map(str, late[:_NAMES_MAX])) + ("; ..." if late[_NAMES_MAX:] else "")
    if late:
        ok, reason, message = False, "Late", shown
    elif newest:
        oldest = min(newest.values())
        ok, reason = True, "InTime"
        message = f"the newest copy of each source is of {format_time(oldest)} or later"
    else:
        ok, reason, message = None, "NoneYet", f"no copy is in BackupRepository {wanted.name} yet"
    conditions = with_condition(
        status.conditions,
        type=OFFSITE_FRESH,
        ok=ok,
        reason=reason,
        message=message,
        generation=seen.generation,
        now=seen.now,
    )
    overdue = [r.started + wanted.late_after for r in seen.runs if r.started and r.uploads]
    coming = [at - seen.now for at in overdue if at > seen.now]
    return changed(status, conditions=conditions), min(coming, default=None)


def _newest(seen: Seen) -> dict[str, datetime]:
    """By source: of when the newest copy is."""
    found: dict[str, datetime] = {}
    for point in seen.points:
        if point.store == REPOSITORY:
            found[point.source] = max(point.taken, found.get(point.source, point.taken))
    return found


def _late(seen: Seen, newest: dict[str, datetime], late_after: timedelta) -> Iterator[_Late]:
    """What is late of the sources of the newest run: a claim that went away is not missed."""
    runs = sorted((r.started, r.name, r) for r in seen.runs if r.started and r.uploads)
    sources = runs[-1][2].uploads if runs else ()
    for source in sources:
        over = [r for at, _, r in runs if source in r.uploads and at + late_after <= seen.now]
        has = newest.get(source)
        # An older run needs none any more: a copy of later data stands for its own.
        if over and over[-1].started and (has is None or has < over[-1].started):
            yield _Late(source, over[-1], has)
