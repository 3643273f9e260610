"""The points of a run: instant ones while the hooks hold, the others after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointStatus
from backstay.domain.run import hooks as run_hooks
from backstay.domain.run.concurrency import is_driver_pool
from backstay.domain.run.ends import end_attempt
from backstay.domain.run.hook_deadlines import frozen_until
from backstay.domain.run.late import late_until
from backstay.domain.run.status import pending, plan_of, with_waits
from backstay.domain.run.values import AT_ONCE, Action, Decision, RunStore, Seen, StoreAction


def begin_points(seen: Seen, status: BackupStatus) -> Decision:
    """Given a run whose dumps are over, return it with its points begun: the instant ones first, as
    they are of the moment that the hooks hold.
    """
    begun = _begun(seen, status, instant_stores(seen))
    if _pending(begun):
        hooks = plan_of(status).hooks
        # With hooks before them they are written down when those are over: deadlines run from then.
        taking = status if hooks and hooks.before else begun
        phase = BackupPhase.SNAPSHOTTING
        return Decision(changed(taking, phase=phase, message=None), after=AT_ONCE)
    begun = _begun(seen, status, _later_stores(seen))
    if _pending(begun):
        return Decision(_waiting(seen, changed(begun, message=None)), after=AT_ONCE)
    return end_attempt(seen, begun)


def instant_stores(seen: Seen) -> list[RunStore]:
    """Given what was seen of a run, return the stores whose points are taken while hooks hold."""
    return [store for store in seen.stores if store.instant]


def _later_stores(seen: Seen) -> list[RunStore]:
    return [store for store in seen.stores if not store.instant]


def _begun(seen: Seen, status: BackupStatus, stores: Sequence[RunStore]) -> BackupStatus:
    """The status with the points of these stores written down."""
    for store in stores:
        status = store.begin(seen, status)
    return status


def _follow(seen: Seen, stores: Sequence[RunStore]) -> Decision:
    """Each of these stores takes its points a step further."""
    status, actions, after = seen.status, tuple[Action, ...](), list[timedelta]()
    for store in stores:
        if pending(status, store.name):
            step = store.follow(replace(seen, status=status))
            status, actions = step.status, (*actions, *step.actions)
            after += [step.after] if step.after is not None else []
    return Decision(status, actions, min(after, default=None))


def snapshotting(seen: Seen) -> Decision:
    """Given a run that takes instant points, return its next step: hooks, points, hooks."""
    step = run_hooks.before(seen)
    if step is not None:
        return step
    status, actions = seen.status, tuple[Action, ...]()
    if run_hooks.taking(status):
        if not any(p.attempt == status.attempt for p in status.points):
            return Decision(_begun(seen, status, instant_stores(seen)), after=AT_ONCE)
        step = _follow(seen, instant_stores(seen))
        if run_hooks.taking(step.status):
            frozen = frozen_until(status) is not None
            return replace(step, after=run_hooks.HOOK_POLL) if frozen else step
        status, actions = step.status, step.actions
        if seen.kept or run_hooks.turn(status, deleting=False):
            return Decision(status, actions, AT_ONCE)
    return run_hooks.after(seen) or _leave_snapshots(seen, status, actions)


def _leave_snapshots(seen: Seen, status: BackupStatus, actions: Sequence[Action]) -> Decision:
    for store in instant_stores(seen):
        status = store.judge(status)
    # After that: what is made of an instant point fails with it.
    judged = _begun(seen, status, _later_stores(seen))
    # The look that follows at once asks for these again, or for what makes them needless.
    actions = [a for a in actions if not (isinstance(a, StoreAction) and a.repeated)]
    if not _pending(judged):
        return end_attempt(seen, judged, actions)
    waiting = _waiting(seen, judged)
    if plan_of(status).dumps or plan_of(status).hooks or waiting.phase is BackupPhase.COPYING:
        return Decision(waiting, (*actions,), AT_ONCE)
    # Nothing that was read after the snapshot must be written down before the verdict.
    step = finish_points(replace(seen, status=waiting))
    return replace(step, actions=(*actions, *step.actions))


def _waiting(seen: Seen, status: BackupStatus) -> BackupStatus:
    """The phase of a run that has points to wait for, and the permits that it still needs."""
    later = [p for store in _later_stores(seen) for p in pending(status, store.name)]
    if any(late_until(status, *p.key) is None for p in later):
        pools = tuple(p for p in status.pools if not is_driver_pool(p))
        return with_waits(changed(status, phase=BackupPhase.COPYING, pools=pools))
    return with_waits(changed(status, phase=BackupPhase.UPLOADING, pools=()))


def finish_points(seen: Seen) -> Decision:
    """Given a run whose instant points are taken, return each store's points a step further."""
    return wait_or_end(_follow(seen, seen.stores), seen)


def wait_or_end(step: Decision, seen: Seen) -> Decision:
    """Given a step and what it rests on, have the run wait for the points that are not decided yet,
    or end the attempt.
    """
    if _pending(step.status):
        return replace(step, status=_waiting(seen, step.status))
    return end_attempt(seen, step.status, step.actions)


def _pending(status: BackupStatus) -> list[PointStatus]:
    return [p for p in status.points if p.pending]
