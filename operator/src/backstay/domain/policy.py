"""The plan of a policy: is it valid, which slot runs now, what does its status say.

Invariants: at most one scheduled run of a policy is unfinished; `lastSlot` moves only over slots
that have their Backup or can have none any more; a suspended policy runs nothing, and slots that
passed while it was suspended are never caught up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed, with_condition
from backstay.api.policy import PolicySpec, PolicyStatus, SeriesStatus
from backstay.domain.carriers import rules_of
from backstay.domain.density import density_warning
from backstay.domain.errors import UserError
from backstay.domain.schedule import Due, Schedule, due

OVERLAP_POLL: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=1)
"""A clock that is set while we wait must not cost more than this."""


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A Backup of the policy."""

    name: str
    slot: datetime | None
    finished: bool
    started: datetime | None


@dataclass(frozen=True, slots=True)
class GoodPoint:
    """A good point of the policy."""

    claim: str
    taken: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one policy rests on."""

    now: datetime
    created: datetime
    generation: int
    status: PolicyStatus
    spec: PolicySpec | None
    problem: UserError | None
    """Why the policy cannot be run as it stands."""
    runs: Sequence[RunSeen] = ()
    slots: Sequence[datetime] = ()
    """Slots of the schedule that the records on artifacts name."""
    points: Sequence[GoodPoint] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, the slot to create a Backup for first, and when to look again."""

    status: PolicyStatus
    slot: datetime | None = None
    after: timedelta | None = None


def decide(seen: Seen) -> Decision:
    """Given what was seen of a policy, return what to do next. Never raises."""
    status = _describe(seen)
    schedule, problem = _schedule(seen)
    problem = seen.problem or problem
    status = changed(
        status,
        conditions=with_condition(
            status.conditions,
            type="Ready",
            ok=problem is None,
            reason=problem.reason if problem else "Valid",
            message=problem.message if problem else _valid(seen.spec, schedule),
            generation=seen.generation,
            now=seen.now,
        ),
        observed_generation=seen.generation,
    )
    if seen.spec is None:
        return Decision(changed(status, next_run=None))
    # Before the schedule: one that cannot be read today may be mended while suspended.
    if seen.spec.suspend:
        return Decision(changed(status, suspended=True, next_run=None))
    if status.suspended:
        status = changed(status, suspended=False, resumed_at=seen.now)
    if schedule is None:
        return Decision(changed(status, next_run=None))
    wanted = _due(seen, status, schedule)
    status = changed(status, next_run=_local(wanted.next_run, schedule))
    if wanted.slot is not None and any(r.slot and not r.finished for r in seen.runs):
        return Decision(status, after=OVERLAP_POLL)
    if wanted.passed is not None:
        status = changed(status, last_slot=wanted.passed)
    wait = max(wanted.next_run - seen.now, timedelta(0))
    return Decision(status, wanted.slot, min(wait, LONGEST_WAIT))


def _schedule(seen: Seen) -> tuple[Schedule | None, UserError | None]:
    wanted = seen.spec.schedule if seen.spec else None
    if wanted is None:
        return None, None
    try:
        return Schedule.parse(wanted.cron, wanted.time_zone), None
    except UserError as error:
        return None, error


def _due(seen: Seen, status: PolicyStatus, schedule: Schedule) -> Due:
    wanted = seen.spec.schedule if seen.spec else None
    deadline = wanted.starting_deadline if wanted else None
    recorded = [r.slot for r in seen.runs if r.slot] + list(seen.slots)
    return due(
        schedule,
        now=seen.now,
        last_slot=status.last_slot,
        created=seen.created,
        resumed=status.resumed_at,
        newest_recorded=max(recorded, default=None),
        starting_deadline=deadline,
    )


def _local(moment: datetime, schedule: Schedule) -> str:
    """A string, not a date: kubectl prints <invalid> for dates in the future."""
    return moment.astimezone(schedule.zone).strftime("%Y-%m-%d %H:%M")


def _valid(spec: PolicySpec | None, schedule: Schedule | None) -> str:
    """What Ready says of a policy that can run, with a warning where there is one."""
    if spec is None:
        return "the policy is valid"
    said = "the policy is valid and suspended" if spec.suspend else "the policy is valid"
    warning = density_warning(schedule, rules_of(spec)) if schedule is not None else None
    return f"{said}, but {warning}" if warning else said


def _describe(seen: Seen) -> PolicyStatus:
    """What exists, derived from the artifacts and records anew each time."""
    newest: dict[str, datetime] = {}
    count: dict[str, int] = {}
    for point in seen.points:
        count[point.claim] = count.get(point.claim, 0) + 1
        newest[point.claim] = max(point.taken, newest.get(point.claim, point.taken))
    series = tuple(
        SeriesStatus(claim=claim, good=count[claim], newest=newest[claim])
        for claim in sorted(count)
    )
    started = [r.started for r in seen.runs if r.started]
    return changed(
        seen.status,
        series=series,
        good=sum(count.values()),
        last_run=max(started, default=seen.status.last_run),
        last_success=max(newest.values(), default=None),
    )
