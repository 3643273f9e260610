"""Since when a schedule stands, and what had not started by then.

Invariant: slots that passed while a policy was suspended, or before its schedule was changed, are
never caught up.
"""

from __future__ import annotations

from backstay.api.common import changed
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import MissedSlots
from backstay.domain.schedule.cron import Schedule, same_slots
from backstay.domain.schedule.due import dropped, with_missed
from backstay.domain.schedule.policy_seen import Seen, beginning, known_of
from backstay.domain.schedule.slots import Timing


def note_changes(
    seen: Seen, status: PolicyStatus, timing: Timing | None
) -> tuple[PolicyStatus, tuple[MissedSlots, ...]]:
    """Given what was seen, a status and the schedule, return the status with what was seen of
    suspend and schedule, and since when they stand; and what had not started by then, and never
    will.

    Also where there is no schedule to be read: one may be mended while suspended.
    """
    suspended = seen.spec is not None and seen.spec.suspend
    meaning = timing.schedule.meaning if timing else None
    before = beginning(seen, status)
    # Not now: what was due between the edit and this look, while nobody ran, is caught up.
    edited = max(min(seen.edited or seen.now, seen.now), before)
    since = status.resumed_at
    ends = suspended and not status.suspended
    if (status.suspended and not suspended) or _is_other(seen, status, timing):
        since, ends = edited, True
    elif not suspended and seen.resumed is not None and before < seen.resumed <= seen.now:
        # It was suspended and resumed while nobody looked: what passed meanwhile is not caught up.
        since, edited, ends = seen.resumed, seen.resumed, True
    lost: tuple[MissedSlots, ...] = ()
    if ends and not status.suspended and (old := Schedule.of_meaning(status.schedule or "")):
        known = known_of(seen, status, old)
        lost = dropped(old, known, edited=edited, timing=timing)
    status = changed(status, suspended=suspended, schedule=meaning, resumed_at=since)
    if lost:
        status = changed(
            status,
            missed=with_missed(status.missed, lost, status.last_slot),
            last_slot=lost[-1].last,
        )
    return status, lost


def _is_other(seen: Seen, status: PolicyStatus, timing: Timing | None) -> bool:
    """Whether the schedule names other slots than the one that was seen last."""
    if status.schedule == (timing.schedule.meaning if timing else None):
        return False
    old = Schedule.of_meaning(status.schedule or "")
    return old is None or timing is None or not same_slots(old, timing.schedule, seen.now)
