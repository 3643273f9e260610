"""The plan of one run: what was seen of a Backup in, the next status and actions out.

    Pending -> Queued -> Dumping -> Snapshotting -> Uploading -> Completed
                 ^                                     |          PartiallyFailed
                 +------------- retry -----------------+          Failed

Snapshotting is the hooks before, the points of instant stores (snapshots), and the hooks after.
Those of the others (rolling copies) are begun then: the run is Copying until they are decided,
whatever else it waits for. What a store does for its points is its own (`values.RunStore`; the
stores that there are come with what was seen). Invariants:

- `decide` is total and pure. Every action is idempotent and has a deterministic name, so a
  process that dies after any of them is followed by one that decides the same again.
- What is started is written down one round before: a dump with its pod and container id, a
  snapshot with its name, so that deadlines run whatever happens. A verdict is written onto the
  artifact before the status that speaks of it.
- Each store goes on by itself: what fails in one leaves the points of the others good. The run is
  Completed only when every store has a good point of each of its sources.
- What a run holds, pools included, it holds from its admission until its last hook after the
  snapshot.
- A dump that failed before its claim was known stands for every claim of the run.
- A final phase is never left, and an Imported Backup never executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import (
    BackupPhase,
    BackupSpec,
    BackupStatus,
    Trigger,
)
from backstay.api.common import changed
from backstay.domain.errors import UserError
from backstay.domain.run import dumps as run_dumps
from backstay.domain.run import hooks as run_hooks
from backstay.domain.run.ends import ended
from backstay.domain.run.points import (
    begin_points,
    finish_points,
    instant_stores,
    snapshotting,
    wait_or_end,
)
from backstay.domain.run.sights import DumpSeen, DumpSight, HookSeen, HookSight
from backstay.domain.run.status import (
    current_dump,
    pending,
    plan_of,
    retry_left,
    short,
)
from backstay.domain.run.values import (
    AT_ONCE,
    POLL,
    Decision,
    FreeRecord,
    RunStore,
    Seen,
)

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


def fail(seen: Seen, why: str, store: str = "") -> Decision:
    """Given what was seen of a Backup, why what `decide` makes of that can never be carried out,
    and which store failed ("": it was none, or all), return what to do instead: what was looked
    at counts as failed for that reason.

    Raise DataError if the status contradicts itself.
    """
    phase = seen.status.phase
    if phase is BackupPhase.PENDING:
        return decide(replace(seen, plan=None, problem=UserError("CannotGoOn", why)))
    if phase is BackupPhase.QUEUED:
        return Decision(ended(seen, seen.status, short(why)))
    if phase is BackupPhase.DUMPING:
        return decide(replace(seen, dump=DumpSeen(DumpSight.FAILED, message=why)))
    if phase in (BackupPhase.UPLOADING, BackupPhase.COPYING):
        given_up = seen.status
        for one in _failing(seen, store):
            given_up = one.give_up(given_up, why)
        return wait_or_end(Decision(given_up, after=AT_ONCE), seen)
    if seen.hook is not None and not seen.kept and not _any_hook_started(seen.status):
        # Without the finalizer no hook is ever started, nor is any snapshot taken without its
        # hooks.
        return Decision(ended(seen, seen.status, short(why)))
    if seen.hook is not None:
        return decide(replace(seen, hook=HookSeen(HookSight.FAILED, message=why)))
    status = seen.status
    for one in instant_stores(seen):
        status = one.give_up(status, why)
    return decide(replace(seen, status=status))


def _failing(seen: Seen, store: str) -> list[RunStore]:
    """The stores whose points fail with a step of a run that waits for points."""
    waiting = [one for one in seen.stores if pending(seen.status, one.name)]
    named = [one for one in waiting if one.name == store]
    # Of what instant stores wait for nothing was seen, maybe: that is looked at again by itself,
    # as nothing but the others keeps a run in the phase Copying.
    return named or [one for one in waiting if not one.instant] or waiting


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
    return begin_points(seen, begun)


def _dump(seen: Seen) -> Decision:
    if step := run_dumps.follow(seen):
        return step
    return begin_points(seen, seen.status)


def _release_hooks(seen: Seen) -> Decision:
    """Somebody deleted the Backup: what its hooks hold is released, and nothing else is done."""
    if seen.status.phase is BackupPhase.SNAPSHOTTING and (step := run_hooks.after(seen)):
        return step
    return Decision(seen.status, (FreeRecord(),) if seen.kept else ())


_STEPS: Final[Mapping[BackupPhase, Callable[[Seen], Decision]]] = {
    BackupPhase.PENDING: _freeze,
    BackupPhase.QUEUED: _admit,
    BackupPhase.DUMPING: _dump,
    BackupPhase.SNAPSHOTTING: snapshotting,
    BackupPhase.UPLOADING: finish_points,
    BackupPhase.COPYING: finish_points,
}
