"""The retention pass over one policy: what is to be changed, and what its status and Backups show.

Each store looks for itself. What they share has one writer here: the conditions of the policy, and
its Backups, each of which may show points of several stores and goes with the last of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from backstay.api.backup import BackupStatus
from backstay.api.common import Condition
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.domain.objects import Obj
from backstay.domain.records import lifecycle
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Brake
from backstay.domain.retention.findings import Findings, Item, Looked, conditions_of

POLL: Final = timedelta(seconds=2)
"""Until the next look at a point that was found to be gone, or back."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pass over one policy rests on, whatever stores it has."""

    now: datetime
    place: tuple[str, str]
    """Namespace and name of the policy, which may be gone."""
    policy: Obj | None = None
    """As read; None: it is gone."""
    spec: PolicySpec | None = None
    status: PolicyStatus = field(default_factory=PolicyStatus)
    runs: Sequence[Run] = ()
    """Its Backups, finished or not."""
    requests: Sequence[Obj] = ()
    """The RestoreRequests of the namespace that are not finished."""
    snapshots: Sequence[Obj] = ()
    """The VolumeSnapshots that carry the policy's labels."""
    unlabelled: Sequence[Obj] = ()
    """VolumeSnapshots that finished Backups name, found by their name: without our label."""
    contents: Mapping[str, Obj] = field(default_factory=dict)
    """By name: the VolumeSnapshotContents that these snapshots and Backups name."""
    claims: Sequence[Obj] = ()
    """The claims of the namespace, where a pass would remove something."""
    repositories: Mapping[str, Obj] = field(default_factory=dict)
    """By name: the BackupRepositories of the namespace."""
    clock: Brake | None = None
    """Set: our clock is off, and nothing is marked or removed."""


class KeptStore(Protocol):
    """What a retention pass asks of a store."""

    @property
    def name(self) -> str:
        """Its word in points[].store."""
        ...

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions of a policy that it has something to say under."""
        ...

    def look(self, seen: Seen) -> Looked | None:
        """Return what to do with the policy's points here; None: it keeps none, and has none.

        Raise DataError if something that was read cannot be understood.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the points, and what the policy and its Backups are to show. What Jobs do
    is done in a pass of its own.
    """

    items: Mapping[str, Sequence[Item]]
    """By store."""
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
    def due(self) -> bool:
        """Whether something is being removed."""
        return any(item.due for items in self.items.values() for item in items)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to write and nothing to wait for."""
        acts = any(item.acts for items in self.items.values() for item in items)
        writes = self.conditions is not None or self.shown or self.removable or acts
        return not writes and self.wait is None


def plan(seen: Seen, stores: Sequence[KeptStore]) -> Plan:
    """Given what was read of one policy and the stores that there are, return what to do.

    Raise UserError if the policy is not valid, DataError if something that was read cannot be
    understood: then nothing is to be changed.
    """
    looks = {store.name: look for store in stores if (look := store.look(seen)) is not None}
    found = {name: look.findings for name, look in looks.items()}
    finished = [run for run in seen.runs if run.status.phase.final]
    rules = [look.rules for look in looks.values()]
    statuses, removable = lifecycle.settled(finished, found, rules, seen.now)
    moved = any(lifecycle.moves(run.status, status) for run, status in statuses)
    waits = [look.wait for look in looks.values() if look.wait is not None]
    return Plan(
        {name: look.items for name, look in looks.items()},
        _conditions(seen, list(found.values()), stores),
        [(run, status) for run, status in statuses if status is not run.status],
        removable,
        POLL if moved else min(waits, default=None),
        moved,
    )


def _conditions(
    seen: Seen, found: Sequence[Findings], stores: Sequence[KeptStore]
) -> tuple[Condition, ...] | None:
    """What the policy is to say. What only a store says that it does not keep any more goes."""
    if seen.policy is None:
        return None
    known = {kind for store in stores for kind in store.conditions}
    spoken = {condition.kind for f in found for condition in f.conditions}
    stand = seen.status.conditions
    before = tuple(c for c in stand if c.type in spoken or c.type not in known)
    after = conditions_of(seen.policy, before, found, seen.now) or before
    return after if after != stand else None
