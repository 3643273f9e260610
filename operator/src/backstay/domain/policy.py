"""The plan of a policy: is it valid, which slot runs now, what does its status say.

Invariants: at most one scheduled run of a policy is unfinished; `lastSlot` moves only over slots
that have their Backup or can have none any more, and `missed` with it; a suspended policy runs
nothing; slots that passed while it was suspended, or before its schedule was changed, are never
caught up; a clock that is, or was, wrong stops no slot: `now` is the API server's where the two
clocks differ, and slots that have run before their time run again (see early).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from backstay.api.common import changed, with_condition
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import SHOWN_MAX, PolicyStatus, SeriesStatus
from backstay.api.schedule import MissedSlots
from backstay.api.store import StoreKind
from backstay.domain.ceilings import beyond
from backstay.domain.clock_skew import CLOCK_SKEW
from backstay.domain.errors import UserError
from backstay.domain.schedule import early
from backstay.domain.schedule.cron import Schedule, same_slots
from backstay.domain.schedule.density import density_warning
from backstay.domain.schedule.due import Due, Known, continues, dropped, due, with_missed
from backstay.domain.schedule.early import Named
from backstay.domain.schedule.slots import Timing, jitter_warning
from backstay.domain.stores.snapshots.carriers import rules_of
from backstay.settings import Ceilings

OVERLAP_POLL: Final = timedelta(minutes=1)
"""The end of a run wakes its policy; this is for an end that nobody saw."""
CLOCK_POLL: Final = timedelta(minutes=1)
"""Nothing wakes us when a clock is set right."""
LIMITED: Final = "Limited"
"""The policy is Ready, but its runs are kept within the administrator's ceilings."""
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

    source: str
    store: StoreKind
    taken: datetime
    run: str
    """Name of its Backup, whether or not that is still there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one policy rests on."""

    now: datetime
    """By the clock that slots go by: the API server's where ours is known to differ."""
    created: datetime
    generation: int
    status: PolicyStatus
    spec: PolicySpec | None
    problem: UserError | None
    """Why the policy cannot be run as it stands."""
    runs: Sequence[RunSeen] = ()
    slots: Sequence[Named] = ()
    """Slots of the schedule that the records on artifacts name."""
    points: Sequence[GoodPoint] = ()
    missing: int = 0
    """Good points that records show and that are not there."""
    namespace: str = ""
    name: str = ""
    edited: datetime | None = None
    """No edit of the spec is younger, by the API server's word; None if it says nothing."""
    resumed: datetime | None = None
    """When suspend alone was last written, by the API server's word; None if it says nothing."""
    ceilings: Ceilings = field(default_factory=Ceilings)
    """What the administrator lets runs take at most."""
    clock: str = ""
    """In words, how our clock is off the API server's; "" if it is not."""
    stepped: tuple[datetime, datetime] | None = None
    """From when to when our clock was last set."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, the slot to create a Backup for first, and when to look again."""

    status: PolicyStatus
    slot: datetime | None = None
    again: bool = False
    """Whether that slot has run before its time: its Backup takes another name."""
    after: timedelta | None = None
    missed: tuple[MissedSlots, ...] = ()
    """What this status counts and the one before did not."""
    news: tuple[MissedSlots, ...] = ()
    """Those of `missed` that begin an entry of status.missed: to be reported."""
    ignored: datetime | None = None
    """A lastSlot that is ahead of now, which this status takes back: to be reported."""


def decide(seen: Seen) -> Decision:
    """Given what was seen of a policy, return what to do next. Never raises."""
    status = _describe(seen)
    timing, problem = _timing(seen)
    lost: tuple[MissedSlots, ...] = ()
    if seen.spec is not None:
        status, lost = _begin(seen, _set_right(seen, status, timing), timing)
    wanted = None
    if timing is not None and not status.suspended:
        wanted = _due(seen, status, timing)
        if wanted.next_run is None:
            problem = problem or _never(timing)
    problem = seen.problem or problem
    ready = _valid(seen, status, timing, wanted)
    status = changed(
        status,
        conditions=with_condition(
            status.conditions,
            type="Ready",
            ok=problem is None,
            reason=problem.reason if problem else _reason(seen, wanted),
            message=problem.message if problem else ready,
            generation=seen.generation,
            now=seen.now,
        ),
        observed_generation=seen.generation,
        next_run=None,
    )
    decision = _carry_out(seen, status, timing, wanted, lost)
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
    if early.is_ahead(_beginning(seen, status), seen.now):
        # It was created, resumed or edited by now, whatever that clock said.
        status = changed(status, resumed_at=seen.now.replace(microsecond=0))
    if timing is None:
        return status
    return early.noted(
        status,
        _named(seen),
        _recorded(seen, status, timing.schedule),
        begin=_beginning(seen, status),
        now=seen.now,
    )


def _warns(seen: Seen, wanted: Due | None) -> bool:
    """Whether Ready speaks of our clock: not where no slot starts anyway."""
    return wanted is not None and bool(seen.clock)


def _named(seen: Seen) -> list[Named]:
    return [*seen.slots, *(Named(r.slot, r.name) for r in seen.runs if r.slot)]


def _recorded(seen: Seen, status: PolicyStatus, schedule: Schedule) -> frozenset[datetime]:
    """The slots that have run at their time."""
    return early.counting(
        status.early, _named(seen), now=seen.now, policy=seen.name, zone=schedule.zone
    )


def _beginning(seen: Seen, status: PolicyStatus) -> datetime:
    """What was noted once is never before the creation, but for one by a clock that was ahead."""
    return status.resumed_at or seen.created


def _begin(
    seen: Seen, status: PolicyStatus, timing: Timing | None
) -> tuple[PolicyStatus, tuple[MissedSlots, ...]]:
    """The status with what was seen of suspend and schedule, and since when they stand; and what
    had not started by then, and never will.

    Also where there is no schedule to be read: one may be mended while suspended.
    """
    suspended = seen.spec is not None and seen.spec.suspend
    meaning = timing.schedule.meaning if timing else None
    before = _beginning(seen, status)
    # Not now: what was due between the edit and this look, while nobody ran, is caught up.
    edited = max(min(seen.edited or seen.now, seen.now), before)
    since = status.resumed_at
    ends = suspended and not status.suspended
    if (status.suspended and not suspended) or _is_other(seen, status, timing):
        since, ends = edited, True
    elif not suspended and seen.resumed is not None and before < seen.resumed <= seen.now:
        # It was suspended and resumed while nobody looked: what passed meanwhile is not caught up.
        since, edited, ends = seen.resumed, seen.resumed, True
    lost: tuple[MissedSlots, ...] = ()
    if ends and not status.suspended and (old := Schedule.of_meaning(status.schedule or "")):
        known = _known(seen, status, old)
        lost = dropped(old, known, edited=edited, timing=timing)
    status = changed(status, suspended=suspended, schedule=meaning, resumed_at=since)
    if lost:
        status = changed(
            status,
            missed=with_missed(status.missed, lost, status.last_slot),
            last_slot=lost[-1].last,
        )
    return status, lost


def _is_other(seen: Seen, status: PolicyStatus, timing: Timing | None) -> bool:
    """Whether the schedule names other slots than the one that was seen last."""
    if status.schedule == (timing.schedule.meaning if timing else None):
        return False
    old = Schedule.of_meaning(status.schedule or "")
    return old is None or timing is None or not same_slots(old, timing.schedule, seen.now)


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
        again=wanted.slot is not None and early.covers(status.early, wanted.slot),
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
    unfinished = [r.slot for r in seen.runs if r.slot and not r.finished]
    known = _known(seen, status, timing.schedule)
    return due(timing, known, now=seen.now, busy=min(unfinished, default=None))


def _known(seen: Seen, status: PolicyStatus, schedule: Schedule) -> Known:
    set_at = [seen.stepped] if seen.stepped else []
    if status.early is not None:
        set_at.append((datetime.min.replace(tzinfo=UTC), status.early.seen))
    return Known(
        begin=_beginning(seen, status),
        last_slot=status.last_slot,
        recorded=_recorded(seen, status, schedule),
        set_at=set_at,
    )


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


def _reason(seen: Seen, wanted: Due | None) -> str:
    """Why a policy is Ready, in one word: an Event reports a change."""
    if _warns(seen, wanted):
        return CLOCK_SKEW
    return LIMITED if seen.spec is not None and beyond(seen.spec, seen.ceilings) else "Valid"


def _valid(seen: Seen, status: PolicyStatus, timing: Timing | None, wanted: Due | None) -> str:
    """What Ready says of a policy that can run, with what its next slot waits for and with warnings
    where there are any.
    """
    spec = seen.spec
    if spec is None:
        return "the policy is valid"
    said = "the policy is valid and suspended" if spec.suspend else "the policy is valid"
    warnings = [beyond(spec, seen.ceilings)]
    if timing is not None and spec.schedule is not None:
        warnings += [
            *_density_warnings(timing, spec),
            jitter_warning(timing.schedule, spec.schedule.jitter),
            early.warning(status.early, _named(seen), seen.now),
            _clock_warning(seen),
        ]
    if wanted is not None and wanted.waits:
        busy = sorted(r.name for r in seen.runs if r.slot and not r.finished)
        said += f"; a slot that is due waits for the end of Backup {', '.join(busy[:3])}"
    reported = "; and ".join(w for w in warnings if w)
    return f"{said}, but {reported}" if reported else said


def _density_warnings(timing: Timing, spec: PolicySpec) -> list[str]:
    """What is to be said of each store's rules; once where they are the same."""
    found = {density_warning(timing.schedule, rules_of(spec, store)): None for store in spec.stores}
    return [warning for warning in found if warning is not None]


def _clock_warning(seen: Seen) -> str | None:
    if not seen.clock or (seen.spec is not None and seen.spec.suspend):
        return None
    return (
        f"{seen.clock}: slots start by the API server's time, and nothing is marked or swept until "
        "they agree; check the time of the nodes"
    )


def _describe(seen: Seen) -> PolicyStatus:
    """What exists, derived again from the artifacts and records each time."""
    newest: dict[tuple[str, StoreKind], datetime] = {}
    count: Counter[tuple[str, StoreKind]] = Counter()
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
