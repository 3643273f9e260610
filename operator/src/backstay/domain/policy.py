"""The plan of a policy: is it valid, which slot runs now, what does its status say.

Invariants: at most one scheduled run of a policy is unfinished; `lastSlot` moves only over slots
that have their Backup or can have none any more, and `missed` with it; a suspended policy runs
nothing; slots that passed while it was suspended, or before its schedule was changed, are never
caught up; while our clock is off, no slot starts and none is counted; a slot of the far future,
as a clock that was ahead has left it, stops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed, format_time, with_condition
from backstay.api.policy import SHOWN_MAX, PolicySpec, PolicyStatus, SeriesStatus
from backstay.api.schedule import MissedSlots
from backstay.domain.brakes import CLOCK_SKEW
from backstay.domain.carriers import rules_of
from backstay.domain.density import density_warning
from backstay.domain.due import Due, Known, continues, due, with_missed
from backstay.domain.errors import UserError
from backstay.domain.timing import Timing, jitter_warning

OVERLAP_POLL: Final = timedelta(minutes=1)
"""The end of a run wakes its policy; this is for an end that nobody saw."""
CLOCK_POLL: Final = timedelta(minutes=1)
"""Nothing wakes us when a clock is set right."""
FAR: Final = timedelta(days=1)
"""A slot later than this from now was named by a clock that was ahead: no slot starts early."""
PROBLEM_POLLS: Final = timedelta(seconds=5), timedelta(minutes=1)
"""The shortest and the longest time between two looks at a policy that cannot run as things are in
the cluster: nothing wakes us when a claim, a Role or a Secret is made."""
LONGEST_WAIT: Final = timedelta(hours=1)
"""A clock that is set while we wait must not cost more than this."""


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A Backup of the policy."""

    name: str
    slot: datetime | None
    finished: bool
    started: datetime | None
    complete: bool
    """Whether every claim and directory of it got its good point."""


@dataclass(frozen=True, slots=True)
class GoodPoint:
    """A good point of the policy."""

    claim: str
    taken: datetime
    run: str
    """Name of its Backup, whether or not that is still there."""


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
    namespace: str = ""
    name: str = ""
    edited: datetime | None = None
    """No edit of the spec is younger, by the API server's word; None if it says nothing."""
    clock: str = ""
    """In words, how our clock is off the API server's; "" if it is not."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, the slot to create a Backup for first, and when to look again."""

    status: PolicyStatus
    slot: datetime | None = None
    after: timedelta | None = None
    missed: tuple[MissedSlots, ...] = ()
    """What this status counts and the one before did not."""
    news: tuple[MissedSlots, ...] = ()
    """Those of `missed` that begin an entry of status.missed: people are to be told."""
    ignored: datetime | None = None
    """A lastSlot of the far future, which this status takes back: people are to be told."""


def decide(seen: Seen) -> Decision:
    """Given what was seen of a policy, return what to do next. Never raises."""
    status = _describe(seen)
    timing, problem = _timing(seen)
    if seen.spec is not None and not seen.clock:
        status = _begin(seen, _taken_back(seen, status), timing)
    wanted = None
    if seen.clock:
        if timing is not None and seen.spec is not None and not seen.spec.suspend:
            problem = _held(seen.clock)
    elif timing is not None and not status.suspended:
        wanted = _due(seen, status, timing)
        if wanted.next_run is None:
            problem = problem or _never(timing)
    problem = seen.problem or problem
    status = changed(
        status,
        conditions=with_condition(
            status.conditions,
            type="Ready",
            ok=problem is None,
            reason=problem.reason if problem else "Valid",
            message=problem.message if problem else _valid(seen, timing, wanted),
            generation=seen.generation,
            now=seen.now,
        ),
        observed_generation=seen.generation,
        next_run=None,
    )
    decision = Decision(status, after=CLOCK_POLL if seen.clock else None)
    if timing is not None and wanted is not None:
        decision = _carry_out(seen, status, timing, wanted)
    if seen.problem is not None and seen.spec is not None:
        decision = replace(decision, after=_soon(status, seen.now, decision.after))
    if seen.status.last_slot is not None and status.last_slot != seen.status.last_slot:
        return replace(decision, ignored=seen.status.last_slot)
    return decision


def _soon(status: PolicyStatus, now: datetime, after: timedelta | None) -> timedelta:
    """When to look again at what may be mended at any time: often, where it is not so for long."""
    ready = next(c for c in status.conditions if c.type == "Ready")
    shortest, longest = PROBLEM_POLLS
    wait = max(shortest, min((now - ready.last_transition_time) / 4, longest))
    return wait if after is None else min(after, wait)


def _taken_back(seen: Seen, status: PolicyStatus) -> PolicyStatus:
    """The status without a lastSlot of the far future, and what was counted up to it: what has a
    record is known, and what came after the newest of these is counted anew.
    """
    if status.last_slot is None or not _is_far(status.last_slot, seen.now):
        return status
    known = (slot for slot in _recorded(seen) if slot <= seen.now)
    missed = tuple(m for m in status.missed if not _is_far(m.last, seen.now))
    return changed(status, last_slot=max(known, default=None), missed=missed)


def _is_far(slot: datetime, now: datetime) -> bool:
    return slot > now + FAR


def _recorded(seen: Seen) -> frozenset[datetime]:
    return frozenset(seen.slots) | {r.slot for r in seen.runs if r.slot}


def _held(clock: str) -> UserError:
    return UserError(
        CLOCK_SKEW,
        f"{clock}: no slot of the schedule is started until they agree; check the time of the "
        "nodes",
    )


def _begin(seen: Seen, status: PolicyStatus, timing: Timing | None) -> PolicyStatus:
    """The status with what was seen of suspend and schedule, and since when they stand.

    Also where there is no schedule to be read: one may be mended while suspended.
    """
    suspended = seen.spec is not None and seen.spec.suspend
    meaning = timing.schedule.meaning if timing else None
    since = status.resumed_at
    if (status.suspended and not suspended) or status.schedule != meaning:
        # Not now: what was due between the edit and this look, while nobody ran, is caught up.
        since = max(seen.edited or seen.now, since or seen.created)
    return changed(status, suspended=suspended, schedule=meaning, resumed_at=since)


def _carry_out(seen: Seen, status: PolicyStatus, timing: Timing, wanted: Due) -> Decision:
    told = status.missed
    news = wanted.missed
    if continues(told, news, status.last_slot):
        news = news[1:]
    after = LONGEST_WAIT
    if wanted.waits:
        after = OVERLAP_POLL
    elif wanted.next_run is not None:
        after = min(max(wanted.next_run - seen.now, timedelta(0)), LONGEST_WAIT)
    return Decision(
        status=changed(
            status,
            next_run=_local(wanted.next_run, timing) if wanted.next_run else None,
            missed=with_missed(told, wanted.missed, status.last_slot),
            last_slot=wanted.passed or status.last_slot,
        ),
        slot=wanted.slot,
        after=after,
        missed=wanted.missed,
        news=news,
    )


def _timing(seen: Seen) -> tuple[Timing | None, UserError | None]:
    wanted = seen.spec.schedule if seen.spec else None
    if wanted is None:
        return None, None
    try:
        return Timing.of(wanted, seen.namespace, seen.name), None
    except UserError as error:
        return None, error


def _due(seen: Seen, status: PolicyStatus, timing: Timing) -> Due:
    known = Known(
        begin=max(seen.created, status.resumed_at or seen.created),
        last_slot=status.last_slot,
        recorded={slot for slot in _recorded(seen) if not _is_far(slot, seen.now)},
    )
    unfinished = [r.slot for r in seen.runs if r.slot and not r.finished]
    return due(timing, known, now=seen.now, busy=min(unfinished, default=None))


def _never(timing: Timing) -> UserError:
    return UserError(
        "NothingCanStart",
        f"spec.schedule.blackouts: no slot of {timing.schedule.cron!r} in sight can start, as "
        "windows outlast its startingDeadline each time; shorten a window, or set a longer "
        "startingDeadline",
    )


def _local(moment: datetime, timing: Timing) -> str:
    """A string, not a date: kubectl prints <invalid> for dates in the future."""
    local = moment.astimezone(timing.schedule.zone)
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


def _valid(seen: Seen, timing: Timing | None, wanted: Due | None) -> str:
    """What Ready says of a policy that can run, with what its next slot waits for and with warnings
    where there are any.
    """
    spec = seen.spec
    if spec is None:
        return "the policy is valid"
    said = "the policy is valid and suspended" if spec.suspend else "the policy is valid"
    if timing is None or spec.schedule is None:
        return said
    warnings = (
        density_warning(timing.schedule, rules_of(spec)),
        jitter_warning(timing.schedule, spec.schedule.jitter),
        _far_warning(seen),
    )
    if wanted is not None and wanted.waits:
        busy = sorted(r.name for r in seen.runs if r.slot and not r.finished)
        said += f"; a slot that is due waits for the end of Backup {', '.join(busy[:3])}"
    told = "; and ".join(w for w in warnings if w)
    return f"{said}, but {told}" if told else said


def _far_warning(seen: Seen) -> str | None:
    far = max((s for s in _recorded(seen) if _is_far(s, seen.now)), default=None)
    if far is None:
        return None
    return (
        f"a Backup or its artifacts name the slot {format_time(far)}, which is over a day ahead, "
        "as a clock that was ahead leaves it: it is ignored; delete that Backup and what it made"
    )


def _describe(seen: Seen) -> PolicyStatus:
    """What exists, derived from the artifacts and records anew each time."""
    newest: dict[str, datetime] = {}
    count: dict[str, int] = {}
    for point in seen.points:
        count[point.claim] = count.get(point.claim, 0) + 1
        newest[point.claim] = max(point.taken, newest.get(point.claim, point.taken))
    series = tuple(
        SeriesStatus(claim=claim, good=count[claim], newest=newest[claim])
        for claim in sorted(sorted(count, key=lambda c: (newest[c], c))[-SHOWN_MAX:])
    )
    started = [r.started for r in seen.runs if r.started]
    incomplete = {r.name for r in seen.runs if not r.complete}
    complete = [p.taken for p in seen.points if p.run not in incomplete]
    return changed(
        seen.status,
        series=series,
        good=sum(count.values()),
        last_run=max(started, default=seen.status.last_run),
        last_success=max(complete, default=None),
    )
