"""The plan of one run: what was seen of a Backup in, the next status and actions out.

    Pending -> Queued -> Dumping -> Snapshotting -> Uploading -> Completed
                 ^                                     |          PartiallyFailed
                 +------------- retry -----------------+          Failed

Snapshotting is the hooks before, the snapshots, and the hooks after. A run that makes rolling
copies is Copying until they are made, whatever else it waits for. Invariants:

- `decide` is total and pure. Every action is idempotent and has a deterministic name, so a
  process that dies after any of them is followed by one that decides the same again.
- What is started is written down one round before: a dump with its pod and container id, a
  snapshot with its name, so that deadlines run whatever happens. A verdict is written onto the
  artifact before the status that speaks of it.
- A point becomes good only by `MarkGood`, and only when its snapshot is ready, every dump on its
  claim is done, that dump was read again unchanged after the snapshot, and no hook on it failed.
- Each store goes on by itself: what fails in one leaves the points of the others good. The run is
  Completed only when every store has a good point of each of its sources.
- What a run holds, pools included, it holds from its admission until its last hook after the
  snapshot.
- A dump that failed before its claim was known stands for every claim of the run.
- A final phase is never left, and an Imported Backup never executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus, Trigger
from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus
from backstay.api.store import StoreKind
from backstay.domain.errors import UserError
from backstay.domain.run import dumps as run_dumps
from backstay.domain.run import hooks as run_hooks
from backstay.domain.run.concurrency import is_driver_pool
from backstay.domain.run.hook_deadlines import frozen_until
from backstay.domain.run.sights import CopySeen, DumpSeen, DumpSight, HookSeen, HookSight
from backstay.domain.run.status import (
    claim_of,
    claims_to_snapshot,
    current_dump,
    failures,
    format_size,
    ignored,
    lacks_entries,
    named,
    noted,
    plan_of,
    points_left,
    retry_left,
    retry_wait,
    short,
    spread_of,
)
from backstay.domain.run.values import (
    AT_ONCE,
    POLL,
    Action,
    Decision,
    FreeRecord,
    LabelContent,
    MarkFailed,
    Seen,
)
from backstay.domain.stores.copies import take as run_rolling
from backstay.domain.stores.snapshots import take

POLICY_NOT_FOUND: Final = "PolicyNotFound"
TARGET_NOT_RUNNING: Final = "TargetNotRunning"
FORBIDDEN: Final = "Forbidden"
NO_SECRET: Final = "SecretNotFound"  # noqa: S105 - a reason
NO_SECRET_KEY: Final = "SecretKeyNotFound"  # noqa: S105 - a reason
POLICY_WAIT: Final = timedelta(seconds=30)
"""`kubectl apply -f FOLDER` may create a Backup some moments before its policy, Role or Secret."""
_WAITS: Final = {
    POLICY_NOT_FOUND: POLICY_WAIT,
    FORBIDDEN: POLICY_WAIT,
    NO_SECRET: POLICY_WAIT,
    NO_SECRET_KEY: POLICY_WAIT,
    TARGET_NOT_RUNNING: run_dumps.TARGET_WAIT,
}
"""How long these problems count as transient, from the creation of the Backup."""


def decide(seen: Seen) -> Decision:
    """Given what was seen of a Backup, return what to do next.

    Raise DataError if the status contradicts itself.
    """
    if seen.spec.trigger is Trigger.IMPORTED:
        return Decision(seen.status)  # Whoever made it writes its final status.
    if seen.deleting:
        return _release_hooks(seen)
    step = _STEPS.get(seen.status.phase)
    return step(seen) if step else Decision(seen.status)


def fail(seen: Seen, why: str) -> Decision:
    """Given what was seen of a Backup, and why what `decide` makes of that can never be carried
    out, return what to do instead: what was looked at counts as failed for that reason.

    Raise DataError if the status contradicts itself.
    """
    phase = seen.status.phase
    if phase is BackupPhase.PENDING:
        return decide(replace(seen, plan=None, problem=UserError("CannotGoOn", why)))
    if phase is BackupPhase.QUEUED:
        return Decision(_ended(seen, seen.status, short(why)))
    if phase is BackupPhase.DUMPING:
        return decide(replace(seen, dump=DumpSeen(DumpSight.FAILED, message=why)))
    if phase is BackupPhase.COPYING:
        # Of snapshots that are waited for as well nothing was seen, maybe: they are looked at again
        # by themselves, as nothing but a copy keeps the run in this phase.
        return _next(run_rolling.follow(replace(seen, copy=CopySeen(problem=why))), seen)
    if seen.hook is not None and not seen.kept and not _any_hook_started(seen.status):
        # Without the finalizer no hook is ever started, nor is any snapshot taken without its
        # hooks.
        return Decision(_ended(seen, seen.status, short(why)))
    if seen.hook is not None:
        return decide(replace(seen, hook=HookSeen(HookSight.FAILED, message=why)))
    return decide(replace(seen, status=take.without_pending(seen.status, why)))


def _any_hook_started(status: BackupStatus) -> bool:
    return any(h.container_id for h in status.hooks if h.attempt == status.attempt)


def due_order(spec: BackupSpec, created: datetime, name: str) -> tuple[datetime, str]:
    """Given a run and when its Backup was created, return its place in the queue: by slot, or by
    creation for ad-hoc runs. The API server has whole seconds, so within one the name decides.
    """
    return spec.scheduled_for or created, name


def _freeze(seen: Seen) -> Decision:
    wait = _WAITS.get(seen.problem.reason) if seen.problem else None
    if seen.problem and wait is not None and seen.now - seen.created < wait:
        return Decision(changed(seen.status, message=short(seen.problem.message)), after=POLL)
    if seen.plan is None:
        why = seen.problem.message if seen.problem else "the policy could not be read"
        return Decision(
            changed(
                seen.status,
                phase=BackupPhase.FAILED,
                message=short(why),
                started_at=seen.now,
                completed_at=seen.now,
            )
        )
    status = changed(
        seen.status,
        phase=BackupPhase.QUEUED,
        plan=seen.plan,
        started_at=seen.now,
        message=None,
    )
    return Decision(status, after=AT_ONCE)


def _admit(seen: Seen) -> Decision:
    status = seen.status
    if wait := retry_left(status, seen.now):
        return Decision(status, after=wait)
    if seen.waits_for:
        return Decision(changed(status, message=short(seen.waits_for)))
    begun = changed(
        status,
        attempt=status.attempt + 1,
        attempted_at=seen.now,
        retry_at=None,
        message=None,
        pools=plan_of(status).pools,
    )
    if current_dump(begun):
        return Decision(changed(begun, phase=BackupPhase.DUMPING), after=AT_ONCE)
    return _begin_points(seen, begun)


def _dump(seen: Seen) -> Decision:
    if step := run_dumps.follow(seen):
        return step
    return _begin_points(seen, seen.status)


def _begin_points(seen: Seen, status: BackupStatus) -> Decision:
    """The dumps are over: snapshots first, as they are of the moment that the hooks hold."""
    if claims_to_snapshot(status):
        return Decision(_begin_snapshots(seen, status), after=AT_ONCE)
    copying = run_rolling.begin(status)
    if _pending(copying):
        return Decision(changed(copying, phase=BackupPhase.COPYING, message=None), after=AT_ONCE)
    return _end_attempt(seen, status)


def _begin_snapshots(seen: Seen, status: BackupStatus) -> BackupStatus:
    """Snapshots are written down at once, or when the hooks before them are over."""
    taking = changed(status, phase=BackupPhase.SNAPSHOTTING, message=None)
    hooks = plan_of(status).hooks
    return taking if hooks and hooks.before else take.begin(seen, taking)


def _snapshotting(seen: Seen) -> Decision:
    step = run_hooks.before(seen)
    if step is not None:
        return step
    status, actions = seen.status, tuple[Action, ...]()
    if run_hooks.taking(status):
        if not any(p.attempt == status.attempt for p in status.points):
            return Decision(take.begin(seen, status), after=AT_ONCE)
        step = take.until_taken(seen)
        if run_hooks.taking(step.status):
            frozen = frozen_until(status) is not None
            return replace(step, after=run_hooks.HOOK_POLL) if frozen else step
        status, actions = step.status, step.actions
        if seen.kept or run_hooks.turn(status, deleting=False):
            return Decision(status, actions, AT_ONCE)
    return run_hooks.after(seen) or _leave_snapshots(seen, status, actions)


def _leave_snapshots(seen: Seen, status: BackupStatus, actions: Sequence[Action]) -> Decision:
    judged = run_rolling.begin(take.with_groups_judged(take.with_hooks_judged(status)))
    # The look that follows at once labels the contents, or writes their verdict, which does.
    actions = [a for a in actions if not isinstance(a, LabelContent)]
    if not _pending(judged):
        return _end_attempt(seen, judged, actions)
    waiting = _waiting(judged)
    if plan_of(status).dumps or plan_of(status).hooks or waiting.phase is BackupPhase.COPYING:
        return Decision(waiting, (*actions,), AT_ONCE)
    # Nothing that was read after the snapshot must be written down before the verdict.
    step = _finish_points(replace(seen, status=waiting))
    return replace(step, actions=(*actions, *step.actions))


def _release_hooks(seen: Seen) -> Decision:
    """Somebody deleted the Backup: what its hooks hold is released, and nothing else is done."""
    if seen.status.phase is BackupPhase.SNAPSHOTTING and (step := run_hooks.after(seen)):
        return step
    return Decision(seen.status, (FreeRecord(),) if seen.kept else ())


def _waiting(status: BackupStatus) -> BackupStatus:
    """The phase of a run that has points to wait for, and the permits that it still needs."""
    if run_rolling.current(status) is not None:
        pools = tuple(p for p in status.pools if not is_driver_pool(p))
        return changed(status, phase=BackupPhase.COPYING, pools=pools)
    return changed(status, phase=BackupPhase.UPLOADING, pools=())


def _finish_points(seen: Seen) -> Decision:
    """Every store takes its points a step further."""
    status, actions, after = seen.status, tuple[Action, ...](), list[timedelta]()
    for pending, advance in (
        (take.pending, take.finish),
        (run_rolling.pending, run_rolling.follow),
    ):
        if pending(status):
            step = advance(replace(seen, status=status))
            status, actions = step.status, (*actions, *step.actions)
            after += [step.after] if step.after is not None else []
    return _next(Decision(status, actions, min(after, default=None)), seen)


def _next(step: Decision, seen: Seen) -> Decision:
    """Wait for the points that are not decided yet, or end the attempt."""
    if _pending(step.status):
        return replace(step, status=_waiting(step.status))
    return _end_attempt(seen, step.status, step.actions)


def _pending(status: BackupStatus) -> list[PointStatus]:
    return [p for p in status.points if p.pending]


def _end_attempt(seen: Seen, status: BackupStatus, actions: Sequence[Action] = ()) -> Decision:
    """The attempt has nothing left to do: complete, retry or fail the run."""
    plan = plan_of(status)
    marks = tuple(
        MarkFailed(p.ref)
        for p in status.points
        if p.attempt == status.attempt
        and p.result is PointResult.FAILED
        and p.store is StoreKind.SNAPSHOT
        and p.ref
    )
    actions = (*actions, *marks)
    left = points_left(status)
    why = short("; ".join(failures(status))) or None
    if left and status.attempt <= plan.retries:
        wait = retry_wait(status)
        again = changed(
            status,
            phase=BackupPhase.QUEUED,
            retry_at=seen.now + wait,
            pools=(),
            message=short(f"attempt {status.attempt} failed: {why}"),
        )
        return Decision(again, actions, wait)
    if left:
        return Decision(_ended(seen, status, why), actions)
    lacking = [f"{named(p)}: {p.message}" for p in status.points if lacks_entries(p)]
    note = short("; ".join([*lacking, *ignored(status), *noted(status)])) or None
    ended = _ended(seen, status, note)
    return Decision(ended if lacking else changed(ended, phase=BackupPhase.COMPLETED), actions)


def _ended(seen: Seen, status: BackupStatus, why: str | None) -> BackupStatus:
    """The status of a run that ends here, with less than it should have made."""
    good = [p for p in status.points if p.result is PointResult.GOOD]
    return changed(
        status,
        phase=BackupPhase.PARTIALLY_FAILED if good else BackupPhase.FAILED,
        message=why,
        retry_at=None,
        pools=(),
        completed_at=seen.now,
        taken=min((p.taken_at for p in good if p.taken_at), default=None),
        size=size_of(status, good),
        spread=spread_of(status),
    )


def size_of(status: BackupStatus, good: Sequence[PointStatus]) -> str | None:
    """Given a status and its good points, return their size for printing: that of their dumps,
    which say more than volumes do, else the restore size.
    """
    plan = status.plan
    kept = {claim_of(plan, *p.key) if plan else p.source for p in good}
    dumps = [d.bytes for d in status.dumps if d.claim in kept and d.bytes is not None]
    stores = {p.store for p in good}
    points = [[p.bytes for p in good if p.store is s and p.bytes is not None] for s in stores]
    # Several stores keep the same data: it is shown once, as the largest of them has it.
    total = sum(dumps) if dumps else max(map(sum, points), default=0)
    return format_size(total) if dumps or any(points) else None


_STEPS: Final[Mapping[BackupPhase, Callable[[Seen], Decision]]] = {
    BackupPhase.PENDING: _freeze,
    BackupPhase.QUEUED: _admit,
    BackupPhase.DUMPING: _dump,
    BackupPhase.SNAPSHOTTING: _snapshotting,
    BackupPhase.UPLOADING: _finish_points,
    BackupPhase.COPYING: _finish_points,
}
