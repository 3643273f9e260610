"""What the condition Ready says of a policy that can run."""

from __future__ import annotations

from typing import Final

from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.domain.ceilings import beyond
from backstay.domain.clock_skew import CLOCK_SKEW
from backstay.domain.errors import UserError
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.schedule import early
from backstay.domain.schedule.density import density_warning
from backstay.domain.schedule.due import Due
from backstay.domain.schedule.policy_seen import Seen, named_slots
from backstay.domain.schedule.slots import Timing, jitter_warning

LIMITED: Final = "Limited"
"""The policy is Ready, but its runs are kept within the administrator's ceilings."""


def _warns(seen: Seen, wanted: Due | None) -> bool:
    """Whether Ready speaks of our clock: not where no slot starts anyway."""
    return wanted is not None and bool(seen.clock)


def nothing_can_start(timing: Timing) -> UserError:
    """Given a schedule of which no slot can ever start, return what is wrong with it."""
    return UserError(
        "NothingCanStart",
        f"spec.schedule.blackouts: no slot of {timing.schedule.cron!r} in sight can start, as "
        "windows outlast its startingDeadline each time; shorten a window, or set a longer "
        "startingDeadline",
    )


def ready_reason(seen: Seen, wanted: Due | None) -> str:
    """Given what was seen and what is due, return why a policy is Ready, in one word: an Event
    reports a change.
    """
    if _warns(seen, wanted):
        return CLOCK_SKEW
    return LIMITED if seen.spec is not None and beyond(seen.spec, seen.ceilings) else "Valid"


def ready_message(
    seen: Seen, status: PolicyStatus, timing: Timing | None, wanted: Due | None
) -> str:
    """Given what was seen, a status, the schedule and what is due, return what Ready says of a
    policy that can run: what its next slot waits for, and warnings where there are any.
    """
    spec = seen.spec
    if spec is None:
        return "the policy is valid"
    said = "the policy is valid and suspended" if spec.suspend else "the policy is valid"
    warnings = [beyond(spec, seen.ceilings)]
    if timing is not None and spec.schedule is not None:
        warnings += [
            *_density_warnings(timing, spec),
            jitter_warning(timing.schedule, spec.schedule.jitter),
            early.warning(status.early, named_slots(seen), seen.now),
            _clock_warning(seen),
        ]
    if wanted is not None and wanted.waits:
        busy = sorted(r.name for r in seen.runs if r.slot and not r.finished and not r.late)
        said += f"; a slot that is due waits for the end of Backup {', '.join(busy[:3])}"
    reported = "; and ".join(w for w in warnings if w)
    return f"{said}, but {reported}" if reported else said


def _density_warnings(timing: Timing, spec: PolicySpec) -> list[str]:
    """What is to be said of each store's rules; once where they are the same."""
    found = {density_warning(timing.schedule, rules_of(spec, store)): None for store in spec.stores}
    return [warning for warning in found if warning is not None]


def _clock_warning(seen: Seen) -> str | None:
    if not seen.clock or (seen.spec is not None and seen.spec.suspend):
        return None
    return (
        f"{seen.clock}: slots start by the API server's time, and nothing is marked or swept until "
        "they agree; check the time of the nodes"
    )
