"""Plan the hooks of a policy: each before hook with what undoes it."""

from __future__ import annotations

from datetime import timedelta

from backstay.api.hooks import AfterHook, BeforeHook, Hooks, OnError, PlannedHook, PlannedHooks


def planned_hooks(hooks: Hooks) -> PlannedHooks:
    """Given the hooks of a policy, return them planned: what undoes a before hook with it."""
    after = {hook.name: hook for hook in hooks.after}
    before = tuple(_planned_before(hook, after.get(hook.name)) for hook in hooks.before)
    alone = [hook for hook in hooks.after if hook.target is not None]
    return PlannedHooks(
        before=before,
        after=tuple(_planned_after(hook) for hook in alone),
        max_freeze=hooks.max_freeze,
    )


def _planned_before(hook: BeforeHook, undo: AfterHook | None) -> PlannedHook:
    return PlannedHook(
        name=hook.name,
        target=hook.target,
        command=hook.session.command if hook.session else hook.command or (),
        session=hook.session,
        undo=undo.command if undo else None,
        timeout=hook.timeout,
        undo_timeout=undo.timeout if undo else hook.timeout,
        on_error=hook.on_error,
        undo_on_error=undo.on_error if undo else hook.on_error,
        freezes=hook.freezes,
    )


def _planned_after(hook: AfterHook) -> PlannedHook:
    if hook.target is None:
        raise ValueError(f"hook {hook.name} has no target")
    return PlannedHook(
        name=hook.name,
        target=hook.target,
        command=hook.command,
        timeout=hook.timeout,
        undo_timeout=timedelta(seconds=1),
        on_error=hook.on_error,
        undo_on_error=OnError.FAIL,
    )
