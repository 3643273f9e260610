"""The series of a policy's rolling copies, with the points that its Backups show.

Invariants: a series at another destination is another one; what a policy does not name any more
is there for as long as a Backup speaks of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from backstay.api.backup import BackupPhase, Trigger
from backstay.api.point import PointResult, PointStatus
from backstay.api.policy_status import SHOWN_MAX, PolicyStatus
from backstay.api.rolling import PlannedCopy, Rolling
from backstay.api.rolling_status import CopiesStatus, CopyStatus
from backstay.api.store import ROLLING
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.points import Point
from backstay.domain.stores.copies.points import Series
from backstay.domain.stores.copies.results import judged_point

Planned: TypeAlias = tuple[PlannedCopy, Rolling]
"""A directory that a policy names, and how it is kept."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A point as a Backup mirrors it."""

    run: Run
    entry: PointStatus
    point: Point

    @property
    def copy(self) -> CopyStatus:
        """What the Backup shows of it as a copy."""
        assert self.entry.rolling is not None  # noqa: S101 - only rolling copies are shown so
        return self.entry.rolling

    @property
    def good_since(self) -> datetime | None:
        """When it became good, by the operator's clock; None while its run is not over. A record
        that was recreated says only when the copy was made.
        """
        if self.run.spec.trigger is Trigger.IMPORTED:
            return self.point.taken
        return self.run.status.completed_at


@dataclass(frozen=True, slots=True)
class Kept:
    """The copies of one directory at one destination."""

    series: Series
    copy: PlannedCopy
    rolling: Rolling
    shown: Sequence[Shown] = ()


def kept_of(
    namespace: str, policy: str, runs: Sequence[Run], planned: Sequence[Planned]
) -> list[Kept]:
    """Given a policy's address, its Backups, and the directories that it names now and how they
    are kept, return the series of all of them with the points that the Backups show: first those
    that it names, then those copied last.
    """
    found: dict[tuple[str, str], Kept] = {}
    shown: dict[tuple[str, str], list[Shown]] = {}
    for copy, rolling in planned:
        found[_place(copy, rolling)] = Kept(series_of(namespace, policy, copy), copy, rolling)
    for run in sorted(runs, key=lambda r: r.name):
        rolling_plan = run.status.plan.rolling if run.status.plan else None
        for copy in rolling_plan.copies if rolling_plan else ():
            place = _place(copy, rolling_plan.settings) if rolling_plan else ("", "")
            series = series_of(namespace, policy, copy)
            if rolling_plan and place not in found:
                found[place] = Kept(series, copy, rolling_plan.settings)
            entry = next((p for p in run.status.points if p.key == (copy.series, ROLLING)), None)
            point = _living(series, entry)
            if entry is not None and point is not None:
                shown.setdefault(place, []).append(Shown(run, entry, point))
    made = [replace(kept, shown=tuple(shown.get(place, ()))) for place, kept in found.items()]
    named = len({_place(*wanted) for wanted in planned})
    return made[:named] + sorted(made[named:], key=_newest, reverse=True)


def _newest(kept: Kept) -> float:
    """When the newest point of a series was taken; 0 where it has none."""
    return max((shown.point.taken.timestamp() for shown in kept.shown), default=0.0)


def looks_of(status: PolicyStatus, kept: Sequence[Kept]) -> dict[str, CopiesStatus]:
    """Given a policy's status and its series, return what was seen of them by series. What no
    point, no record and no policy speaks of any more is forgotten.
    """
    known = {k.copy.series for k in kept[:SHOWN_MAX]}
    return {look.source: look for look in status.copies if look.source in known}


def series_of(namespace: str, policy: str, copy: PlannedCopy) -> Series:
    """Given a policy's address and a directory of its plan, return the series of its points."""
    if copy.node is not None:
        return Series(namespace, policy, "hostPath", copy.node, copy.path)
    return Series(namespace, policy, "claim", copy.claim or "", copy.path)


def copying(namespace: str, policy: str, runs: Sequence[Run]) -> dict[str, str]:
    """Given a policy's address and its Backups, return by key of each series that is being copied
    the name of the Backup that does. One that waits for its turn may do so for hours, and must
    not keep anybody from the points that are there.
    """
    return {
        series_of(namespace, policy, copy).key: run.name
        for run in runs
        if run.status.phase is BackupPhase.COPYING and run.status.plan and run.status.plan.rolling
        for copy in run.status.plan.rolling.copies
        # One that is made is waited for by others, maybe: its upload reads it.
        if (copy.series, ROLLING) not in {p.key for p in run.status.points if not p.pending}
    }


def _place(copy: PlannedCopy, rolling: Rolling) -> tuple[str, str]:
    return copy.series, rolling.destination.model_dump_json()


def _living(series: Series, entry: PointStatus | None) -> Point | None:
    if entry is None or entry.result is not PointResult.GOOD:
        return None
    if entry.rolling is None or entry.rolling.gone:
        return None
    return judged_point(series, entry)
