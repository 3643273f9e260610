"""A retention pass on what one store, or two, have seen: `upkeep.plan` without a World to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backstay.api.backup import BackupStatus
from backstay.api.common import Condition
from backstay.api.policy_status import PolicyStatus
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain import upkeep
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.findings import Looked
from backstay.domain.stores.copies import upkeep as copies
from backstay.domain.stores.copies.conditions import CONDITIONS
from backstay.domain.stores.copies.seen import Seen as CopiesSeen
from backstay.domain.stores.snapshots import upkeep as snapshots


@dataclass(frozen=True)
class Given:
    """A store that has looked already."""

    name: str
    conditions: frozenset[str]
    looked: Looked | None

    def look(self, _: upkeep.Seen, /) -> Looked | None:
        return self.looked


def of_snapshots(seen: snapshots.Seen | None) -> Given:
    if seen is None:
        return Given(SNAPSHOT, snapshots.CONDITIONS, None)
    found = snapshots.look(seen)
    looked = Looked(found.findings, seen.rules, found.items, found.wait)
    return Given(SNAPSHOT, snapshots.CONDITIONS, looked)


def of_copies(seen: CopiesSeen | None) -> Given:
    looked = Looked(copies.look(seen).findings, seen.rules) if seen is not None else None
    return Given(ROLLING, CONDITIONS, looked)


def whole(
    stores: Sequence[Given],
    now: datetime,
    policy: Obj | None,
    finished: Sequence[Run],
    conditions: tuple[Condition, ...],
) -> upkeep.Plan:
    status = PolicyStatus(conditions=conditions)
    seen = upkeep.Seen(now, ("team", "shop"), policy, status=status, runs=finished)
    return upkeep.plan(seen, stores)


@dataclass(frozen=True)
class Planned:
    """The plan of a pass over a policy of snapshots."""

    plan: upkeep.Plan
    looked: snapshots.Looked

    @property
    def items(self) -> Sequence[snapshots.Item]:
        return self.looked.items

    @property
    def stopped(self) -> snapshots.Stopped:
        return self.looked.stopped

    @property
    def conditions(self) -> tuple[Condition, ...] | None:
        return self.plan.conditions

    @property
    def shown(self) -> Sequence[tuple[Run, BackupStatus]]:
        return self.plan.shown

    @property
    def removable(self) -> Sequence[Run]:
        return self.plan.removable

    @property
    def wait(self) -> timedelta | None:
        return self.plan.wait

    @property
    def moved(self) -> bool:
        return self.plan.moved

    @property
    def idle(self) -> bool:
        return self.plan.idle


def planned(seen: snapshots.Seen) -> Planned:
    """A pass over a policy that keeps nothing but snapshots."""
    given = of_snapshots(seen)
    plan = whole([given], seen.now, seen.policy, seen.finished, seen.conditions)
    return Planned(plan, snapshots.look(seen))


def planned_copies(seen: CopiesSeen) -> upkeep.Plan:
    """A pass over a policy that keeps nothing but rolling copies."""
    return whole([of_copies(seen)], seen.now, seen.policy, seen.finished, seen.conditions)
