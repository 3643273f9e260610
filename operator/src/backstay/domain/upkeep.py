"""The retention pass over one policy: what is to be changed, and what its status and Backups show.

Each store plans for itself. What they share has one writer here: the conditions of the policy, and
its Backups, each of which may show points of several stores and goes with the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import Condition
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.objects import Obj
from backstay.domain.records import lifecycle
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.findings import Findings, conditions_of
from backstay.domain.stores.copies import conditions
from backstay.domain.stores.copies import upkeep as of_copies
from backstay.domain.stores.snapshots import upkeep as of_snapshots

KINDS: Final = frozenset({*of_snapshots.KINDS, *conditions.KINDS})
"""The conditions that the stores of a policy have something to say under."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pass over one policy rests on."""

    snapshots: of_snapshots.Seen
    copies: of_copies.Seen | None
    """None: the policy keeps no rolling copies, and has no records of any."""
    policy: Obj | None
    """As read; None: it is gone."""
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with snapshots, and what the policy and its Backups are to show. What is to be
    done with rolling copies is done by Jobs, in a pass of its own.
    """

    items: Sequence[of_snapshots.Item]
    conditions: tuple[Condition, ...] | None
    """Those of the policy; None: as they stand."""
    shown: Sequence[tuple[Run, BackupStatus]]
    """Finished Backups whose status differs, and what it should be."""
    removable: Sequence[Run]
    """Backups without any artifact, each of which is to be asked for by name before."""
    wait: timedelta | None
    """When to look again although nothing is to be written: something is on its way out."""
    moved: bool
    """A good point is found to be gone or back: what counts points is to count again."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to write and nothing to wait for."""
        writes = self.conditions is not None or self.shown or self.removable
        return not writes and self.wait is None and not any(item.acts for item in self.items)


def plan(seen: Seen) -> Plan:
    """Given what was read of one policy, return what to do. Raise DataError if something that was
    read cannot be understood: then nothing is to be changed.
    """
    snapshots = of_snapshots.look(seen.snapshots)
    found, rules = {SNAPSHOT: snapshots.findings}, [seen.snapshots.rules]
    finished = {run.uid: run for run in seen.snapshots.finished}
    if seen.copies is not None:
        found[ROLLING] = of_copies.look(seen.copies).findings
        rules.append(seen.copies.rules)
        finished |= {run.uid: run for run in seen.copies.finished}
    now = seen.snapshots.now
    statuses, removable = lifecycle.settled(list(finished.values()), found, rules, now)
    moved = any(of_snapshots.moves(run.status, status) for run, status in statuses)
    return Plan(
        snapshots.items,
        _conditions(seen, list(found.values())),
        [(run, status) for run, status in statuses if status is not run.status],
        removable,
        of_snapshots.POLL if moved else snapshots.wait,
        moved,
    )


def _conditions(seen: Seen, found: Sequence[Findings]) -> tuple[Condition, ...] | None:
    """What the policy is to say. What only a store says that it does not keep any more goes."""
    spoken = {condition.kind for f in found for condition in f.conditions}
    before = tuple(c for c in seen.conditions if c.type in spoken or c.type not in KINDS)
    after = conditions_of(seen.policy, before, found, seen.snapshots.now) or before
    return after if seen.policy is not None and after != seen.conditions else None
