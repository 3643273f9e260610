"""Whether a schedule makes more points than the finest rule can keep.

It is no error: a point more than the rule keeps is a point for a while. But whoever runs hourly
and keeps days should know that 23 of 24 points are marked as soon as the next one is there.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice, takewhile
from typing import Final

from backstay.domain.calendar import TIER_LABELS, Tier, period_of
from backstay.domain.retention.points import Rules
from backstay.domain.schedule.cron import Schedule

COUNT_LIMIT: Final = 100
"""Slots of a period are counted up to here; this number means "at least so many"."""

_FIRST_LOOK: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""A fixed moment: what is reported of a schedule must not change from one day to the next."""

_LOOK: Final = timedelta(days=3 * 366)
"""From the first slot: two whole years. Slots that are decades apart take long to find."""

_UNITS: Final = {
    Tier.HOURLY: "an hour",
    Tier.DAILY: "a day",
    Tier.WEEKLY: "a week",
    Tier.MONTHLY: "a month",
    Tier.YEARLY: "a year",
}


def density_warning(schedule: Schedule, rules: Rules) -> str | None:
    """Given a schedule and a policy's rules, return a warning if the schedule makes more than one
    point in a period of the finest rule, else None.

    `last` and `within` keep points of any period, so with either there is nothing to warn of.
    """
    finest = next((tier for tier in TIER_LABELS if rules.count(tier)), None)
    if finest is None or rules.keeps_all or rules.last or rules.within:
        return None
    most = _most_in_a_period(schedule, finest)
    if most <= 1:
        return None
    number = f"{most} or more" if most == COUNT_LIMIT else f"up to {most}"
    finer = "hourly, " if finest is not Tier.HOURLY else ""
    return (
        f"its schedule is denser than its finest rule: {finest.value} keeps one of {number} points "
        f"{_UNITS[finest]}, and the others are marked for deletion; to keep more, set {finer}last "
        f"or within"
    )


@lru_cache(maxsize=4096)
def _most_in_a_period(schedule: Schedule, tier: Tier) -> int:
    """Up to COUNT_LIMIT. Twice as many slots are looked at: a period that has fewer than the
    limit, and is shortened by the first look, comes again whole.
    """
    slots = islice(schedule.after(_FIRST_LOOK), 2 * COUNT_LIMIT)
    first = next(slots)
    near = takewhile(lambda slot: slot - first < _LOOK, slots)
    found = Counter(period_of(tier, slot, schedule.zone).order for slot in chain([first], near))
    return min(max(found.values()), COUNT_LIMIT)
