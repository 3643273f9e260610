"""When what a hook holds, and what is waited for of it, is given up."""

from __future__ import annotations

from datetime import datetime, timedelta

from backstay.api.backup import BackupStatus
from backstay.api.hooks import HookState, PlannedHook
from backstay.domain.run.dumps import TARGET_WAIT
from backstay.domain.run.hooks import SLACK, Turn
from backstay.domain.run.status import plan_of


def frozen_until(status: BackupStatus) -> datetime | None:
    """Given a run, return when the first of its hooks releases itself, if any holds."""
    hooks = plan_of(status).hooks
    if hooks is None:
        return None
    held = (h for h in status.hooks if h.attempt == status.attempt and h.state is HookState.HELD)
    return min((h.started_at + hooks.max_freeze for h in held), default=None)


def hook_deadline(found: Turn) -> datetime | None:
    """Given whose turn it is, return when that hook is given up, None if nothing is begun yet."""
    hook, entry = found.hook, found.entry
    if entry is None or entry.state is HookState.HELD:
        return None
    if not entry.container_id:
        return entry.started_at + TARGET_WAIT
    if entry.state is HookState.RELEASING:
        limit = hook.timeout + hook.undo_timeout + TARGET_WAIT
        return None if entry.release_at is None else entry.release_at + limit
    return entry.started_at + hook.timeout + SLACK


def longest_hook(hook: PlannedHook) -> timedelta:
    """Given a hook, return how long it may take from its turn to its end, what it holds released
    included.
    """
    return 2 * TARGET_WAIT + 2 * hook.timeout + SLACK + hook.undo_timeout
