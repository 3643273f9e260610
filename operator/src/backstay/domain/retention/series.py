"""What is known of a series as a whole, before any one of its points is judged.

Invariant: all of it follows from the points, the policy's rules and now, in whatever order the
points come.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from backstay.domain.calendar import local_date
from backstay.domain.labels import Result, Retain
from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.recent import Recent
from backstay.domain.retention.tiers import TierChanges, Tiers, release_all

GRACE: Final = timedelta(hours=24)
FAILED_GUARDED: Final = 10
"""Points of failed runs that may stand in for a good one at most, however long none comes."""


class Series:
    """The points of one series, and what follows from all of them together."""

    def __init__(
        self,
        points: Sequence[Point],
        rules: Rules | None,
        now: datetime,
        frozen: str = Reason.POLICY_GONE,
    ) -> None:
        """Raise ValueError if the points are of more than one namespace or claim, or now is naive.

        Without rules the series is frozen, for the reason given.
        """
        if now.tzinfo is None:
            raise ValueError("now must be an aware datetime")
        if len({(p.namespace, p.claim) for p in points}) > 1:
            raise ValueError("judge() takes the points of one series only")
        zone = rules.zone if rules else UTC
        self.frozen = frozen if rules is None else None
        self.keeps_all = rules is not None and rules.keeps_all
        # Rounded up: the annotation has whole seconds and the grace must not lose a part of one.
        up = now + timedelta(microseconds=999_999)
        self.mark = up.astimezone(zone).replace(microsecond=0)
        self._now = now
        self._today = local_date(now, zone)
        living = [p for p in points if not p.deleting]
        self._newest_good = _newest_good(living)
        self._stand_ins = _stand_ins(living, self._newest_good, rules)
        # A point that goes anyway must not stand in for one that could be kept instead.
        staying = [p for p in living if not self._is_doomed(p)]
        counted = [p for p in staying if p.counts]
        self._counted = {p.uid for p in counted}
        self._tiers = Tiers(counted, points, rules) if rules else None
        self._recent = Recent(counted, rules, now) if rules else None
        failed = _newest_first(p for p in staying if p.result is Result.FAILED)
        self._failed_kept = {p.uid for p in failed[: rules.failed]} if rules else set[str]()

    def tier_changes(self, point: Point) -> TierChanges:
        """Given a point that is not pending, return what the calendar rules want of it."""
        if self._tiers is None:
            return TierChanges()
        if point.uid in self._counted:
            return self._tiers.of_counted(point)
        if point.result is Result.FAILED:
            return release_all(point, Reason.RUN_FAILED)
        if point.result is Result.GOOD and point.retain is Retain.DAYS:
            return release_all(point, Reason.DAYS_FILL_NO_TIER)
        return self._tiers.of_uncounted(point)

    def keeps_a_tier(self, point: Point) -> bool:
        """Whether a calendar rule keeps the point."""
        return self._tiers is not None and self._tiers.keeps(point)

    def is_last(self, point: Point) -> bool:
        """Whether the rule `last` keeps the point."""
        return self._recent is not None and self._recent.is_last(point)

    def why_recent(self, point: Point) -> str | None:
        """Which of `last` and `within` keep the point, None if neither does."""
        return self._recent.why(point) if self._recent is not None else None

    def is_newest_failed(self, point: Point) -> bool:
        """Whether the point is one of the failed ones that the policy keeps."""
        return point.uid in self._failed_kept

    def is_newest_good(self, point: Point) -> bool:
        """Whether the point is the newest good one: of the real ones, if there are any."""
        return point.order == self._newest_good

    def is_guarded(self, point: Point) -> bool:
        """Whether no real good point that is ready is newer; of failed ones, whether the point is
        one that stands in for a good one.
        """
        if point.result is Result.FAILED:
            return point.uid in self._stand_ins
        return self._newest_good is None or point.order >= self._newest_good

    def is_past(self, point: Point) -> bool:
        """Whether the point's date is strictly past, in the zone of the policy."""
        return point.delete_after is not None and point.delete_after < self._today

    def is_due(self, point: Point) -> bool:
        """Whether the point's date is past, and so is each grace that it has."""
        if not self.is_past(point):
            return False
        if point.good_since is not None and self._now - point.good_since <= GRACE:
            return False
        if point.marked_at is None:
            return True
        # A mark that cannot be read proves no grace.
        return point.marked is not None and self._now - point.marked > GRACE

    def _is_doomed(self, point: Point) -> bool:
        """Whether a date that is not ours takes it: now, or as soon as nothing uses it."""
        return (
            self.is_due(point)
            and point.result in {Result.GOOD, Result.FAILED}
            and not point.is_marked_by_retention
            and not point.is_held
            and not self.is_guarded(point)
        )


def _newest_first(points: Iterable[Point]) -> list[Point]:
    return sorted(points, key=lambda p: p.order, reverse=True)


def _newest_good(living: Sequence[Point]) -> tuple[datetime, str] | None:
    """The place of the newest good point that is real, of any if none is."""
    good = [p for p in living if p.result is Result.GOOD and p.ready]
    real = [p for p in good if p.real]
    return max((p.order for p in real or good), default=None)


def _stand_ins(
    living: Sequence[Point], newest_good: tuple[datetime, str] | None, rules: Rules | None
) -> set[str]:
    """The points of failed runs that stand in for a good one: they are ready and newer than the
    newest good one. While no good one comes they must not pile up without bound.
    """
    ready = _newest_first(
        p
        for p in living
        if p.result is Result.FAILED and p.ready and (newest_good is None or p.order > newest_good)
    )
    return {p.uid for p in (ready[: max(FAILED_GUARDED, rules.failed)] if rules else ready)}
