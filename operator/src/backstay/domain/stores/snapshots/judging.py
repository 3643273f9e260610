"""What a retention pass makes of each snapshot: the points of a policy in, one verdict each out.

Invariants: a claim is judged by itself, and each of its incarnations by itself; whatever takes
hold of a series only ever takes marks and sweeps away; a point counts only as what was seen of it
at this look. The pass acts on it, and `kubectl backstay retention` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from backstay.api.common import Condition
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import replaced
from backstay.domain.retention.brakes import Brake, Held, hold_back
from backstay.domain.retention.future import Ahead, ahead
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.replaced import Replaced
from backstay.domain.retention.shrinkage import Shrunk, shrunk
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


@dataclass(frozen=True, slots=True)
class Stopped:
    """The series of a policy in which a brake takes hold."""

    held: Sequence[Held] = ()
    """Nothing is marked for now."""
    shrunk: Sequence[Shrunk] = ()
    """Nothing is marked or swept."""
    ahead: Sequence[Ahead] = ()
    """Nothing is marked or swept."""
    replaced: Sequence[Replaced] = ()
    """Nothing of the sources before the one of now is marked or swept."""


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
    for pairs in by_claim.values():
        verdicts, stopped = _judge_claim([point for _, point in pairs], seen)
        found += [(snapshot, verdicts[point.uid]) for snapshot, point in pairs]
        stops.append(stopped)
    return found, Stopped(
        [h for s in stops for h in s.held],
        [h for s in stops for h in s.shrunk],
        [h for s in stops for h in s.ahead],
        [h for s in stops for h in s.replaced],
    )


def _judge_claim(points: Sequence[Point], seen: Seen) -> tuple[dict[str, Verdict], Stopped]:
    """The verdicts on all points of one claim by their uids, and what stops any of them."""
    parts = replaced.split(points, seen.same.get(points[0].claim, ()))
    # Of the whole claim, before it is split: the time that is wrong may have split it wrongly.
    early = ahead(points, seen.now)
    verdicts: dict[str, Verdict] = {}
    held: list[Held] = []
    small: list[Shrunk] = []
    for part in parts:
        # The policy's rules are for the source of now: its points must not push out older ones.
        rules = seen.rules if part is parts[-1] else None
        judged, stopped, frozen = _judge(part, rules, early, seen)
        if any(v.sweep and v.point.deleting for v in judged):
            # By a hand, maybe: its disk is due only if it were so with nothing being deleted.
            there, *_ = _judge([replace(p, deleting=False) for p in part], rules, early, seen)
            judged = [
                replace(v, sweep=v.sweep and (t.sweep or not v.point.deleting))
                for v, t in zip(judged, there, strict=True)
            ]
        held += [stopped] if stopped else []
        small += [frozen] if frozen else []
        verdicts |= {v.point.uid: v for v in judged}
    other = replaced.replaced(parts)
    return verdicts, Stopped(held, small, [early] if early else [], [other] if other else [])


def _judge(
    points: Sequence[Point], rules: Rules | None, early: Ahead | None, seen: Seen
) -> tuple[list[Verdict], Held | None, Shrunk | None]:
    """The verdicts on one incarnation of a claim, and what takes hold of it."""
    why = Reason.CLAIM_REPLACED if seen.rules is not None else Reason.POLICY_GONE
    verdicts = judge(points, rules, seen.now, frozen=why)
    small = shrunk(points, seen.accepted)
    verdicts, stopped = hold_back(
        verdicts,
        clock=seen.clock,
        frozen=[found.freezes for found in (early, small) if found is not None],
        released=seen.released,
    )
    return verdicts, stopped, small


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
