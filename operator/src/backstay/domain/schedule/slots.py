"""When the slots of one policy start: the schedule, its jitter, blackouts and starting deadline.

What a slot is called never changes; these only move its start:

- Jitter: a slot starts `offset` after its time. The offset is a function of the policy's
  namespace and name, so it is the same for every slot, after every restart, and when the policy
  is applied again; policies of one schedule are spread evenly, and slots stay as far apart as they
  were.
- Blackouts: a start that falls into a window is put off to the window's end, plus the offset, so
  that policies that waited for one window are spread as well.
- The starting deadline counts from the slot's time and offset. A slot that no window lets start
  before it never starts.

Invariant: `start` is monotonic in the slot: a later slot never starts before an earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final

from backstay.api import schedule as api
from backstay.domain.schedule.cron import Schedule
from backstay.durations import format_duration

_STEPS: Final = 500
"""Windows and slots that are looked through for a moment at which something can start."""
_HORIZON: Final = timedelta(days=5 * 366)
"""How far that look goes: to the slots of five years."""
_GAPS: Final = 200
_FIRST_LOOK: Final = datetime(2024, 1, 1, tzinfo=UTC)
_EVER: Final = datetime.max.replace(tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which nothing starts: [slot, slot + lasts) for each slot of `opens`."""

    opens: Schedule
    lasts: timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """See the module. Make it with of()."""

    schedule: Schedule
    offset: timedelta = timedelta(0)
    deadline: timedelta = timedelta(hours=6)
    windows: tuple[Window, ...] = ()
    """Each lasts longer by the offset than the person wrote."""

    @classmethod
    def of(cls, wanted: api.Schedule, namespace: str, name: str) -> Timing:
        """Given a policy's schedule, namespace and name, return its timing.

        Raise UserError (InvalidTimeZone, InvalidSchedule) naming the field and the remedy.
        """
        zone = wanted.time_zone
        schedule = Schedule.parse(wanted.cron, zone)
        offset = offset_of(namespace, name, wanted.jitter)
        windows = tuple(
            Window(
                Schedule.parse(b.start, zone, f"spec.schedule.blackouts[{number}].start"),
                b.duration + offset,
            )
            for number, b in enumerate(wanted.blackouts)
        )
        return cls(schedule, offset, wanted.starting_deadline, windows)

    def ripe(self, slot: datetime) -> datetime:
        """Given a slot, return when it starts if no window is in the way."""
        return slot + self.offset

    def latest(self, slot: datetime) -> datetime:
        """Given a slot, return the last moment at which it may start."""
        return slot + self.offset + self.deadline

    def closed(self, moment: datetime) -> tuple[bool, datetime]:
        """Given a moment, return whether it lies in a window, and until when at least that holds.

        The two moments of a change belong to what begins there.
        """
        openings = [(w.opens.next_after(moment - w.lasts), w.lasts) for w in self.windows]
        ends = [opening + lasts for opening, lasts in openings if opening <= moment]
        if ends:
            return True, max(ends)
        return False, min((opening for opening, _ in openings), default=_EVER)

    def free(self, moment: datetime, limit: datetime) -> datetime | None:
        """Given two moments, return the first one from `moment` on that lies in no window, None
        if that is later than `limit`.
        """
        for _ in range(_STEPS):
            closed, until = self.closed(moment)
            if not closed or moment > limit:
                break
            moment = until
        return None if closed or moment > limit else moment

    def start(self, slot: datetime) -> datetime | None:
        """Given a slot, return when it starts; None if windows outlast its deadline."""
        return self.free(self.ripe(slot), self.latest(slot))

    def next_start(self, after: datetime) -> datetime | None:
        """Given a moment, return the start of the first slot after it that can start, None if
        no slot in sight can.
        """
        slot = self.schedule.next_after(after)
        moment, horizon = self.ripe(slot), slot + _HORIZON
        for _ in range(_STEPS):
            closed, until = self.closed(moment)
            if closed:
                moment = until
            elif moment <= self.latest(slot):
                return moment
            else:
                # Until this moment nothing could start: on to a slot whose deadline reaches it.
                reaches = moment - self.deadline - self.offset - _TICK
                slot = self.schedule.next_after(max(slot, reaches))
                moment = max(moment, self.ripe(slot))
            if slot > horizon:
                break
        return None

    def runs(self, after: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Given a moment, yield (slot, start) of every run for slots after it, in order, as an
        operator that is never down and whose runs take no time makes them.
        """
        while (start := self.next_start(after)) is not None:
            newest = self.schedule.newest_in(after, start - self.offset)
            if newest is None:
                raise AssertionError(f"no slot starts at {start}")
            yield newest, start
            after = newest


def offset_of(namespace: str, name: str, jitter: timedelta | None) -> timedelta:
    """Given a policy's namespace, name and jitter, return its offset: whole seconds in
    [0, jitter), the same for ever.
    """
    seconds = int(jitter.total_seconds()) if jitter else 0
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") * seconds >> 64)


def jitter_warning(schedule: Schedule, jitter: timedelta | None) -> str | None:
    """Given a schedule and its jitter, return a warning if a run may start later than the time of
    the slot after its own, else None.
    """
    gap = _shortest_gap(schedule)
    if jitter is None or jitter < gap:
        return None
    return (
        f"spec.schedule.jitter of {format_duration(jitter)} is no shorter than the shortest time "
        f"between two slots ({format_duration(gap)}): a run may start after the time of the next "
        "slot"
    )


@lru_cache(maxsize=4096)
def _shortest_gap(schedule: Schedule) -> timedelta:
    """From a fixed moment: what a schedule reports must not change from one day to the next."""
    slots = islice(schedule.after(_FIRST_LOOK), _GAPS)
    return min((b - a for a, b in pairwise(slots)), default=timedelta.max)
