"""The points of one attempt of a run: their snapshots asked for, taken, and made good.

Invariants:

- A snapshot's name and the time of its request are written down before it is asked for, and it is
  asked for in every round in which it is not there, until it is taken or takeTimeout has passed.
- A point is taken only when every dump on its claim was read again unchanged after the snapshot.
- No snapshot is waited for longer than the hooks hold what they froze for it.
- From then on its content carries what finds it: at once, or as soon as the hooks are over.
- A point is good only by MarkGood, or by the label that an earlier MarkGood wrote.
- Points of claims that belong together are marked in one round, when all of them are ready and a
  hook froze them all over their snapshots; if one fails, all fail.
- The phase is `run.decide`'s to change: here the points go a step further each.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpStatus
from backstay.api.hooks import Stage
from backstay.api.plan import ClaimGroup
from backstay.api.point import PointResult, PointStatus, SnapshotStatus
from backstay.api.store import StoreKind
from backstay.domain import naming
from backstay.domain.calendar import load_zone
from backstay.domain.run.hook_deadlines import frozen_until
from backstay.domain.run.sights import DumpSeen, DumpSight, PointSeen
from backstay.domain.run.status import (
    claims_to_snapshot,
    colon,
    counts,
    dumps_on,
    hook_in_words,
    hooks_on,
    named,
    plan_of,
    short,
    with_point,
)
from backstay.domain.run.values import (
    AT_ONCE,
    POLL,
    Action,
    CreateSnapshot,
    Decision,
    LabelContent,
    MarkGood,
    Seen,
    pause,
)
from backstay.domain.silence import QUIET
from backstay.domain.sources.together import covers
from backstay.domain.stores.snapshots.moments import moment_taken


def begin(seen: Seen, status: BackupStatus) -> BackupStatus:
    """Given a run and its status after the dumps, return the status that takes the snapshots.

    They are written down before the first is asked for: takeTimeout runs from here, also where
    the API server does not let us create them.
    """
    for claim in claims_to_snapshot(status):
        entry = PointStatus(
            source=claim,
            store=StoreKind.SNAPSHOT,
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
    if seen.torn:
        return Decision(without_pending(seen.status, seen.torn), after=AT_ONCE)
    status, actions = seen.status, list[Action]()
    for entry in pending(status):
        if entry.taken_at is not None:
            continue
        point = seen.points.get(entry.source, PointSeen())
        late = _late(seen, entry)
        if point.exists or point.claim_gone or late:
            status = with_point(status, _judge_taken(seen, entry, point, late))
        else:
            dumps = dumps_on(status, entry.source)
            actions.append(CreateSnapshot(entry.source, entry.ref or "", seen.now, dumps))
    if frozen_until(status) is None:
        actions += _labels(seen)
    untaken = [p for p in pending(status) if p.taken_at is None]
    unwritten = actions or any(seen.points.get(p.source, PointSeen()).taken for p in untaken)
    waited = seen.now - min((p.requested_at or seen.now for p in untaken), default=seen.now)
    after = POLL if unwritten else pause(waited)
    # A refused create is reported in the status by who carried it out; what went through clears it.
    return Decision(_reported(status), tuple(actions), after)


def _reported(status: BackupStatus) -> BackupStatus:
    """The status with what its undecided points wait for, claim by claim."""
    waits = [f"{named(p)}: {p.message}" for p in pending(status) if p.message]
    return changed(status, message=short("; ".join(waits)) or None)


def _waits_for(point: PointSeen, waited: timedelta) -> str | None:
    """What a point waits for: an error at once, and a silence when it is one."""
    return short(point.error or (point.silence if waited >= QUIET else "")) or None


def _labels(seen: Seen) -> list[LabelContent]:
    """Label the contents that a disk snapshot was seen behind, good or not: it is found from then
    on, whatever happens to the run, the snapshot and the namespace.
    """
    return [LabelContent(claim) for claim, p in seen.points.items() if p.bare and p.ours]


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
        return _failed(entry, f"not created within {late}{note}")
    if why := point.lost():
        return _failed(entry, why)
    if not point.taken:
        if late:
            return _failed(entry, f"not taken within {late}{colon(point.error or point.silence)}")
        return changed(entry, message=_waits_for(point, _waited(seen, entry)))
    for dump in dumps_on(seen.status, entry.source):
        look = seen.rechecks.get(dump.name, DumpSeen(DumpSight.UNREACHABLE))
        elsewhere = look.place is not None and look.place.claim != dump.claim
        if look.sight is DumpSight.UNREACHABLE or elsewhere:
            note = colon("only on another claim" if elsewhere else look.message)
            unread = f"dump {dump.name} could not be read after the snapshot{note}"
            return _failed(entry, unread) if late else changed(entry, message=short(unread))
        if why := _spoiled(dump, look):
            return _failed(entry, why)
    requested = entry.requested_at or seen.now
    taken_at = moment_taken(point.taken_at, requested=requested, now=seen.now)
    return changed(entry, taken_at=taken_at, snapshot=_disk(entry, point), message=None)


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


def with_hooks_judged(status: BackupStatus) -> BackupStatus:
    """Given a run whose hooks are over, return it with the points failed that one failed for."""
    for entry in _mine(status):
        bad = [h for h in hooks_on(status, entry.source) if counts(h)]
        if entry.pending and bad:
            status = with_point(status, _failed(entry, "; ".join(map(hook_in_words, bad))))
    return status


def with_groups_judged(status: BackupStatus) -> BackupStatus:
    """Given a run whose hooks are over, return it with every point failed that belongs together
    with one that failed, or with others over whose snapshots nothing held.
    """
    for group in plan_of(status).together:
        mine = [p for p in _group(status, group) if p.attempt == status.attempt]
        lost = [p.source for p in mine if p.result is PointResult.FAILED]
        why = f"claim {lost[0]}, which belongs together with it, failed" if lost else ""
        if not why and not _frozen(status, group):
            why = f"no hook froze {', '.join(group.claims)} together over their snapshots"
        for entry in mine:
            if entry.pending and why:
                status = with_point(status, _failed(entry, why))
    return status


def _group(status: BackupStatus, group: ClaimGroup) -> list[PointStatus]:
    return [p for p in _mine(status) if p.source in group.claims]


def _frozen(status: BackupStatus, group: ClaimGroup) -> bool:
    """Whether a hook that freezes held for all of these claims; one that ended too soon failed."""
    hooks = plan_of(status).hooks
    names = {h.name for h in (hooks.before if hooks else ()) if h.freezes}
    return any(
        h.name in names
        and h.stage is Stage.BEFORE
        and h.attempt == status.attempt
        and not counts(h)
        and covers(h.claims, group.claims)
        for h in status.hooks
    )


def without_pending(status: BackupStatus, why: str) -> BackupStatus:
    """Given a run and a reason, return it with every snapshot failed that is not decided yet."""
    for entry in pending(status):
        status = with_point(status, _failed(entry, why))
    return status


def pending(status: BackupStatus) -> list[PointStatus]:
    """Given a run, return its snapshots that are not decided yet."""
    return [p for p in _mine(status) if p.pending]


def _mine(status: BackupStatus) -> list[PointStatus]:
    return [p for p in status.points if p.store is StoreKind.SNAPSHOT]


def finish(seen: Seen) -> Decision:
    """Given a run whose snapshots are taken, return it with each point a step further."""
    status, marks = with_groups_judged(seen.status), list[str]()
    for entry in pending(status):
        point = seen.points.get(entry.source, PointSeen())
        status = with_point(status, _finished(seen, entry, point))
        if point.result is not PointResult.GOOD:
            marks.append(entry.source)
    # What belongs together is marked when all of it is ready: one that fails takes all along.
    for group in plan_of(status).together:
        members = _group(status, group)
        if any(p.result is not PointResult.GOOD for p in members):
            for p in members:
                if p.source in marks and p.result is PointResult.GOOD:
                    status = with_point(status, changed(p, result=PointResult.PENDING))
    status = with_groups_judged(status)
    good = {p.source for p in _mine(status) if p.result is PointResult.GOOD}
    marked = [claim for claim in marks if claim in good]
    # A verdict labels the content as well.
    labelled = (a for a in _labels(seen) if a.claim not in marked)
    actions: tuple[Action, ...] = (*map(MarkGood, marked), *labelled)
    waiting = pending(status)
    moments = [known_taken(p) or seen.now for p in waiting]
    reported = _reported(status) if waiting else status
    return Decision(reported, actions, pause(seen.now - min(moments, default=seen.now)))


def _finished(seen: Seen, entry: PointStatus, point: PointSeen) -> PointStatus:
    """One point a step further: good if it is ready."""
    timeout = plan_of(seen.status).ready_timeout
    if why := point.lost():
        return _failed(entry, why)
    if point.result is PointResult.GOOD or point.ready:
        return _good(entry, point)
    waited = _waited(seen, entry)
    if waited > timeout:
        why = colon(point.error or point.silence)
        return _failed(entry, f"not ready within readyTimeout ({timeout}){why}")
    return changed(entry, message=_waits_for(point, waited))


def _waited(seen: Seen, entry: PointStatus) -> timedelta:
    """How long the point has waited: for its snapshot, or since then to be ready."""
    return seen.now - (known_taken(entry) or seen.now)


def known_taken(entry: PointStatus) -> datetime | None:
    """Given a point, return when it was taken; a driver's clock may be wrong, but no snapshot
    precedes its request.
    """
    return max((t for t in (entry.taken_at, entry.requested_at) if t is not None), default=None)


def _good(entry: PointStatus, point: PointSeen) -> PointStatus:
    return changed(
        entry,
        result=PointResult.GOOD,
        bytes=point.restore_size,
        snapshot=_disk(entry, point),
        message=None,
    )


def _disk(entry: PointStatus, point: PointSeen) -> SnapshotStatus | None:
    """What is known of the content behind a snapshot."""
    name = point.content or entry.content
    return SnapshotStatus(content=name, handle=entry.handle) if name else None


def _failed(entry: PointStatus, why: str) -> PointStatus:
    return changed(entry, result=PointResult.FAILED, message=short(why))
