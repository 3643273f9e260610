"""The snapshots of one attempt of a run, from when they are asked for until they are taken.

Invariants:

- A snapshot's name and the time of its request are written down before it is asked for, and it is
  asked for in every round in which it is not there, until it is taken or takeTimeout has passed.
- A point is taken only when every dump on its claim was read again unchanged after the snapshot.
- No snapshot is waited for longer than the hooks hold what they froze for it.
- From then on its content carries what finds it: at once, or as soon as the hooks are over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpStatus
from backstay.api.point import PointResult, PointStatus
from backstay.api.store import SNAPSHOT
from backstay.domain import naming
from backstay.domain.calendar import load_zone
from backstay.domain.run.hook_deadlines import frozen_until
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import (
    claims_to_snapshot,
    colon,
    dumps_on,
    pending,
    plan_of,
    short,
    with_point,
    with_waits,
)
from backstay.domain.run.values import AT_ONCE, POLL, Action, Decision, Seen, pause
from backstay.domain.stores.snapshots.actions import CreateSnapshot
from backstay.domain.stores.snapshots.entries import (
    disk,
    failed,
    labels_for,
    waited,
    waits_for,
)
from backstay.domain.stores.snapshots.moments import moment_taken
from backstay.domain.stores.snapshots.sights import PointSeen, sight_of


def begin(seen: Seen, status: BackupStatus) -> BackupStatus:
    """Given a run and its status after the dumps, return the status that takes the snapshots.

    They are written down before the first is asked for: takeTimeout runs from here, also where
    the API server does not let us create them.
    """
    for claim in claims_to_snapshot(status):
        entry = PointStatus(
            source=claim,
            store=SNAPSHOT,
            attempt=status.attempt,
            ref=snapshot_name(seen, status, claim),
            result=PointResult.PENDING,
            requested_at=seen.now,
        )
        status = with_point(status, entry)
    return changed(status, message=None)


def snapshot_name(seen: Seen, status: BackupStatus, claim: str) -> str:
    """Given a run, its status and a claim, return the name of the attempt's snapshot."""
    when = seen.spec.scheduled_for or status.started_at or seen.now
    zone = load_zone(plan_of(status).zone)
    return naming.snapshot_name(claim, when, zone, seen.uid, status.attempt)


def until_taken(seen: Seen) -> Decision:
    """Given a run that takes snapshots, return it with each point a step further."""
    sight = sight_of(seen)
    if sight.torn:
        return Decision(without_pending(seen.status, sight.torn), after=AT_ONCE)
    status, actions = seen.status, list[Action]()
    for entry in pending(status, SNAPSHOT):
        if entry.taken_at is not None:
            continue
        point = sight.points.get(entry.source, PointSeen())
        late = _late(seen, entry)
        if point.exists or point.claim_gone or late:
            status = with_point(status, _judge_taken(seen, entry, point, late))
        else:
            dumps = dumps_on(status, entry.source)
            actions.append(CreateSnapshot(entry.source, entry.ref or "", seen.now, dumps))
    if frozen_until(status) is None:
        actions += labels_for(seen)
    untaken = [p for p in pending(status, SNAPSHOT) if p.taken_at is None]
    unwritten = actions or any(sight.points.get(p.source, PointSeen()).taken for p in untaken)
    so_long = seen.now - min((p.requested_at or seen.now for p in untaken), default=seen.now)
    after = POLL if unwritten else pause(so_long)
    # A refused create is reported in the status by who carried it out; what went through clears it.
    return Decision(with_waits(status), tuple(actions), after)


def take_deadlines(status: BackupStatus) -> tuple[datetime, ...]:
    """Given a run that takes snapshots, return when each one that is asked for is given up."""
    timeout, thaw = plan_of(status).take_timeout, frozen_until(status)
    untaken = (p for p in pending(status, SNAPSHOT) if p.taken_at is None)
    asked = (p.requested_at + timeout for p in untaken if p.requested_at is not None)
    return tuple(one if thaw is None else min(one, thaw) for one in asked)


def _late(seen: Seen, entry: PointStatus) -> str:
    """Within what the point should have been taken, if that is over."""
    plan, thaw = plan_of(seen.status), frozen_until(seen.status)
    if seen.now - (entry.requested_at or seen.now) > plan.take_timeout:
        return f"takeTimeout ({plan.take_timeout})"
    if thaw is not None and seen.now > thaw:
        return f"maxFreeze ({plan.hooks.max_freeze if plan.hooks else timedelta(0)})"
    return ""


def _judge_taken(seen: Seen, entry: PointStatus, point: PointSeen, late: str) -> PointStatus:
    """Follow one snapshot until it is taken and the dumps inside are known to be ours."""
    if late and not point.exists:
        note = colon(seen.status.message or "")
        return failed(entry, f"not created within {late}{note}")
    if why := point.lost():
        return failed(entry, why)
    if not point.taken:
        if late:
            return failed(entry, f"not taken within {late}{colon(point.error or point.silence)}")
        return changed(entry, message=waits_for(point, waited(seen, entry)))
    for dump in dumps_on(seen.status, entry.source):
        look = sight_of(seen).rechecks.get(dump.name, DumpSeen(DumpSight.UNREACHABLE))
        elsewhere = look.place is not None and look.place.claim != dump.claim
        if look.sight is DumpSight.UNREACHABLE or elsewhere:
            note = colon("only on another claim" if elsewhere else look.message)
            unread = f"dump {dump.name} could not be read after the snapshot{note}"
            return failed(entry, unread) if late else changed(entry, message=short(unread))
        if why := _spoiled(dump, look):
            return failed(entry, why)
    requested = entry.requested_at or seen.now
    taken_at = moment_taken(point.taken_at, requested=requested, now=seen.now)
    return changed(entry, taken_at=taken_at, snapshot=disk(entry, point), message=None)


def _spoiled(dump: DumpStatus, look: DumpSeen) -> str:
    """Why the dump that was read after the snapshot is not the one that was done, "" if it is."""
    if look.sight is DumpSight.FAILED:
        return f"dump {dump.name} reads as failed after the snapshot{colon(look.message)}"
    if look.sight is not DumpSight.DONE or look.sha256 != dump.sha256:
        return f"dump {dump.name} was replaced before the snapshot was taken"
    if look.path is not None and look.path != dump.path:
        return (
            f"dump {dump.name} lay at {dump.path} before the snapshot, and at {look.path} after it"
        )
    return ""


def without_pending(status: BackupStatus, why: str) -> BackupStatus:
    """Given a run and a reason, return it with every snapshot failed that is not decided yet."""
    for entry in pending(status, SNAPSHOT):
        status = with_point(status, failed(entry, why))
    return status
