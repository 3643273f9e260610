"""The retention of a policy's points in repositories: what their Backups are to show.

What goes is announced here (`Swept`) and forgotten by maintenance, which forgets nothing else
(`forgetting`). Rules, guards and brakes are those of snapshots (`retention.claims`).

Invariants: what a Backup shows as Swept is due at that pass; it is taken back when it is not due
any more, but for the time in which a Job may be forgetting it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointGone, PointStatus
from backstay.api.store import REPOSITORY
from backstay.domain import labels
from backstay.domain.labels import Result, Retain
from backstay.domain.records import losses
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes
from backstay.domain.retention.brakes import Brake, freeze
from backstay.domain.retention.claims import Basis, Stopped, joined, judge_claim
from backstay.domain.retention.expiry import until
from backstay.domain.retention.findings import Finding, Findings
from backstay.domain.retention.judge import tiers_for_new
from backstay.domain.retention.points import Point, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.stores.repository.conditions import Facts, findings_of
from backstay.domain.stores.repository.forgetting import Removal, is_announced
from backstay.domain.stores.repository.kept import Kept, Shown, point_of, written
from backstay.domain.stores.repository.seen import Seen

GONE_BY_HAND: Final = "the repository does not show its snapshots {ids} any more"


@dataclass(frozen=True, slots=True)
class Judged:
    """The points of one source in one repository, each with its verdict."""

    kept: Kept
    verdicts: Sequence[Verdict]
    """In the order of `kept.shown`."""
    stopped: Stopped = field(default_factory=Stopped)
    braked: Brake | None = None
    """Why the repository keeps something that would go."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the points of a policy in repositories has come to."""

    findings: Findings
    items: Sequence[Removal]


def judged(seen: Seen) -> list[Judged]:
    """Given what was read of one policy, return the verdict on each of its points."""
    return [_judged(kept, seen) for kept in seen.kept]


def look(seen: Seen) -> Looked:
    """Given what was read of one policy, return what its Backups and its conditions are to show."""
    found = judged(seen)
    given_up = losses.accepted(seen.finished, REPOSITORY, seen.released)
    new = {(uid, e.key): e for one in found for uid, e in _noted(one, seen, given_up)}
    noted = [(run, _with(run, new)) for run in seen.finished]
    points = {
        shown.artifact: (v.after, until(v.after, seen.rules, seen.now, last=v.last))
        for one in found
        for shown, v in zip(one.kept.shown, one.verdicts, strict=True)
    }
    findings = Findings(
        _conditions(found, seen),
        points,
        frozenset(shown.run.uid for one in found for shown in one.kept.shown),
        {run.uid: _differing(run.status.points, status.points) for run, status in noted},
        frozenset(losses.unsettled(noted, REPOSITORY)),
    )
    return Looked(findings, _removals(noted))


def _judged(kept: Kept, seen: Seen) -> Judged:
    points = [
        _dated(point_of(shown, seen.now, user=_user_of(shown, seen)), seen) for shown in kept.shown
    ]
    if not points:
        return Judged(kept, ())
    basis = Basis(seen.now, seen.rules, seen.clock, seen.released, seen.accepted, seen.same)
    brake = seen.frozen.get((kept.repository, kept.id))
    verdicts, stopped = judge_claim(points, basis)
    # Only then there is something to be said of it.
    braked = brake if brake and any(map(_leaves, verdicts.values())) else None
    if brake is not None:
        basis = replace(basis, frozen=(brake.message,))
        verdicts, stopped = judge_claim(points, basis)
    found = [verdicts[point.uid] for point in points]
    return Judged(kept, _with_whole_kept(kept, found), stopped, braked)


def _user_of(shown: Shown, seen: Seen) -> str | None:
    return seen.users.of(shown.run.name, shown.entry.source, shown.stored)


def _dated(point: Point, seen: Seen) -> Point:
    """The point of an ad-hoc run with the date that follows from its days: nothing else says it."""
    if point.retain is not Retain.DAYS or labels.DELETE_AFTER in point.labels:
        return point
    born = tiers_for_new([], point, seen.rules, seen.now)
    return replace(point, labels={**point.labels, **born})


def _leaves(verdict: Verdict) -> bool:
    return verdict.sweep or brakes.marks(verdict)


def _with_whole_kept(kept: Kept, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, but none that takes the newest point in which nothing is missing."""
    whole = [
        v.point
        for shown, v in zip(kept.shown, verdicts, strict=True)
        if not shown.stored.unreadable and v.point.result is Result.GOOD
    ]
    newest = max(whole, key=lambda p: p.order, default=None)
    return [freeze(v, Reason.NEWEST_WHOLE) if v.point is newest else v for v in verdicts]


def _noted(
    one: Judged, seen: Seen, given_up: Collection[tuple[str, str]]
) -> list[tuple[str, PointStatus]]:
    """The points of a series as their Backups are to show them, each with the uid of its run."""
    busy = (one.kept.repository, one.kept.id) in seen.maintained
    found = [
        (shown.run.uid, _living(shown, verdict, seen.now, busy=busy, clock=seen.clock))
        for shown, verdict in zip(one.kept.shown, one.verdicts, strict=True)
    ]
    elsewhere = one.kept.repository in seen.read_only
    return found + [
        (shown.run.uid, _missing(shown, seen.now, given_up, elsewhere=elsewhere))
        for shown in one.kept.missing
    ]


def _living(
    shown: Shown, verdict: Verdict, now: datetime, *, busy: bool, clock: Brake | None
) -> PointStatus:
    """A point that is there."""
    entry = written(shown, verdict)
    if verdict.sweep and clock is None:
        return _gone(entry, PointGone.SWEPT, now)
    if entry.gone is PointGone.SWEPT and busy:
        return entry  # A Job may be forgetting it: what came of that is known when it has ended.
    return _gone(entry, None, now)


def _missing(
    shown: Shown, now: datetime, given_up: Collection[tuple[str, str]], *, elsewhere: bool
) -> PointStatus:
    """A point that the last list has not shown, and that was not announced."""
    entry = shown.entry
    if elsewhere:
        # Of a repository that is only read: whoever writes it removes points as well.
        return _gone(entry, PointGone.SWEPT, now)
    if (entry.source, entry.ref or "") in given_up:
        return _gone(entry, PointGone.ACCEPTED, now)
    why = GONE_BY_HAND.format(ids=f"{shown.stored.data[:8]} and {shown.stored.record[:8]}")
    return _gone(entry, PointGone.MISSING, now, why)


def _gone(
    entry: PointStatus, gone: PointGone | None, now: datetime, why: str | None = None
) -> PointStatus:
    """The point with that outcome; itself where it has it."""
    # What it says of files that it lacks stays, as long as it is there.
    message = why if gone is PointGone.MISSING or entry.gone is PointGone.MISSING else entry.message
    if (gone, message) == (entry.gone, entry.message):
        return entry
    at = entry.gone_at
    # What a person accepts keeps the time of its loss, which its plan is named by.
    if gone is not entry.gone and gone is not PointGone.ACCEPTED:
        at = now if gone is not None else None
    return changed(entry, gone=gone, gone_at=at, message=message)


def _with(run: Run, new: Mapping[tuple[str, tuple[str, str]], PointStatus]) -> BackupStatus:
    points = tuple(new.get((run.uid, entry.key), entry) for entry in run.status.points)
    return changed(run.status, points=points)


def _differing(
    before: Sequence[PointStatus], after: Sequence[PointStatus]
) -> Sequence[PointStatus]:
    return [new for old, new in zip(before, after, strict=True) if new is not old]


def _removals(noted: Sequence[tuple[Run, BackupStatus]]) -> list[Removal]:
    """Whom to wake: the repositories in which something of these Backups is to be forgotten."""
    found = {
        (run.namespace, entry.stored.repository)
        for run, status in noted
        for entry in status.points
        if is_announced(entry) and entry.stored is not None
    }
    return [Removal(*place) for place in sorted(found)]


def _conditions(found: Sequence[Judged], seen: Seen) -> Sequence[Finding]:
    if seen.policy is None:
        return ()
    return findings_of(
        seen.policy,
        Facts(
            stopped=joined([one.stopped for one in found]),
            braked=[(one.kept, one.braked) for one in found if one.braked is not None],
            lost=losses.held(seen.finished, REPOSITORY),
            accepted=seen.accepted,
            clock=seen.clock,
        ),
    )
