"""The rules that keep without a label: `last` and `within`.

Invariant: both are functions of the points that count and of now. Nobody can edit what they keep,
so a point that they release is marked like any other and has its whole grace.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.reasons import Reason
from backstay.durations import format_duration


class Recent:
    """Both rules applied to the points of one series that count."""

    def __init__(self, counted: Iterable[Point], rules: Rules, now: datetime) -> None:
        """Given the points that fill tiers, the rules and now (aware), find what is kept."""
        newest = sorted(counted, key=lambda p: p.order, reverse=True)
        self._rules = rules
        self._last = {p.uid for p in newest[: rules.last]}
        self._young = {p.uid for p in newest if is_within(p, rules, now)}

    def is_last(self, point: Point) -> bool:
        """Given a point, return whether it is one of the newest `last`."""
        return point.uid in self._last

    def why(self, point: Point) -> str | None:
        """Given a point, return which of the rules keep it, None if none does."""
        reasons = []
        if self.is_last(point):
            reasons.append(Reason.LAST.format(count=self._rules.last))
        if point.uid in self._young:
            reasons.append(Reason.WITHIN.format(span=format_duration(self._rules.within)))
        return "; ".join(reasons) or None


def is_within(point: Point, rules: Rules, now: datetime) -> bool:
    """Given a point that counts, the rules and now, return whether `within` keeps it: it is
    younger than that, and `within` is above 0.
    """
    return rules.within > timedelta(0) and now - point.taken < rules.within
