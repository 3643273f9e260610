"""How long a point is kept, in a few words for a column of `kubectl get`."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from backstay.domain.calendar import TIER_LABELS, Tier, local_date
from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.recent import is_within


def tiers_of(point: Point) -> tuple[str, ...]:
    """Given a point, return the tiers whose label it carries, finest first."""
    return tuple(tier.value for tier, key in TIER_LABELS.items() if key in point.labels)


def until(point: Point, rules: Rules | None, now: datetime, *, last: bool = False) -> str:
    """Given a point as labelled, its policy's rules, now (aware) and whether `last` keeps it,
    return how long it is kept.

    Tiers are read as if every period to come got its point: `daily until 11-29`. Nobody knows
    when as many newer points exist as `last` says: it is shown as `last 3`, and only where
    nothing has a date.
    """
    if point.is_held:
        return "held"
    today = local_date(now, rules.zone) if rules else now.date()
    if point.is_marked_by_retention and point.marked is not None:
        # Without its policy the series is frozen: only dates that are not ours are followed.
        return f"marked {_short(point.marked.date(), today)}" if rules else "kept"
    if point.delete_after is not None:
        return f"until {_short(point.delete_after, today)}"
    if rules is None or rules.keeps_all:
        return "kept"
    ends = [
        (end, tier.value)
        for tier, key in TIER_LABELS.items()
        if key in point.labels and (end := _end(tier, point, rules)) is not None
    ]
    if point.counts and is_within(point, rules, now):
        ends.append((local_date(point.taken + rules.within, rules.zone), "within"))
    if not ends:
        return f"last {rules.last}" if last else ""
    end, rule = max(ends)
    if _is_far(end, today):
        return f"until {end}"  # With the year there is no room for the rule; Tiers shows tiers.
    return f"{rule} until {_short(end, today)}"


def _end(tier: Tier, point: Point, rules: Rules) -> date | None:
    """First day on which the tier no longer keeps the point."""
    count = rules.count(tier)
    if count is None:
        return None
    day = local_date(point.taken, rules.zone)
    match tier:
        case Tier.HOURLY:
            return local_date(point.taken + timedelta(hours=count), rules.zone)
        case Tier.DAILY:
            return day + timedelta(days=count)
        case Tier.WEEKLY:
            return day - timedelta(days=day.weekday()) + timedelta(weeks=count)
        case Tier.MONTHLY:
            months = day.year * 12 + day.month - 1 + count
            return date(months // 12, months % 12 + 1, 1)
        case Tier.YEARLY:
            return date(day.year + count, 1, 1)


def _short(day: date, today: date) -> str:
    """Month and day are enough for the next months; later ones have the year."""
    return f"{day}" if _is_far(day, today) else day.isoformat()[5:]


def _is_far(day: date, today: date) -> bool:
    return abs((day - today).days) > 180
