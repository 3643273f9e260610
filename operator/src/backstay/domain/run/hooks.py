"""The hooks of one attempt of a run: each placed, started, followed, and what it holds released.

Invariants:

- Where a hook runs is written down one round before it is started, and its release is written down
  one round before it is asked for. The finalizer is on the Backup before the first hook is started,
  and until the last one after has ended.
- A hook that may hold something is always released, whatever happened to it, to its container or of
  the Backup: in reverse order of their starts. Then the other hooks after run, in order.
- What ended before its release has not covered the snapshot: its points fail, whatever onError
  says. onError speaks of the ends of commands.
- Every wait has an end: TARGET_WAIT for a pod, the hook's own timeouts and SLACK for a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.hooks import HookState, HookStatus, OnError, PlannedHook, PlannedHooks, Stage
from backstay.domain.run.dumps import TARGET_WAIT
from backstay.domain.run.sights import HookPlace, HookSeen, HookSight
from backstay.domain.run.status import (
    claims_to_snapshot,
    colon,
    hook_entry,
    plan_of,
    short,
    with_hook,
)
from backstay.domain.run.values import (
    AT_ONCE,
    POLL,
    Action,
    Decision,
    FreeRecord,
    KeepRecord,
    ReleaseHook,
    Seen,
    StartHook,
)

HOOK_POLL: Final = timedelta(seconds=1)
"""Between two looks while something may be frozen."""
SLACK: Final = timedelta(seconds=60)
"""The script has its own deadlines inside; ours are for when the script is gone."""
QUIET: Final = timedelta(seconds=10)
"""A release that takes no longer is not worth a word."""
NOWHERE: Final = HookPlace("", "", "", "", ())


@dataclass(frozen=True, slots=True)
class Turn:
    """The hook that is next or under way."""

    hook: PlannedHook
    stage: Stage
    entry: HookStatus | None
    """Of this attempt."""


def turn(status: BackupStatus, *, deleting: bool) -> Turn | None:
    """Given a run that takes snapshots, return whose turn it is, if a hook's."""
    if not deleting:
        if found := _next_before(status):
            return found
        if taking(status):
            return None
    return _next_after(status, deleting=deleting)


def taking(status: BackupStatus) -> bool:
    """Given a run that takes snapshots, return whether one is still to be asked for or taken."""
    mine = [p for p in status.points if p.attempt == status.attempt]
    if not mine:
        return bool(claims_to_snapshot(status))
    return any(p.pending and p.taken_at is None for p in mine)


def before(seen: Seen) -> Decision | None:
    """Given a run before its snapshots, return what to do for its hook; None if all ended."""
    found = _next_before(seen.status)
    if found is None:
        return None
    if not seen.kept:
        return Decision(seen.status, (KeepRecord(),), AT_ONCE)
    return _start(seen, found)


def after(seen: Seen) -> Decision | None:
    """Given a run after its snapshots, return what to do for its hook; None if all ended."""
    status = seen.status
    found = _next_after(status, deleting=seen.deleting)
    if found is None:
        return Decision(status, (FreeRecord(),), AT_ONCE) if seen.kept else None
    entry = found.entry
    if found.stage is Stage.AFTER or entry is None:
        return _start(seen, found)
    if entry.state is not HookState.RELEASING:
        return Decision(with_hook(status, _releasing(entry, seen.now)), after=AT_ONCE)
    return _release(seen, found.hook, entry)


def _next_before(status: BackupStatus) -> Turn | None:
    """The next before hook; none once the snapshots have begun, or when no claim is left to
    snapshot.
    """
    if any(p.attempt == status.attempt for p in status.points) or not claims_to_snapshot(status):
        return None
    for hook in _hooks(status).before:
        entry = hook_entry(status, Stage.BEFORE, hook.name)
        if entry is None or entry.state is HookState.STARTING:
            return Turn(hook, Stage.BEFORE, entry)
    return None


def _next_after(status: BackupStatus, *, deleting: bool) -> Turn | None:
    hooks = _hooks(status)
    started = False
    for hook in reversed(hooks.before):
        entry = hook_entry(status, Stage.BEFORE, hook.name)
        if entry is None or not entry.container_id:
            continue
        started = True
        if hook.holds and entry.state not in (HookState.DONE, HookState.FAILED):
            return Turn(hook, Stage.BEFORE, entry)
    if deleting and not started:
        return None
    for hook in hooks.after:
        entry = hook_entry(status, Stage.AFTER, hook.name)
        if entry is None or entry.state is HookState.STARTING:
            return Turn(hook, Stage.AFTER, entry)
    return None


def _hooks(status: BackupStatus) -> PlannedHooks:
    return plan_of(status).hooks or PlannedHooks(max_freeze=SLACK)


def _start(seen: Seen, found: Turn) -> Decision:
    """Place, start and follow a hook until it holds or is over."""
    look = seen.hook or HookSeen(HookSight.UNREACHABLE, message="its pod was not looked at")
    entry = found.entry
    if entry is None or not entry.container_id:
        return _place(seen, found, look)
    return _follow(seen, found, entry, look)


def _place(seen: Seen, found: Turn, look: HookSeen) -> Decision:
    """Write down where the hook will run, before it is started; nowhere while its target is away.

    The wait for the target is its own: the hooks before it may have taken long.
    """
    status = seen.status
    if look.place is not None:
        entry = _entry_at(found, look.place, status.attempt, seen.now)
        return Decision(with_hook(status, entry), after=AT_ONCE)
    since = found.entry.started_at if found.entry else seen.now
    entry = _entry_at(found, NOWHERE, status.attempt, since)
    if look.sight is HookSight.UNREACHABLE and seen.now - since < TARGET_WAIT:
        waiting = changed(status, message=short(f"hook {found.hook.name}: {look.message}"))
        return Decision(with_hook(waiting, entry), (), POLL)
    return _ended(status, _failed(found.hook, entry, look.message))


def _follow(seen: Seen, found: Turn, entry: HookStatus, look: HookSeen) -> Decision:
    status, hook = seen.status, found.hook
    if _moved(entry, look):
        return _trouble(seen, hook, entry, "its container was restarted or replaced")
    match look.sight:
        case HookSight.HELD if hook.holds:
            return _ended(status, changed(entry, state=HookState.HELD))
        case HookSight.DONE if not hook.holds:
            return _ended(status, changed(entry, state=HookState.DONE, seconds=look.seconds))
        case HookSight.BROKEN | HookSight.DONE:
            return _ended(
                status, _failed(hook, entry, look.message or "it ended early", broken=True)
            )
        case HookSight.FAILED if look.place is not None or not hook.holds:
            return _ended(status, _failed(hook, entry, look.message))
        case HookSight.INTERRUPTED:
            return _trouble(seen, hook, entry, "it was killed before it could report a result")
    if seen.now - entry.started_at > hook.timeout + SLACK:
        late = f"no result within its timeout ({hook.timeout}){colon(look.message)}"
        return _trouble(seen, hook, entry, late)
    note = short(f"hook {hook.name}: {look.message}") if look.message else None
    actions: tuple[Action, ...] = ()
    if look.sight is HookSight.NONE and not look.task_lives and look.place is not None:
        actions = (StartHook(hook, found.stage, look.place, status.attempt),)
    return Decision(changed(status, message=note), actions, HOOK_POLL)


def _trouble(seen: Seen, hook: PlannedHook, entry: HookStatus, why: str) -> Decision:
    """A hook is lost: what it may hold has to be released first."""
    if not hook.holds:
        return _ended(seen.status, _failed(hook, entry, why))
    return _ended(seen.status, _releasing(entry, seen.now, why))


def _release(seen: Seen, hook: PlannedHook, entry: HookStatus) -> Decision:
    """Follow a release to its end."""
    status = seen.status
    look = seen.hook or HookSeen(HookSight.UNREACHABLE, message="its pod was not looked at")
    here = None if look.place is None or _moved(entry, look) else look.sight
    match here:
        case HookSight.DONE if entry.message:
            return _ended(status, _failed(hook, entry, entry.message))
        case HookSight.DONE:
            done = changed(entry, state=HookState.DONE, seconds=look.seconds)
            return _ended(status, done)
        case HookSight.FAILED if entry.message is None:
            failed = _failed(hook, entry, look.message)
            return _ended(status, changed(failed, ignored=hook.undo_on_error is OnError.CONTINUE))
        case HookSight.FAILED | HookSight.BROKEN:
            why = entry.message or look.message
            return _ended(status, _failed(hook, entry, why, broken=here is HookSight.BROKEN))
    if look.sight is HookSight.BROKEN:
        # In another container: there it was undone as well as it could be.
        why = entry.message or f"its container was restarted or replaced: {look.message}"
        return _ended(status, _failed(hook, entry, why, broken=True))
    limit = hook.timeout + hook.undo_timeout + TARGET_WAIT
    if look.place is None and look.sight is not HookSight.UNREACHABLE:
        limit = timedelta(0)
    if seen.now - (entry.release_at or seen.now) >= limit:
        why = (entry.message or "its release could not be seen") + colon(look.message)
        return _ended(status, _failed(hook, entry, why, broken=True))
    actions: tuple[Action, ...] = ()
    if look.place is not None and look.sight is not HookSight.UNREACHABLE:
        actions = (ReleaseHook(hook, look.place, status.attempt),)
    if seen.now - (entry.release_at or seen.now) >= QUIET:
        note = f"hook {hook.name}: waiting for it to release what it holds{colon(look.message)}"
        status = changed(status, message=short(note))
    return Decision(status, actions, HOOK_POLL)


def _moved(entry: HookStatus, look: HookSeen) -> bool:
    return look.place is not None and look.place.container_id != entry.container_id


def _ended(status: BackupStatus, entry: HookStatus) -> Decision:
    return Decision(with_hook(changed(status, message=None), entry), after=AT_ONCE)


def _releasing(entry: HookStatus, now: datetime, why: str | None = None) -> HookStatus:
    note = short(why) if why else None
    return changed(entry, state=HookState.RELEASING, release_at=now, message=note)


def _failed(hook: PlannedHook, entry: HookStatus, why: str, *, broken: bool = False) -> HookStatus:
    return changed(
        entry,
        state=HookState.FAILED,
        ignored=hook.on_error is OnError.CONTINUE and not broken,
        message=short(why) or "it failed",
    )


def _entry_at(found: Turn, place: HookPlace, attempt: int, now: datetime) -> HookStatus:
    return HookStatus(
        name=found.hook.name,
        stage=found.stage,
        attempt=attempt,
        state=HookState.STARTING,
        pod=place.pod,
        pod_uid=place.pod_uid,
        container=place.container,
        container_id=place.container_id,
        claims=place.claims,
        started_at=now,
    )
