"""The plan of one run: what was seen of a Backup in, the next status and actions out.

    Pending -> Queued -> Dumping -> Snapshotting -> Uploading -> Completed
                 ^                                     |          PartiallyFailed
                 +------------- retry -----------------+          Failed

Invariants:

- `decide` is total and pure. Every action is idempotent and has a deterministic name, so a
  process that dies after any of them is followed by one that decides the same again.
- What is started is written down one round before: a dump with its pod and container id, a
  snapshot with its name, so that deadlines run whatever happens. A verdict is written onto the
  artifact before the status that speaks of it.
- A point becomes good only by `MarkGood`, and only when its snapshot is ready, every dump on its
  claim is done, and that dump was read again unchanged after the cut.
- A dump that failed before its claim was known stands for every claim of the run.
- A final phase is never left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from backstay.api.backup import (
    BackupPhase,
    BackupSpec,
    BackupStatus,
    DumpState,
    DumpStatus,
    PlannedDump,
    PointResult,
    PointStatus,
    RunPlan,
)
from backstay.api.common import changed
from backstay.domain import naming
from backstay.domain.calendar import load_zone
from backstay.domain.errors import DataError, UserError
from backstay.domain.sights import DumpPlace, DumpSeen, DumpSight, PointSeen

E = TypeVar("E")

POLL: Final = timedelta(seconds=3)
"""Between two looks at something that nothing wakes us for."""
AT_ONCE: Final = timedelta(0)
TARGET_WAIT: Final = timedelta(minutes=2)
"""How long a dump's target may be without a running pod, as during a restart."""
POLICY_NOT_FOUND: Final = "PolicyNotFound"
POLICY_WAIT: Final = timedelta(seconds=30)
"""`kubectl apply -f FOLDER` may create a Backup some moments before its policy."""
DEADLINE_SLACK: Final = timedelta(seconds=60)
"""The script has the dump's own deadline inside; ours is for when the script is gone."""
RETRY_BASE: Final = timedelta(seconds=30)
MESSAGE_MAX: Final = 1024
NOWHERE: Final = DumpPlace("", "", "", "", "", "")
"""Of a dump whose target has no running container yet."""


@dataclass(frozen=True, slots=True)
class StartDump:
    """Start this dump in its container; a dump that runs or is done already is left alone."""

    dump: PlannedDump
    place: DumpPlace
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelDump:
    """End this dump if it still runs."""

    dump: PlannedDump
    place: DumpPlace
    attempt: int


@dataclass(frozen=True, slots=True)
class CreateSnapshot:
    """Ask the driver for a snapshot of this claim, or find that this was done."""

    claim: str
    name: str
    requested_at: datetime
    dumps: tuple[DumpStatus, ...]


@dataclass(frozen=True, slots=True)
class MarkGood:
    """Make the content Retain, then write result=good and the tiers onto the snapshot."""

    claim: str


@dataclass(frozen=True, slots=True)
class MarkFailed:
    """Write result=failed onto the snapshot if it is there and still pending."""

    snapshot: str
    reason: str


Action = StartDump | CancelDump | CreateSnapshot | MarkGood | MarkFailed


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one Backup rests on."""

    name: str
    uid: str
    created: datetime
    now: datetime
    spec: BackupSpec
    status: BackupStatus
    plan: RunPlan | None = None
    """The plan made from the policy just now, when the status has none yet."""
    problem: UserError | None = None
    """Why no plan could be made."""
    blockers: tuple[str, ...] = ()
    """Runs that hold or wait longer for a claim or target of this one."""
    dump: DumpSeen | None = None
    """The dump that is under way."""
    points: Mapping[str, PointSeen] = field(default_factory=dict)
    """By claim: the snapshot of the current attempt."""
    rechecks: Mapping[str, DumpSeen] = field(default_factory=dict)
    """By dump name: what its file says after the cut."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, what to do before it is written, and when to look again (None: never)."""

    status: BackupStatus
    actions: tuple[Action, ...] = ()
    after: timedelta | None = None


def decide(seen: Seen) -> Decision:
    """Given what was seen of a Backup, return what to do next.

    Raise DataError if the status contradicts itself.
    """
    match seen.status.phase:
        case BackupPhase.PENDING:
            return _freeze(seen)
        case BackupPhase.QUEUED:
            return _admit(seen)
        case BackupPhase.DUMPING:
            return _dump(seen)
        case BackupPhase.SNAPSHOTTING:
            return _cut(seen)
        case BackupPhase.UPLOADING:
            return _finish_points(seen)
    return Decision(seen.status)


def with_seen(seen: Seen, **found: object) -> Seen:
    """Given a sighting and what else was found (by field), return both together."""
    return replace(seen, **found)  # type: ignore[arg-type]  # names are Seen's own fields


def overlap(one: RunPlan | None, other: RunPlan | None) -> bool:
    """Given two plans, return whether they share a claim or a dump's target."""
    if one is None or other is None:
        return False
    claims = {c.name for c in one.claims} & {c.name for c in other.claims}
    targets = {_target(d) for d in one.dumps} & {_target(d) for d in other.dumps}
    return bool(claims or targets)


def _target(dump: PlannedDump) -> tuple[str, str]:
    return dump.target.kind, dump.target.name


def due_order(spec: BackupSpec, status: BackupStatus, name: str) -> tuple[datetime, str]:
    """Given a run, return its place in the queue: by slot, or by start for ad-hoc runs."""
    when = spec.scheduled_for or status.started_at or datetime.max.replace(tzinfo=UTC)
    return when, name


def current_dump(status: BackupStatus) -> PlannedDump | None:
    """Given a status, return the dump of this attempt that is next or under way, if any."""
    if status.plan is None:
        return None
    left = _claims_left(status)
    for dump in status.plan.dumps:
        entry = dump_entry(status, dump.name)
        if entry is None:
            return dump
        if entry.claim and entry.claim not in left:
            continue  # An earlier attempt made its point good; its dump is in that snapshot.
        if entry.attempt < status.attempt or entry.state is DumpState.RUNNING:
            return dump
    return None


def dump_entry(status: BackupStatus, name: str) -> DumpStatus | None:
    """Given a status, return the entry of a dump, if there is one."""
    return next((d for d in status.dumps if d.name == name), None)


def point_entry(status: BackupStatus, claim: str) -> PointStatus | None:
    """Given a status, return the entry of a claim's point, if there is one."""
    return next((p for p in status.points if p.claim == claim), None)


def dumps_on(status: BackupStatus, claim: str) -> tuple[DumpStatus, ...]:
    """Given a status, return this attempt's dumps that a point of the claim depends on."""
    return tuple(d for d in status.dumps if d.attempt == status.attempt and d.claim in ("", claim))


def _freeze(seen: Seen) -> Decision:
    missing = seen.problem is not None and seen.problem.reason == POLICY_NOT_FOUND
    if missing and seen.now - seen.created < POLICY_WAIT:
        return Decision(seen.status, after=POLL)
    if seen.plan is None:
        why = seen.problem.message if seen.problem else "the policy could not be read"
        return Decision(
            changed(
                seen.status,
                phase=BackupPhase.FAILED,
                message=_short(why),
                started_at=seen.now,
                completed_at=seen.now,
            )
        )
    status = changed(seen.status, phase=BackupPhase.QUEUED, plan=seen.plan, started_at=seen.now)
    return Decision(status, after=AT_ONCE)


def _admit(seen: Seen) -> Decision:
    status = seen.status
    if status.retry_at is not None and status.retry_at > seen.now:
        return Decision(status, after=status.retry_at - seen.now)
    if seen.blockers:
        waiting = changed(status, message=f"waiting for {', '.join(seen.blockers[:3])}")
        return Decision(waiting, after=POLL)
    begun = changed(
        status, attempt=status.attempt + 1, attempted_at=seen.now, retry_at=None, message=None
    )
    if current_dump(begun):
        return Decision(changed(begun, phase=BackupPhase.DUMPING), after=AT_ONCE)
    return Decision(_begin_cut(seen, begun), after=AT_ONCE)


def _dump(seen: Seen) -> Decision:
    status = seen.status
    dump = current_dump(status)
    if dump is None:
        return _leave_dumping(seen)
    look = seen.dump or DumpSeen(DumpSight.UNREACHABLE, message="its pod was not looked at")
    entry = dump_entry(status, dump.name)
    if entry is None or entry.attempt < status.attempt:
        return _place_dump(seen, dump, look, seen.now)
    if not entry.container_id:
        return _place_dump(seen, dump, look, entry.started_at)
    return _follow_dump(seen, dump, entry, look)


def _place_dump(seen: Seen, dump: PlannedDump, look: DumpSeen, since: datetime) -> Decision:
    """Write down where the dump will run, before it is started; nowhere while its target is away.

    The wait for the target is its own: the dumps before it may have taken hours.
    """
    status = seen.status
    if look.place is not None:
        entry = _entry_at(dump, look.place, status.attempt, seen.now)
        return Decision(_with_dump(status, entry), after=AT_ONCE)
    entry = _entry_at(dump, NOWHERE, status.attempt, since)
    if look.sight is DumpSight.UNREACHABLE and seen.now - since < TARGET_WAIT:
        waiting = changed(status, message=_short(f"dump {dump.name}: {look.message}"))
        return Decision(_with_dump(waiting, entry), (), POLL)
    failed = changed(entry, state=DumpState.FAILED, message=_short(look.message))
    return Decision(_with_dump(status, failed), after=AT_ONCE)


def _follow_dump(seen: Seen, dump: PlannedDump, entry: DumpStatus, look: DumpSeen) -> Decision:
    status = seen.status
    place = place_of(entry)

    def ended(message: str, *actions: Action) -> Decision:
        failed = changed(entry, state=DumpState.FAILED, message=_short(message))
        return Decision(_with_dump(status, failed), actions, AT_ONCE)

    def waiting(message: str | None, *actions: Action) -> Decision:
        if seen.now - entry.started_at > dump.max_duration + DEADLINE_SLACK:
            late = f"no result within maxDuration ({dump.max_duration})"
            why = f"{late}: {message}" if message else late
            return ended(why, CancelDump(dump, place, status.attempt))
        note = _short(f"dump {dump.name}: {message}") if message else None
        return Decision(changed(status, message=note), actions, POLL)

    if look.place is not None and look.place.container_id != entry.container_id:
        return ended("its container was restarted or replaced during the dump")
    match look.sight:
        case DumpSight.DONE:
            done = changed(
                entry,
                state=DumpState.DONE,
                bytes=look.bytes,
                sha256=look.sha256,
                seconds=look.seconds,
                versions=dict(look.versions) or None,
                uid=look.uid,
                gid=look.gid,
            )
            return Decision(_with_dump(changed(status, message=None), done), after=AT_ONCE)
        case DumpSight.FAILED | DumpSight.INTERRUPTED | DumpSight.SUPERSEDED:
            return ended(look.message)
        case DumpSight.NONE if not look.task_lives:
            return waiting(look.message or None, StartDump(dump, place, status.attempt))
        case DumpSight.NONE | DumpSight.RUNNING:
            return waiting(None)
        case DumpSight.BUSY:
            # The lock is another run's: starting again is how we learn that it is free.
            return waiting(look.message, StartDump(dump, place, status.attempt))
        case DumpSight.UNREACHABLE:
            return waiting(look.message)


def _leave_dumping(seen: Seen) -> Decision:
    if _claims_to_cut(seen.status):
        return Decision(_begin_cut(seen, seen.status), after=AT_ONCE)
    return _end_attempt(seen, seen.status)


def _begin_cut(seen: Seen, status: BackupStatus) -> BackupStatus:
    """Write the snapshots down before the first is asked for: cutTimeout runs from here, also
    where the API server does not let us create them.
    """
    for claim in _claims_to_cut(status):
        entry = PointStatus(
            claim=claim,
            attempt=status.attempt,
            snapshot=snapshot_name(seen, status, claim),
            result=PointResult.PENDING,
            requested_at=seen.now,
        )
        status = _with_point(status, entry)
    return changed(status, phase=BackupPhase.SNAPSHOTTING, message=None)


def _cut(seen: Seen) -> Decision:
    status, actions = seen.status, list[Action]()
    timeout = _plan_of(status).cut_timeout
    for entry in status.points:
        if entry.result is not PointResult.PENDING or entry.cut_at is not None:
            continue
        point = seen.points.get(entry.claim, PointSeen())
        late = seen.now - (entry.requested_at or seen.now) > timeout
        if point.exists or point.claim_gone or late:
            status = _with_point(status, _judge_cut(seen, entry, point, late=late))
        else:
            dumps = dumps_on(status, entry.claim)
            actions.append(CreateSnapshot(entry.claim, entry.snapshot or "", seen.now, dumps))
    pending = [p for p in status.points if p.result is PointResult.PENDING]
    if not pending:
        return _end_attempt(seen, status, actions)
    if all(p.cut_at for p in pending):
        uploading = changed(status, phase=BackupPhase.UPLOADING, message=None)
        return Decision(uploading, tuple(actions), AT_ONCE)
    # A refused create is told in the status by who carried it out; what went through clears it.
    return Decision(changed(status, message=None), tuple(actions), POLL)


def _judge_cut(seen: Seen, entry: PointStatus, point: PointSeen, *, late: bool) -> PointStatus:
    """Follow one snapshot until it is cut and the dumps inside are known to be ours."""
    timeout = _plan_of(seen.status).cut_timeout
    if late and not point.exists:
        note = _colon(seen.status.message or "")
        return _failed(entry, f"not created within cutTimeout ({timeout}){note}")
    if why := point.lost():
        return _failed(entry, why)
    if not point.cut:
        if late:
            return _failed(entry, f"not cut within cutTimeout ({timeout}){_colon(point.error)}")
        return changed(entry, message=_short(point.error) if point.error else None)
    for dump in dumps_on(seen.status, entry.claim):
        look = seen.rechecks.get(dump.name, DumpSeen(DumpSight.UNREACHABLE))
        elsewhere = look.place is not None and look.place.claim != dump.claim
        if look.sight is DumpSight.UNREACHABLE or elsewhere:
            note = _colon("only on another claim" if elsewhere else look.message)
            unread = f"dump {dump.name} could not be read after the cut{note}"
            return _failed(entry, unread) if late else entry
        if why := _spoiled(dump, look):
            return _failed(entry, why)
    return changed(
        entry, cut_at=point.cut_at or seen.now, content=point.content or None, message=None
    )


def _spoiled(dump: DumpStatus, look: DumpSeen) -> str:
    """Why the dump that was read after the cut is not the one that was done, "" if it is."""
    if look.sight is DumpSight.FAILED:
        return f"dump {dump.name} reads as failed after the cut{_colon(look.message)}"
    if look.sight is not DumpSight.DONE or look.sha256 != dump.sha256:
        return f"dump {dump.name} was replaced before the snapshot was cut"
    return ""


def _finish_points(seen: Seen) -> Decision:
    status, actions = seen.status, list[Action]()
    timeout = _plan_of(status).ready_timeout
    for entry in status.points:
        if entry.result is not PointResult.PENDING:
            continue
        point = seen.points.get(entry.claim, PointSeen())
        new = entry
        if why := point.lost():
            new = _failed(entry, why)
        elif point.result is PointResult.GOOD:
            new = _good(entry, point)
        elif point.ready:
            actions.append(MarkGood(entry.claim))
            new = _good(entry, point)
        elif seen.now - _known_cut(entry, seen.now) > timeout:
            new = _failed(entry, f"not ready within readyTimeout ({timeout}){_colon(point.error)}")
        status = _with_point(status, new)
    if any(p.result is PointResult.PENDING for p in status.points):
        return Decision(status, tuple(actions), POLL)
    return _end_attempt(seen, status, actions)


def _end_attempt(seen: Seen, status: BackupStatus, actions: Sequence[Action] = ()) -> Decision:
    """The attempt has nothing left to do: complete, retry or fail the run."""
    plan = _plan_of(status)
    failures = _failures(status)
    marks = tuple(
        MarkFailed(p.snapshot, p.message or "the attempt failed")
        for p in status.points
        if p.attempt == status.attempt and p.result is PointResult.FAILED and p.snapshot
    )
    actions = (*actions, *marks)
    left = _claims_left(status)
    why = _short("; ".join(failures)) if failures else None
    if left and status.attempt <= plan.retries:
        wait = RETRY_BASE * 2 ** (status.attempt - 1)
        again = changed(
            status,
            phase=BackupPhase.QUEUED,
            retry_at=seen.now + wait,
            message=_short(f"attempt {status.attempt} failed: {why}"),
        )
        return Decision(again, actions, wait)
    good = [p for p in status.points if p.result is PointResult.GOOD]
    phase = BackupPhase.COMPLETED
    if left:
        phase = BackupPhase.PARTIALLY_FAILED if good else BackupPhase.FAILED
    ended = changed(
        status,
        phase=phase,
        message=why if left else None,
        completed_at=seen.now,
        taken=min((p.cut_at for p in good if p.cut_at), default=None),
        size=_size(status, good),
    )
    return Decision(ended, actions)


def _plan_of(status: BackupStatus) -> RunPlan:
    """Every phase behind Queued has its plan."""
    if status.plan is None:
        raise DataError(f"a Backup in phase {status.phase} has no plan")
    return status.plan


def _claims_left(status: BackupStatus) -> tuple[str, ...]:
    """Claims of the plan that have no good point yet."""
    good = {p.claim for p in status.points if p.result is PointResult.GOOD}
    return tuple(c.name for c in _plan_of(status).claims if c.name not in good)


def _claims_to_cut(status: BackupStatus) -> tuple[str, ...]:
    """Claims without a good point whose dumps of this attempt all passed."""
    return tuple(
        claim
        for claim in _claims_left(status)
        if all(d.state is DumpState.DONE for d in dumps_on(status, claim))
    )


def _failures(status: BackupStatus) -> list[str]:
    """Why the attempt failed, dump by dump and point by point."""
    dumps = [
        f"dump {d.name}: {d.message}"
        for d in status.dumps
        if d.attempt == status.attempt and d.state is DumpState.FAILED
    ]
    points = [
        f"claim {p.claim}: {p.message}"
        for p in status.points
        if p.attempt == status.attempt and p.result is PointResult.FAILED
    ]
    return dumps + points


def snapshot_name(seen: Seen, status: BackupStatus, claim: str) -> str:
    """Given a run, its status and a claim, return the name of the attempt's snapshot."""
    when = seen.spec.scheduled_for or status.started_at or seen.now
    zone = load_zone(_plan_of(status).zone)
    return naming.snapshot_name(claim, when, zone, seen.uid, status.attempt)


def place_of(entry: DumpStatus) -> DumpPlace:
    """Given a dump's status, return where it was started."""
    return DumpPlace(
        pod=entry.pod,
        pod_uid=entry.pod_uid,
        container=entry.container,
        container_id=entry.container_id,
        claim=entry.claim,
        path=entry.path,
    )


def _entry_at(dump: PlannedDump, place: DumpPlace, attempt: int, now: datetime) -> DumpStatus:
    return DumpStatus(
        name=dump.name,
        attempt=attempt,
        state=DumpState.RUNNING,
        engine=dump.engine,
        pod=place.pod,
        pod_uid=place.pod_uid,
        container=place.container,
        container_id=place.container_id,
        claim=place.claim,
        path=place.path,
        file=dump.file,
        started_at=now,
    )


def _known_cut(entry: PointStatus, now: datetime) -> datetime:
    """When it was cut; a driver's clock may be wrong, but no cut precedes its request."""
    return max(t for t in (entry.cut_at or now, entry.requested_at) if t is not None)


def _good(entry: PointStatus, point: PointSeen) -> PointStatus:
    return changed(
        entry,
        result=PointResult.GOOD,
        bytes=point.restore_size,
        content=point.content or entry.content,
        message=None,
    )


def _failed(entry: PointStatus, why: str) -> PointStatus:
    return changed(entry, result=PointResult.FAILED, message=_short(why))


def _size(status: BackupStatus, good: Sequence[PointStatus]) -> str | None:
    """Dumps say more than volumes do: their size if there are any, else the restore size."""
    kept = {p.claim for p in good}
    dumps = [d.bytes for d in status.dumps if d.claim in kept and d.bytes is not None]
    points = [p.bytes for p in good if p.bytes is not None]
    total = sum(dumps or points)
    return format_size(total) if dumps or points else None


def format_size(size: int) -> str:
    """Given a size in bytes, return it for people in binary units, such as 1.2Gi."""
    value = float(size)
    for unit in ("", "Ki", "Mi", "Gi"):
        if value < 1024:
            return f"{value:.0f}{unit}" if value >= 10 or not unit else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}Ti"


def _short(text: str) -> str:
    """Keep the end of a long message: a tool's last words matter most."""
    flat = " ".join(text.split())
    return flat if len(flat) <= MESSAGE_MAX else "…" + flat[-MESSAGE_MAX + 1 :]


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _with_dump(status: BackupStatus, entry: DumpStatus) -> BackupStatus:
    return changed(status, dumps=_replaced(status.dumps, entry, lambda d: d.name == entry.name))


def _with_point(status: BackupStatus, entry: PointStatus) -> BackupStatus:
    points = _replaced(status.points, entry, lambda p: p.claim == entry.claim)
    return changed(status, points=points)


def _replaced(entries: tuple[E, ...], new: E, same: Callable[[E], bool]) -> tuple[E, ...]:
    if not any(map(same, entries)):
        return (*entries, new)
    return tuple(new if same(e) else e for e in entries)
