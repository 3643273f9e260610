"""The retention that a policy asks for."""

from __future__ import annotations

from datetime import timedelta

from backstay.api.policy import PolicySpec
from backstay.domain.calendar import load_zone
from backstay.domain.retention.points import Rules


def rules_of(spec: PolicySpec, store: str) -> Rules:
    """Given a policy's spec and a store, return the retention of its points.

    Raise UserError for an unknown zone.
    """
    zone = load_zone(spec.schedule.time_zone if spec.schedule else "UTC")
    kept = spec.retention_of(store)
    if kept is None:
        return Rules.keep_everything(zone)
    return Rules(
        zone=zone,
        last=kept.last,
        within=kept.within or timedelta(0),
        hourly=kept.hourly,
        daily=kept.daily,
        weekly=kept.weekly,
        monthly=kept.monthly,
        yearly=kept.yearly,
        adhoc_days=kept.adhoc_days,
        failed=kept.failed,
    )
