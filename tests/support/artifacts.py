"""What there is of one series in memory: snapshots, contents, disks, two clocks.

It answers as the API server does: a write tests the resourceVersion that was read, and gives
another one. Before any write the process may die, and a person may edit.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backstay.domain import labels, objects
from backstay.domain.clock_skew import clock_brake
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj, dig
from backstay.domain.retention import brakes
from backstay.domain.retention.points import Point, Rules
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.carriers import point_of

START = datetime(2026, 3, 27, 11, 0, tzinfo=UTC)


class Killed(Exception):  # noqa: N818 - it is what happened
    """The process died before a write."""


@dataclass
class Artifacts:
    """See the module."""

    rules: Rules | None
    true: datetime = START
    """The API server's clock and the driver's."""
    ahead: timedelta = timedelta(0)
    """How far the operator's clock is ahead of it."""
    snapshots: dict[str, Obj] = field(default_factory=dict)
    contents: dict[str, Obj] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    released: frozenset[str] = frozenset()
    marked: dict[str, datetime] = field(default_factory=dict)
    """When (true time) each point got the date that it has, if from retention."""
    mine: dict[str, dict[str, str]] = field(default_factory=dict)
    """Labels that a person set and that nobody else may touch, by snapshot."""
    lost_disks: list[str] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)
    """Snapshots that a person deleted."""
    exposed: set[str] = field(default_factory=set)
    """Snapshots whose content a person made Delete."""
    driver: Callable[[datetime], datetime | None] = lambda moment: moment
    """What the driver says of the moment of a snapshot, given the true one."""
    became: dict[str, datetime] = field(default_factory=dict)
    """When (true time) each point became what it is."""
    claim: str = "uid-claim"
    """The uid of the claim of now."""
    hold: brakes.Brake | None = None
    """Why the clock is not to be believed although it agrees with the API server's."""
    ours: set[str] = field(default_factory=set)
    """Snapshots that our own DELETE took."""
    unproven: set[str] = field(default_factory=set)
    """Those of them of which no proof was written yet, or was taken back: their contents stay."""

    def __post_init__(self) -> None:
        self._versions = itertools.count(2)
        self._names = itertools.count(1)
        self._budget: int | None = None
        self._meddle: tuple[int, Callable[[], None]] | None = None
        self.wrote = 0

    @property
    def now(self) -> datetime:
        """What the operator's clock says."""
        return self.true + self.ahead

    def points(self) -> list[Point]:
        return [
            replace(p, ready=p.ready and f"content-{p.name}" in self.contents)
            for p in map(point_of, self.snapshots.values())
        ]

    def newest_good(self) -> str | None:
        good = [
            (dig(s, "metadata", "creationTimestamp"), name)
            for name, s in self.snapshots.items()
            if objects.labels(s).get(labels.RESULT) == "good"
            and dig(s, "status", "readyToUse")
            and f"content-{name}" in self.contents
            and not dig(s, "metadata", "deletionTimestamp")
        ]
        return max(good)[1] if good else None

    def look(self) -> upkeep.Seen:
        snapshots, contents = copy.deepcopy((list(self.snapshots.values()), self.contents))
        return upkeep.Seen(
            now=self.now,
            rules=self.rules,
            snapshots=snapshots,
            contents=contents,
            running=frozenset(self.running),
            requests=frozenset(self.requests),
            released=self.released,
            clock=clock_brake(self.ahead) or self.hold,
        )

    def _before_write(self) -> None:
        if self._meddle is not None and self._meddle[0] == self.wrote:
            self._meddle[1]()
            self._meddle = None
        if self._budget == self.wrote:
            raise Killed

    def _found(self, store: dict[str, Obj], name: str, version: str) -> Obj:
        self._before_write()
        if name not in store or objects.version(store[name]) != version:
            raise Conflict(f"{name} changed")
        return store[name]

    def _touch(self, obj: Obj) -> None:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))


def merge(obj: Obj, part: str, changes: Any) -> None:
    """Merge changes into a part of an object's metadata; None removes."""
    merged = {**obj["metadata"].get(part, {}), **changes}
    obj["metadata"][part] = {k: v for k, v in merged.items() if v is not None}
