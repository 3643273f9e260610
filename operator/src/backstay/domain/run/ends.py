"""The end of an attempt, and of a run."""

from __future__ import annotations

from collections.abc import Sequence

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus
from backstay.domain.run.status import (
    claim_of,
    failures,
    format_size,
    ignored,
    lacks_entries,
    named,
    noted,
    plan_of,
    planned_left,
    retry_wait,
    short,
    spread_of,
)
from backstay.domain.run.values import Action, Decision, Seen


def end_attempt(seen: Seen, status: BackupStatus, actions: Sequence[Action] = ()) -> Decision:
    """Given a run whose attempt has nothing left to do, complete, retry or fail it."""
    plan = plan_of(status)
    actions = (*actions, *(a for store in seen.stores for a in store.clean_up(status)))
    left = planned_left(status)
    why = short("; ".join(failures(status))) or None
    # What may come late was tried again and again within its attempt.
    if any(p.late_after is None for p in left) and status.attempt <= plan.retries:
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
        return Decision(ended(seen, status, why), actions)
    lacking = [f"{named(p)}: {p.message}" for p in status.points if lacks_entries(p)]
    note = short("; ".join([*lacking, *ignored(status), *noted(status)])) or None
    last = ended(seen, status, note)
    return Decision(last if lacking else changed(last, phase=BackupPhase.COMPLETED), actions)


def ended(seen: Seen, status: BackupStatus, why: str | None) -> BackupStatus:
    """Given a run that ends here with less than it should have made, and why, return its status."""
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
    points = [[p.bytes for p in good if p.store == s and p.bytes is not None] for s in stores]
    # Several stores keep the same data: it is shown once, as the largest of them has it.
    total = sum(dumps) if dumps else max(map(sum, points), default=0)
    return format_size(total) if dumps or any(points) else None
