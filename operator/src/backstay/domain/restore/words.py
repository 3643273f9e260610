"""The status of a RestoreRequest in words, and when a request comes too late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from backstay.api.common import changed, with_condition
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import PassedOver, RestoreItem, RestorePhase, RestoreStatus
from backstay.domain.clock_skew import slots_now
from backstay.domain.errors import UserError


def said(
    status: RestoreStatus, reason: str, message: str, *, generation: int, now: datetime
) -> RestoreStatus:
    """Return the status with message and Ready set."""
    conditions = with_condition(
        status.conditions,
        type="Ready",
        ok=status.phase is RestorePhase.COMPLETED,
        reason=reason,
        message=message,
        generation=generation,
        now=now,
    )
    return changed(
        status,
        message=message[:4096],
        conditions=conditions,
        observed_generation=generation,
    )


def with_passed(status: RestoreStatus, used: Mapping[str, str]) -> RestoreStatus:
    """Given a status and what was passed over by which word, return it with that: what a word was
    used for first stands.
    """
    known = {one.word for one in status.acknowledged}
    new = [
        PassedOver(word=word, message=why[:1024]) for word, why in used.items() if word not in known
    ]
    return changed(status, acknowledged=(*status.acknowledged, *new)) if new else status


def into(items: Sequence[RestoreItem]) -> str:
    """Given items, return where they go, for printing."""
    first, *others = [item.into for item in items]
    return f"{first} +{len(others)}" if others else first


def too_late(spec: RestoreSpec, now: datetime, skew: timedelta | None) -> UserError | None:
    """Given a request, now, and how far our clock is ahead of the API server's, return why it comes
    too late, None if it does not: by neither clock, for in place it overwrites newer data.
    """
    if spec.not_after is None or max(now, slots_now(now, skew)) <= spec.not_after:
        return None
    return UserError(
        "TooLate",
        f"spec.notAfter: {spec.not_after.isoformat()} is past; create the request again with a "
        "later one if it is still meant",
    )
