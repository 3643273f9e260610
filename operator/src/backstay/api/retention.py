"""How long points are kept: for all stores of a policy, or for one."""

from __future__ import annotations

from pydantic import Field

from backstay.api.common import Duration, Model


class Retention(Model):
    """How many points of a series are kept. Of a period it is the earliest good one."""

    last: int = Field(
        default=0, ge=0, le=1000, description="Newest good points that are kept, of any period."
    )
    within: Duration | None = Field(
        default=None, description="Every good point younger than this is kept."
    )
    hourly: int = Field(default=0, ge=0, le=8760, description="Newest hours (UTC) that keep one.")
    daily: int = Field(default=0, ge=0, le=3660, description="Newest days that keep a point.")
    weekly: int = Field(default=0, ge=0, le=1040, description="Newest ISO weeks that keep one.")
    monthly: int = Field(default=0, ge=0, le=240, description="Newest months that keep one.")
    yearly: int = Field(default=0, ge=0, le=100, description="Newest years that keep one.")
    adhoc_days: int = Field(
        default=30, ge=1, le=3660, description="Days that a point of an ad-hoc run is kept."
    )
    failed: int = Field(
        default=3, ge=0, le=100, description="Newest failed runs that are kept for inspection."
    )


def keeps_none(field: str) -> str:
    """Given a field with retention, return in CEL whether it keeps no point of a schedule."""
    counts = " + ".join(
        f"{field}.{rule}" for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    )
    return f"!has({field}.within) && {counts} == 0"
