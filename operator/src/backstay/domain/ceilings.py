"""The administrator's ceilings: how long a run may hold what others wait for.

Invariant: nothing that holds a claim, a target or a permit outlasts them, also in a run whose plan
was frozen before they were set. A policy that asks for more is run within them and says so, rather
than refused: whoever lowers a ceiling must not stop the backups of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.hooks import PlannedHook, PlannedHooks
from backstay.api.plan import RunPlan
from backstay.api.policy import PolicySpec
from backstay.api.repository_store import Repository
from backstay.api.rolling import Rolling
from backstay.domain.stores.copies.agent_tasks import in_bytes
from backstay.durations import format_duration
from backstay.settings import Ceilings

SHOWN: Final = 3


def limited(status: BackupStatus, most: Ceilings) -> BackupStatus:
    """Given the status of a run, return it with its plan within the ceilings."""
    if status.plan is None:
        return status
    plan = limited_plan(status.plan, most)
    return status if plan == status.plan else changed(status, plan=plan)


def limited_plan(plan: RunPlan, most: Ceilings) -> RunPlan:
    """Given a plan, return it within the ceilings."""
    rolling, repository = plan.rolling, plan.repository
    return changed(
        plan,
        dumps=tuple(
            changed(d, max_duration=min(d.max_duration, most.dump_duration)) for d in plan.dumps
        ),
        hooks=_hooks(plan.hooks, most.hook_timeout) if plan.hooks else None,
        take_timeout=min(plan.take_timeout, most.take_timeout),
        ready_timeout=min(plan.ready_timeout, most.ready_timeout),
        rolling=changed(rolling, settings=_rolling(rolling.settings, most)) if rolling else None,
        repository=changed(repository, settings=_repository(repository.settings, most))
        if repository
        else None,
    )


def beyond(spec: PolicySpec, most: Ceilings) -> str | None:
    """Given a policy's spec, return a warning that names what in it is beyond a ceiling, with its
    value and the ceiling's; None if nothing is.
    """
    found = [
        f"{field} is {format_duration(value)}, at most {format_duration(ceiling)}"
        for field, value, ceiling in _lengths(spec, most)
        if value > ceiling
    ]
    if spec.rolling is not None and _is_slow(spec.rolling, most):
        pace = spec.rolling.bandwidth
        found.append(f"spec.rolling.bandwidth is {pace}, at least {most.copy_bandwidth}")
    if not found:
        return None
    more = f"; and {len(found) - SHOWN} more" if found[SHOWN:] else ""
    return (
        "its runs keep to ceilings of the administrator's (ceilings of the chart), which the "
        f"policy exceeds: {'; '.join(found[:SHOWN])}{more}"
    )


def _hooks(hooks: PlannedHooks, most: timedelta) -> PlannedHooks:
    def within(hook: PlannedHook) -> PlannedHook:
        return changed(
            hook, timeout=min(hook.timeout, most), undo_timeout=min(hook.undo_timeout, most)
        )

    return changed(
        hooks,
        before=tuple(map(within, hooks.before)),
        after=tuple(map(within, hooks.after)),
        max_freeze=min(hooks.max_freeze, most),
    )


def _rolling(rolling: Rolling, most: Ceilings) -> Rolling:
    return changed(
        rolling,
        start_timeout=min(rolling.start_timeout, most.start_timeout),
        max_duration=min(rolling.max_duration, most.copy_duration),
        bandwidth=most.copy_bandwidth if _is_slow(rolling, most) else rolling.bandwidth,
    )


def _repository(repository: Repository, most: Ceilings) -> Repository:
    return changed(
        repository,
        start_timeout=min(repository.start_timeout, most.start_timeout),
        max_duration=min(repository.max_duration, most.copy_duration),
    )


def _is_slow(rolling: Rolling, most: Ceilings) -> bool:
    return 0 < in_bytes(rolling.bandwidth) < in_bytes(most.copy_bandwidth)


def _lengths(spec: PolicySpec, most: Ceilings) -> Iterator[tuple[str, timedelta, timedelta]]:
    """Each length of time in a spec, by its field, with its ceiling."""
    for dump in spec.dumps:
        yield f"spec.dumps[{dump.name}].maxDuration", dump.max_duration, most.dump_duration
    if spec.hooks is not None:
        for stage, hooks in (("before", spec.hooks.before), ("after", spec.hooks.after)):
            for hook in hooks:
                field = f"spec.hooks.{stage}[{hook.name}].timeout"
                yield field, hook.timeout, most.hook_timeout
        yield "spec.hooks.maxFreeze", spec.hooks.max_freeze, most.hook_timeout
    for store, block in (("rolling", spec.rolling), ("repository", spec.repository)):
        if block is not None:
            yield f"spec.{store}.startTimeout", block.start_timeout, most.start_timeout
            yield f"spec.{store}.maxDuration", block.max_duration, most.copy_duration
    if (snapshots := spec.snapshots) is not None:
        yield "spec.snapshot.takeTimeout", snapshots.take_timeout, most.take_timeout
        yield "spec.snapshot.readyTimeout", snapshots.ready_timeout, most.ready_timeout
