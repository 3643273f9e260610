"""Which slot of a policy runs now, and which never will, and why.

Invariants: each slot after the policy's beginning (its creation, the last unsuspend, the last
change of its schedule) is run once, or counted once as missed, or still to come. Both rest on
`passed`, which becomes lastSlot in the same write as the count. Nothing is counted while it could
still run. What an edit drops is counted in the write that moves the beginning. All is pure; work
is bounded after years of downtime with a schedule of every minute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from backstay.api.common import changed
from backstay.api.schedule import MISSED_MAX, MissedSlots, MissReason
from backstay.domain.schedule.cron import Schedule
from backstay.domain.schedule.slots import Timing

COUNT_LIMIT: Final = 500
"""Missed slots are counted one by one up to here; this number means "at least so many"."""
_TICK: Final = timedelta(microseconds=1)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Known:
    """What shows which slots are done (design section 2)."""

    begin: datetime
    """No slot up to here is this policy's: it was created, unsuspended or given its schedule."""
    last_slot: datetime | None = None
    recorded: Collection[datetime] = ()
    """Slots that records and artifacts name: they have run, whatever lastSlot says."""
    set_at: Collection[tuple[datetime, datetime]] = ()
    """Times (after, until] in which a clock was wrong, or which it skipped."""

    def by_clock(self, slot: datetime) -> bool:
        """Given a missed slot, return whether a clock is the cause."""
        return any(after < slot <= until for after, until in self.set_at)

    @property
    def counted(self) -> datetime:
        """The slots up to here are accounted for."""
        return max(self.begin, self.last_slot or self.begin)

    @property
    def done(self) -> datetime:
        """No slot up to here runs any more."""
        return max(self.counted, *self.recorded, _NEVER)


@dataclass(frozen=True, slots=True)
class Due:
    """What a policy's schedule asks for at one moment."""

    slot: datetime | None
    """To be started now; None if nothing is due."""
    passed: datetime | None
    """The new lastSlot; None if it stays."""
    missed: tuple[MissedSlots, ...]
    """Slots up to `passed` that will never run, in order. Not counted before."""
    next_run: datetime | None
    """When the next run after this moment's starts; in the past while it waits for the run
    before it; None if no slot in sight can start."""
    waits: bool = False
    """A slot could start, were it not for the run before it."""


def due(timing: Timing, known: Known, *, now: datetime, busy: datetime | None) -> Due:
    """Given a policy's timing, what is known of its slots, now, and the slot of its oldest
    scheduled run that is unfinished, return what is due. At most one slot is caught up, however
    long nobody looked.
    """
    slot = timing.schedule.newest_in(known.done, now - timing.offset)
    starts = next_run = None
    waits = False
    # A record of the future, made before the clock was set back, is not passed yet.
    passed = max((r for r in known.recorded if r <= now), default=known.counted)
    if slot is not None and now > timing.latest(slot):
        passed = slot
    elif slot is not None:
        free = timing.free(now, timing.latest(slot))
        if free == now and busy is None:
            starts = passed = slot
        else:
            # It may start yet. The ones before it never will: only the newest is caught up.
            passed = timing.schedule.newest_in(known.done, slot - _TICK) or passed
            waits = free == now
            next_run = (timing.start(slot) or timing.ripe(slot)) if waits else free
    return Due(
        slot=starts,
        passed=passed if passed > known.counted else None,
        missed=tuple(_missed(timing, known, passed, now, starts=starts, busy=busy)),
        # Slots up to `done` do not come again, not even when the clock was set back.
        next_run=next_run or timing.next_start(slot or max(known.done, now - timing.offset)),
        waits=waits,
    )


def _missed(
    timing: Timing,
    known: Known,
    passed: datetime,
    now: datetime,
    *,
    starts: datetime | None,
    busy: datetime | None,
) -> Iterator[MissedSlots]:
    """The slots in (counted, passed] that neither ran nor start now, grouped by reason."""
    end = starts - _TICK if starts else passed
    reasons = _Reasons(timing, known, now, busy)
    return _counted(
        timing.schedule, known, end, lambda slot: reasons.of(slot, newest=slot == passed)
    )


def dropped(
    old: Schedule, known: Known, *, edited: datetime, timing: Timing | None
) -> tuple[MissedSlots, ...]:
    """Given a schedule that was edited away or suspended, what is known of its slots, when that
    was, and the timing of now (None: there is no schedule any more), return the slots that were
    due by then and had not started: they never run.
    """

    def reason(slot: datetime) -> MissReason:
        if known.by_clock(slot):
            return MissReason.CLOCK
        late = timing is not None and edited > timing.latest(slot)
        return MissReason.DEADLINE_EXCEEDED if late else MissReason.EDITED

    return tuple(_counted(old, known, edited, reason))


def _counted(
    schedule: Schedule, known: Known, end: datetime, reason: Callable[[datetime], MissReason]
) -> Iterator[MissedSlots]:
    """The slots in (counted, end] that have not run, grouped by reason."""
    found: list[tuple[MissReason, datetime]] = []
    for slot in schedule.after(known.counted):
        if slot > end:
            break
        if len(found) == COUNT_LIMIT:
            newest = schedule.newest_in(slot - _TICK, end) or slot
            found[-1] = (found[-1][0], newest)
            break
        if slot not in known.recorded:
            found.append((reason(slot), slot))
    for why, group in groupby(found, key=lambda item: item[0]):
        slots = [slot for _, slot in group]
        yield MissedSlots(reason=why, count=len(slots), first=slots[0], last=slots[-1])


class _Reasons:
    """Why slots were missed; asked in order, each window is looked up once."""

    def __init__(self, timing: Timing, known: Known, now: datetime, busy: datetime | None) -> None:
        self._timing = timing
        self._known = known
        self._now = now
        self._busy = busy
        self._closed = False
        self._until = _NEVER

    def of(self, slot: datetime, *, newest: bool) -> MissReason:
        """Given a slot and whether it is the newest one that is past, return the reason."""
        late = self._now > self._timing.latest(slot)
        if self._in_window(self._timing.ripe(slot)) and not (
            # The window was over in time; that nobody started it then is not the window's doing.
            newest and late and self._timing.start(slot)
        ):
            return MissReason.BLACKOUT
        # A run of a newer slot did not hold this one up: somebody died before they counted it.
        if self._busy is not None and self._busy < slot:
            return MissReason.OVERLAP
        if self._known.by_clock(slot):
            return MissReason.CLOCK
        return MissReason.DEADLINE_EXCEEDED if late else MissReason.COALESCED

    def _in_window(self, moment: datetime) -> bool:
        if moment >= self._until:
            self._closed, self._until = self._timing.closed(moment)
        return self._closed


def with_missed(
    reported: tuple[MissedSlots, ...], found: tuple[MissedSlots, ...], last_slot: datetime | None
) -> tuple[MissedSlots, ...]:
    """Given what status.missed has, what was missed since, and the lastSlot that it reached to,
    return the new status.missed: one entry for slots that were missed in a row for one reason,
    the newest MISSED_MAX entries.
    """
    if continues(reported, found, last_slot):
        before, first = reported[-1], found[0]
        joined = changed(before, count=before.count + first.count, last=first.last)
        reported, found = reported[:-1], (joined, *found[1:])
    return (*reported, *found)[-MISSED_MAX:]


def continues(
    reported: tuple[MissedSlots, ...], found: tuple[MissedSlots, ...], last_slot: datetime | None
) -> bool:
    """Given the same, return whether the first of `found` goes on with the last of `reported`."""
    return bool(
        reported
        and found
        and reported[-1].reason is found[0].reason
        and reported[-1].last == last_slot
    )
