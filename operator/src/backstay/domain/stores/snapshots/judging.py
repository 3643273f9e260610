"""What a retention pass makes of each snapshot: the points of a policy in, one verdict each out.

Invariant: a point counts only as what was seen of it at this look. The pass acts on the verdicts
(`retention.claims`), and `kubectl backstay retention` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from backstay.api.common import Condition
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Brake
from backstay.domain.retention.claims import Basis, Stopped, joined, judge_claim
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.content import content_of


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pass over one policy rests on."""

    now: datetime
    rules: Rules | None
    """None: the policy is gone."""
    snapshots: Sequence[Obj]
    contents: Mapping[str, Obj]
    """By name: those bound to the snapshots, whether they carry our labels or not, and those that
    finished Backups name."""
    looked: bool = field(default=True, kw_only=True)
    """False: nobody asked for the contents, so one that is missing says nothing."""
    named: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """By snapshot: what names it besides its annotation, in words."""
    running: frozenset[str]
    """uids of the Backups that are not final."""
    requests: frozenset[str]
    """uids of the RestoreRequests that are not final."""
    released: frozenset[str] = frozenset()
    """Hashes of the plans that a person released."""
    accepted: Mapping[str, datetime] = field(default_factory=dict)
    """Since when a person accepts the sizes of dumps, by claim."""
    clock: Brake | None = None
    """Set: our clock is off, and nothing is marked or swept."""
    policy: Obj | None = None
    """As read; None: there is nobody to report to."""
    conditions: tuple[Condition, ...] = ()
    """Of the policy."""
    same: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By claim: ids of sources that a person accepts as going on with its series."""
    finished: Sequence[Run] = ()
    """The Backups that are final."""
    unlabelled: Sequence[Obj] = ()
    """Snapshots that finished Backups name, found by their name: without our label."""


def judged(seen: Seen) -> tuple[list[tuple[Obj, Verdict]], Stopped]:
    """Given what was read, return each snapshot with its verdict, series by series, and the
    series that a brake stops. The pass acts on it and `kubectl backstay retention` shows it.
    """
    by_claim: dict[tuple[str, str], list[tuple[Obj, Point]]] = {}
    for snapshot in seen.snapshots:
        point = _as_it_counts(snapshot, seen)
        by_claim.setdefault((point.namespace, point.claim), []).append((snapshot, point))
    found: list[tuple[Obj, Verdict]] = []
    stops: list[Stopped] = []
    basis = Basis(seen.now, seen.rules, seen.clock, seen.released, seen.accepted, seen.same)
    for pairs in by_claim.values():
        verdicts, stopped = judge_claim([point for _, point in pairs], basis)
        found += [(snapshot, verdicts[point.uid]) for snapshot, point in pairs]
        stops.append(stopped)
    return found, joined(stops)


def _as_it_counts(snapshot: Obj, seen: Seen) -> Point:
    """The point as retention is to see it: orphaned pending ones as failed, those without their
    content as not ready, without users that are gone.
    """
    zone = seen.rules.zone if seen.rules is not None else UTC
    point = point_of(snapshot, zone)
    if (user := seen.named.get(point.name)) is not None:
        point = replace(point, named_by=user)
    if point.ready and seen.looked and not _is_there(snapshot, seen.contents):
        point = replace(point, ready=False)
    if point.result is labels.Result.PENDING:
        run = objects.annotations(snapshot).get(labels.RUN, "")
        if run not in seen.running:
            failed = {**point.labels, labels.RESULT: labels.Result.FAILED.value}
            point = replace(point, labels=failed)
    if point.in_use is not None:
        users = [u for u in point.in_use.split(",") if u in seen.requests]
        point = replace(point, in_use=",".join(users) or None)
    return point


def _is_there(snapshot: Obj, contents: Mapping[str, Obj]) -> bool:
    """Whether what a snapshot that says that it is ready refers to is there."""
    bound = dig(snapshot, "status", "boundVolumeSnapshotContentName")
    if bound is None:
        return True  # Nobody says so but a snapshot that is being bound.
    content = contents.get(bound)
    if content is None:
        return False
    if dig(content, "metadata", "deletionTimestamp"):
        # One that a sweep of ours takes says that the snapshot was judged, and is gone by now.
        return content_of(content).leaves_with(objects.uid(snapshot))
    ready = dig(content, "status", "readyToUse", default=True)
    return bool(ready) and dig(content, "spec", "volumeSnapshotRef", "uid") in (
        None,
        objects.uid(snapshot),
    )
