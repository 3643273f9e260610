"""A policy at one moment, for the tests of its plan."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import Schedule
from backstay.domain import policy
from backstay.domain.schedule import policy_seen


def at(day_hour: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{day_hour}Z")


NOW = at("22T01:00")
SLOT = at("22T00:32")
YESTERDAY = at("21T00:32")


def spec(
    cron: str | None = "32 0 * * *",
    zone: str = "UTC",
    timing: dict[str, Any] | None = None,
    **values: Any,
) -> PolicySpec:
    # Not validated: an older server may hold what today's rules refuse.
    schedule = Schedule.model_construct(
        cron=cron or "", time_zone=zone, starting_deadline=timedelta(hours=6), **(timing or {})
    )
    wanted = PolicySpec.model_validate({"source": {"claims": {"names": ["data"]}}, **values})
    return changed(wanted, schedule=schedule if cron else None)


def seen(wanted: PolicySpec | None, **values: Any) -> policy_seen.Seen:
    defaults: dict[str, Any] = {
        "now": NOW,
        "namespace": "shop",
        "name": "shop",
        "created": at("01T12:00"),
        "edited": at("01T12:00"),
        "generation": 3,
        "status": PolicyStatus(last_slot=YESTERDAY),
        "spec": wanted,
        "problem": None,
    }
    return policy_seen.Seen(**defaults | values)


def ran(
    slot: datetime | None, *, finished: bool, started: datetime | None = None
) -> policy_seen.RunSeen:
    return policy_seen.RunSeen("r", slot, finished, started, complete=finished)


def ready(decision: policy.Decision) -> tuple[str, str, str]:
    (condition,) = decision.status.conditions
    assert (condition.type, condition.observed_generation) == ("Ready", 3)
    return condition.status, condition.reason, condition.message
