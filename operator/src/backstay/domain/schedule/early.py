"""Slots that have run before their time, as a clock that was ahead leaves them.

No slot starts early: a slot on record that is ahead of now was named by a clock that was ahead.
Left alone, such records would silence the schedule until their time, and then stand for it.

Invariants: from when it is noticed until the newest such slot, a record counts for its slot only if
it has one of the names that runs have in that time. Where one of those is ahead of now as well, a
clock was ahead once more, and the names are others from then on. So each slot runs at its own time,
however often a clock goes back and forth, and once more for each time that one was ahead. What is
ahead by more than a day waits until it is not: nobody needs other names for a year.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from backstay.api.common import changed, format_time
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import EarlyRuns
from backstay.domain import naming
from backstay.domain.clock_skew import CLOCK_SLACK

EARLY: Final = 2 * CLOCK_SLACK
"""A slot later than this from now was named by a clock that was ahead. More than the two clocks
that slots go by may differ: a change from one to the other is no clock that was ahead."""
FAR: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Named:
    """A slot that a record or an artifact names, and the Backup that is, or was, its run."""

    slot: datetime
    run: str


def is_ahead(slot: datetime, now: datetime) -> bool:
    """Given a slot on record and now, return whether a clock that was ahead named it."""
    return slot > now + EARLY


def covers(early: EarlyRuns | None, slot: datetime) -> bool:
    """Given what is known of early runs, return whether a run of this slot takes another name."""
    return early is not None and early.seen < slot <= early.until


def times_of(early: EarlyRuns | None, slot: datetime) -> int:
    """Given what is known of early runs, return under the how manieth names this slot runs; 0:
    under its own.
    """
    return early.times if early is not None and covers(early, slot) else 0


def _is_of(one: Named, policy: str, zone: tzinfo, times: int) -> bool:
    return one.run in naming.backup_names_again(policy, one.slot, zone, times)


def counting(
    early: EarlyRuns | None,
    named: Collection[Named],
    *,
    now: datetime,
    policy: str,
    zone: tzinfo,
) -> frozenset[datetime]:
    """Given early runs, what names slots, and the policy's name and zone, return the slots that
    have had their run at their time.
    """

    def counts(one: Named) -> bool:
        if is_ahead(one.slot, now):
            return False
        return (
            early is None or not covers(early, one.slot) or _is_of(one, policy, zone, early.times)
        )

    return frozenset(one.slot for one in named if counts(one))


def noted(
    status: PolicyStatus,
    named: Collection[Named],
    counted: Collection[datetime],
    *,
    begin: datetime,
    now: datetime,
    policy: str,
    zone: tzinfo,
) -> PolicyStatus:
    """Given a policy's status, what names slots, which of them count, the policy's beginning, now,
    and its name and zone, return the status with what is new of early runs, and without a lastSlot
    that is ahead.

    What was counted up to such a lastSlot is taken back with it, and counted again.
    """
    last, early = status.last_slot, status.early
    going_on = early is not None and early.until > max(begin, last or begin)
    ahead = [n for n in named if is_ahead(n.slot, now) and n.slot <= now + FAR]
    near = [n.slot for n in ahead]
    new = [s for s in near if early is None or not going_on or s > early.until]
    taken_back = last is not None and is_ahead(last, now)
    times = early.times + (not going_on) if early is not None else 1
    while any(_is_of(n, policy, zone, times) for n in ahead):
        times += 1
    once_more = early is not None and going_on and times > early.times
    if not (new or taken_back or once_more):
        return status
    now = now.replace(microsecond=0)  # as it is read again
    goes_on = early is not None and going_on and early.seen <= now and not once_more
    seen = early.seen if early is not None and goes_on else now
    until = max([seen, *near, *([early.until] if early is not None and going_on else [])])
    status = changed(status, early=EarlyRuns(seen=seen, until=until, times=times))
    if not taken_back:
        return status
    missed = tuple(m for m in status.missed if not is_ahead(m.last, now))
    known = [*(slot for slot in counted if slot <= now), *(m.last for m in missed)]
    return changed(status, last_slot=max(known, default=None), missed=missed)


def warning(early: EarlyRuns | None, named: Collection[Named], now: datetime) -> str | None:
    """Given the same, return what Ready says of it; the same text as long as it is the same."""
    far = max((n.slot for n in named if n.slot > now + FAR), default=None)
    if far is not None:
        return (
            f"a Backup or its artifacts name the slot {format_time(far)}, which is over a day "
            "ahead, as a clock that was ahead leaves it: it is ignored; delete that Backup and "
            "what it made"
        )
    if early is None or early.until <= now:
        return None
    return (
        f"slots up to {format_time(early.until)} have run before their time, by a clock that was "
        f"ahead until {format_time(early.seen)}: each runs again when its time comes; check the "
        "time of the nodes"
    )
