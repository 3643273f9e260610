"""The calendar rules: which points carry hourly, daily, weekly, monthly and yearly.

Tiers are a function of the set of points that count. Per rule they are grouped by period; the
keeper of a period is the point that carries its label, else the earliest; the keepers of the
newest N periods have the label and no other point has it. So a lost label heals, order does not
matter, and a raised count brings points back.

A point that does not count for the moment (not ready, no result) loses a label only when a
point that counts has taken its place: a driver's bad hour must not shuffle a series.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backstay.domain.calendar import TIER_LABELS, Period, Tier, is_well_formed, period_of
from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.reasons import Reason


@dataclass(slots=True)
class TierChanges:
    """What the calendar rules want of one point."""

    set: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rule:
    tier: Tier
    label: str
    periods: Mapping[str, Period]
    """By the uid of each point that counts."""
    keepers: Mapping[tuple[int, ...], Point]
    """By a period's order; of every period that has points, also of those beyond the count."""
    ranks: Mapping[tuple[int, ...], int]
    """By a period's order; 1 is the newest."""
    kept: frozenset[str]
    """The uids of the keepers of the newest periods: the points that the rule keeps."""
    count: int | None

    def keeps(self, period: Period) -> bool:
        return self.count is None or self.ranks[period.order] <= self.count

    def is_taken(self, period: Period) -> bool:
        """Whether a point that counts keeps this period, or N newer ones are kept."""
        if period.order in self.ranks and self.keeps(period):
            return True
        newer = sum(1 for other in self.ranks if other > period.order)
        return self.count is not None and newer >= self.count


class Tiers:
    """The calendar rules applied to the points of one series that count."""

    def __init__(self, counted: Iterable[Point], everyone: Iterable[Point], rules: Rules) -> None:
        """Given the points that fill tiers, all points, and the rules, find the keepers."""
        self._zone = rules.zone
        ordered = sorted(counted, key=lambda p: p.order)
        carried = {key for point in everyone for key in point.labels}
        self._rules = [
            _rule(tier, ordered, rules)
            for tier in Tier
            if rules.count(tier) != 0 or TIER_LABELS[tier] in carried
        ]

    def keeps(self, point: Point) -> bool:
        """Given a point, return whether a rule keeps it."""
        return any(point.uid in rule.kept for rule in self._rules)

    def of_counted(self, point: Point) -> TierChanges:
        """Given one of the points that count, return what the rules want of it."""
        changes = TierChanges()
        for rule in self._rules:
            period = rule.periods[point.uid]
            value = point.labels.get(rule.label)
            if point.uid in rule.kept:
                changes.reasons.append(Reason.KEEPS.format(tier=rule.tier, period=period.value))
                if not period.is_named_by(value):
                    changes.set[rule.label] = period.value
                    changes.reasons += _strange(rule.tier, value, period)
            elif value is not None:
                changes.remove.append(rule.label)
                if period.is_named_by(value):
                    changes.reasons.append(_released(rule.tier, value, _why(rule, period)))
                else:
                    changes.reasons += _strange(rule.tier, value, period)
        return changes

    def of_uncounted(self, point: Point) -> TierChanges:
        """Given a point that does not count for now, release what others have taken over."""
        changes = TierChanges()
        for rule in self._rules:
            value = point.labels.get(rule.label)
            if value is None:
                continue
            if rule.is_taken(period_of(rule.tier, point.taken, self._zone)):
                changes.remove.append(rule.label)
                changes.reasons.append(_released(rule.tier, value, Reason.NOT_COUNTED))
        return changes


def release_all(point: Point, why: str) -> TierChanges:
    """Given a point that never fills tiers and the reason, release every tier label it has."""
    changes = TierChanges()
    for tier, label in TIER_LABELS.items():
        if label in point.labels:
            changes.remove.append(label)
            changes.reasons.append(_released(tier, point.labels[label], why))
    return changes


def _rule(tier: Tier, ordered: list[Point], rules: Rules) -> _Rule:
    label = TIER_LABELS[tier]
    periods: dict[str, Period] = {}
    keepers: dict[tuple[int, ...], Point] = {}
    for point in ordered:  # oldest first
        period = periods[point.uid] = period_of(tier, point.taken, rules.zone)
        so_far = keepers.get(period.order)
        if so_far is None or (
            period.is_named_by(point.labels.get(label))
            and not period.is_named_by(so_far.labels.get(label))
        ):
            keepers[period.order] = point
    newest_first = sorted(keepers, reverse=True)
    ranks = {order: rank for rank, order in enumerate(newest_first, start=1)}
    count = rules.count(tier)
    kept = frozenset(keepers[order].uid for order in newest_first[:count])
    return _Rule(tier, label, periods, keepers, ranks, kept, count)


def _strange(tier: Tier, value: str | None, period: Period) -> list[str]:
    if value is None:
        return []
    if is_well_formed(tier, value):
        return [Reason.OTHER_PERIOD.format(tier=tier, value=value, period=period.value)]
    return [Reason.MALFORMED_TIER.format(tier=tier, value=value)]


def _released(tier: Tier, value: str, why: str) -> str:
    return Reason.RELEASED.format(tier=tier, value=value, why=why)


def _why(rule: _Rule, period: Period) -> str:
    """Why the rule does not keep a point that carries the label of a period."""
    if rule.keeps(period):
        return Reason.KEPT_BY_OTHER.format(name=rule.keepers[period.order].name)
    ordinal = _ordinal(rule.ranks[period.order])
    return Reason.BEYOND_COUNT.format(ordinal=ordinal, count=rule.count)


def _ordinal(number: int) -> str:
    teen = 10 < number % 100 < 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
