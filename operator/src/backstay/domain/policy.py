"""The plan of a policy: is it valid, which slot runs now, what does its status say.

Invariants: at most one scheduled run of a policy is unfinished, but for those that wait for nothing
but late points; `lastSlot` moves only over slots that have their Backup or can have none any more,
and `missed` with it; a suspended policy runs nothing; slots that passed while it was suspended, or
before its schedule was changed, are never caught up; a clock that is, or was, wrong stops no slot:
`now` is the API server's where the two clocks differ, and slots that have run before their time run
again (see early).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed, with_condition
from backstay.api.policy_status import SHOWN_MAX, PolicyStatus, SeriesStatus
from backstay.api.schedule import MissedSlots
from backstay.domain import offsite
from backstay.domain.errors import UserError
from backstay.domain.schedule import early, manual
from backstay.domain.schedule.due import Due, continues, due, with_missed
from backstay.domain.schedule.policy_seen import (
    Seen,
    beginning,
    known_of,
    named_slots,
    recorded_slots,
)
from backstay.domain.schedule.readiness import nothing_can_start, ready_message, ready_reason
from backstay.domain.schedule.slots import Timing
from backstay.domain.schedule.standing import note_changes

OVERLAP_POLL: Final = timedelta(minutes=1)
"""The end of a run wakes its policy; this is for an end that nobody saw."""
CLOCK_POLL: Final = timedelta(minutes=1)
"""Nothing wakes us when a clock is set right."""
PROBLEM_POLLS: Final = timedelta(seconds=5), timedelta(minutes=1)
"""The shortest and the longest time between two looks at a policy that cannot run as things are in
the cluster: nothing wakes us when a claim, a Role or a Secret is made."""
LONGEST_WAIT: Final = timedelta(hours=1)
"""A clock that is set while we wait must not cost more than this."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, the slot to create a Backup for first, and when to look again."""

    status: PolicyStatus
    slot: datetime | None = None
    again: int = 0
    """How often a clock was ahead, where that slot has run before its time: its Backup takes
    another name each time. 0: it has not."""
    after: timedelta | None = None
    missed: tuple[MissedSlots, ...] = ()
    """What this status counts and the one before did not."""
    news: tuple[MissedSlots, ...] = ()
    """Those of `missed` that begin an entry of status.missed: to be reported."""
    ignored: datetime | None = None
    """A lastSlot that is ahead of now, which this status takes back: to be reported."""
    asked: bool = False
    """Whether a Backup is to be created first that a person asked for (`status.manual`)."""


def decide(seen: Seen) -> Decision:
    """Given what was seen of a policy, return what to do next. Never raises."""
    status = manual.noted(seen, _describe(seen))
    timing, problem = _timing(seen)
    lost: tuple[MissedSlots, ...] = ()
    if seen.spec is not None:
        status, lost = note_changes(seen, _set_right(seen, status, timing), timing)
    wanted = None
    if timing is not None and not status.suspended:
        wanted = _due(seen, status, timing)
        if wanted.next_run is None:
            problem = problem or nothing_can_start(timing)
    problem = seen.problem or problem
    ready = ready_message(seen, status, timing, wanted)
    status = changed(
        status,
        conditions=with_condition(
            status.conditions,
            type="Ready",
            ok=problem is None,
            reason=problem.reason if problem else ready_reason(seen, wanted),
            message=problem.message if problem else ready,
            generation=seen.generation,
            now=seen.now,
        ),
        observed_generation=seen.generation,
        next_run=None,
    )
    status, late_in = offsite.judged(seen, status)
    decision = _carry_out(seen, status, timing, wanted, lost)
    after = min((t for t in (decision.after, late_in) if t is not None), default=None)
    decision = replace(decision, asked=manual.is_asked(seen), after=after)
    if seen.problem is not None and seen.spec is not None:
        decision = replace(decision, after=_soon(status, seen.now, decision.after))
    last = seen.status.last_slot
    if timing is not None and last is not None and early.is_ahead(last, seen.now):
        return replace(decision, ignored=last)
    return decision


def _soon(status: PolicyStatus, now: datetime, after: timedelta | None) -> timedelta:
    """When to look again at what may be mended at any time: often, where it is not so for long."""
    ready = next(c for c in status.conditions if c.type == "Ready")
    shortest, longest = PROBLEM_POLLS
    wait = max(shortest, min((now - ready.last_transition_time) / 4, longest))
    return wait if after is None else min(after, wait)


def _set_right(seen: Seen, status: PolicyStatus, timing: Timing | None) -> PolicyStatus:
    """The status without what a clock that was ahead has left in it."""
    if early.is_ahead(beginning(seen, status), seen.now):
        # It was created, resumed or edited by now, whatever that clock said.
        status = changed(status, resumed_at=seen.now.replace(microsecond=0))
    if timing is None:
        return status
    return early.noted(
        status,
        named_slots(seen),
        recorded_slots(seen, status, timing.schedule),
        begin=beginning(seen, status),
        now=seen.now,
        policy=seen.name,
        zone=timing.schedule.zone,
    )


def _carry_out(
    seen: Seen,
    status: PolicyStatus,
    timing: Timing | None,
    wanted: Due | None,
    lost: tuple[MissedSlots, ...],
) -> Decision:
    """The decision, given what was dropped on the way; `status` has counted that already."""
    if timing is None or wanted is None:
        return Decision(status, missed=lost, news=lost)
    reported = status.missed
    news = wanted.missed
    if continues(reported, news, status.last_slot):
        news = news[1:]
    after = CLOCK_POLL if seen.clock else LONGEST_WAIT
    if wanted.waits:
        after = OVERLAP_POLL
    elif wanted.next_run is not None:
        after = min(max(wanted.next_run - seen.now, timedelta(0)), after)
    return Decision(
        status=changed(
            status,
            next_run=_local(wanted.next_run, timing) if wanted.next_run else None,
            missed=with_missed(reported, wanted.missed, status.last_slot),
            last_slot=wanted.passed or status.last_slot,
        ),
        slot=wanted.slot,
        again=early.times_of(status.early, wanted.slot) if wanted.slot is not None else 0,
        after=after,
        missed=(*lost, *wanted.missed),
        news=(*lost, *news),
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
    unfinished = [r.slot for r in seen.runs if r.slot and not r.finished and not r.late]
    known = known_of(seen, status, timing.schedule)
    return due(timing, known, now=seen.now, busy=min(unfinished, default=None))


def _local(moment: datetime, timing: Timing) -> str:
    """A string, not a date: kubectl prints <invalid> for dates in the future."""
    local = moment.astimezone(timing.schedule.zone)
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


def _describe(seen: Seen) -> PolicyStatus:
    """What exists, derived again from the artifacts and records each time."""
    newest: dict[tuple[str, str], datetime] = {}
    count: Counter[tuple[str, str]] = Counter()
    for point in seen.points:
        key = point.source, point.store
        count[key] += 1
        newest[key] = max(point.taken, newest.get(key, point.taken))
    series = tuple(
        SeriesStatus(source=key[0], store=key[1], good=count[key], newest=newest[key])
        for key in sorted(sorted(count, key=lambda k: (newest[k], k))[-SHOWN_MAX:])
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
