"""Points of claims that belong together, or that a hook covers: they are good together, or not."""

from __future__ import annotations

from backstay.api.backup import BackupStatus
from backstay.api.hooks import Stage
from backstay.api.plan import ClaimGroup
from backstay.api.point import PointResult, PointStatus
from backstay.domain.run.status import counts, hook_in_words, hooks_on, plan_of, with_point
from backstay.domain.sources.together import covers
from backstay.domain.stores.snapshots.entries import failed, mine


def with_hooks_judged(status: BackupStatus) -> BackupStatus:
    """Given a run whose hooks are over, return it with the points failed that one failed for."""
    for entry in mine(status):
        bad = [h for h in hooks_on(status, entry.source) if counts(h)]
        if entry.pending and bad:
            status = with_point(status, failed(entry, "; ".join(map(hook_in_words, bad))))
    return status


def with_groups_judged(status: BackupStatus) -> BackupStatus:
    """Given a run whose hooks are over, return it with every point failed that belongs together
    with one that failed, or with others over whose snapshots nothing held.
    """
    for group in plan_of(status).together:
        ours = [p for p in members(status, group) if p.attempt == status.attempt]
        lost = [p.source for p in ours if p.result is PointResult.FAILED]
        why = f"claim {lost[0]}, which belongs together with it, failed" if lost else ""
        if not why and not _frozen(status, group):
            why = f"no hook froze {', '.join(group.claims)} together over their snapshots"
        for entry in ours:
            if entry.pending and why:
                status = with_point(status, failed(entry, why))
    return status


def members(status: BackupStatus, group: ClaimGroup) -> list[PointStatus]:
    """Given a run and claims that belong together, return their snapshots."""
    return [p for p in mine(status) if p.source in group.claims]


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
