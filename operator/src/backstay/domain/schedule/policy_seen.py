"""What a decision on a policy rests on, and what follows of its schedule from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.domain.errors import UserError
from backstay.domain.schedule import early
from backstay.domain.schedule.cron import Schedule
from backstay.domain.schedule.due import Known
from backstay.domain.schedule.early import Named
from backstay.settings import Ceilings


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A Backup of the policy."""

    name: str
    slot: datetime | None
    finished: bool
    started: datetime | None
    complete: bool
    """Whether every claim and directory of it got its good point."""
    late: bool = False
    """Whether it waits for nothing but points that may come late: no slot waits for it."""
    uploads: tuple[str, ...] = ()
    """Sources of which its plan has a copy off the cluster."""
    token: str = ""
    """By what a person asked for it."""


@dataclass(frozen=True, slots=True)
class GoodPoint:
    """A good point of the policy."""

    source: str
    store: str
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
    token: str = ""
    """Its annotation that asks for a run."""
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


def named_slots(seen: Seen) -> list[Named]:
    """Given what was seen of a policy, return the slots that artifacts and Backups name."""
    return [*seen.slots, *(Named(r.slot, r.name) for r in seen.runs if r.slot)]


def recorded_slots(seen: Seen, status: PolicyStatus, schedule: Schedule) -> frozenset[datetime]:
    """Given what was seen, a status and a schedule, return the slots that ran at their time."""
    return early.counting(
        status.early, named_slots(seen), now=seen.now, policy=seen.name, zone=schedule.zone
    )


def beginning(seen: Seen, status: PolicyStatus) -> datetime:
    """Given what was seen and a status, return since when slots count.

    What was noted once is never before the creation, but for one by a clock that was ahead.
    """
    return status.resumed_at or seen.created


def known_of(seen: Seen, status: PolicyStatus, schedule: Schedule) -> Known:
    """Given what was seen, a status and a schedule, return what is known of its slots."""
    set_at = [seen.stepped] if seen.stepped else []
    if status.early is not None:
        set_at.append((datetime.min.replace(tzinfo=UTC), status.early.seen))
    return Known(
        begin=beginning(seen, status),
        last_slot=status.last_slot,
        recorded=recorded_slots(seen, status, schedule),
        set_at=set_at,
    )
