"""Retention: which points of a series are kept, marked and swept (design section 4).

A series is (namespace, policy, claim incarnation, store). Everything is derived from the set of
its points and from now; nothing is remembered. Invariants, each a property test:

- once a good point exists, the newest good one is neither marked nor swept; while there is a real
  one (`Point.real`), that is the newest real one;
- a point that a rule keeps is swept only on a date that a person or its birth set;
- nothing is swept within GRACE of being marked by retention, nor of becoming good;
- a second pass at the same moment changes nothing; the order of the input does not matter;
- a pending point is never touched.

How one point is judged, first match wins (date = delete-after, mark = marked-at):

| point | verdict |
|---|---|
| pending | untouched |
| being deleted | no change; `sweep` says whether that was due, so that its disk goes as well |
| no result, or no word of ours | kept, whatever its date |
| mark, but no date | a person saved it: becomes held, loses the mark |
| held | kept |
| guarded: no real good one that is ready is newer (failed: if ready, the newest few) | kept |
| date that is malformed, or has a mark that is | kept and reported |
| date that marking did not write (by hand, at birth) | swept when due; wins over every rule |
| kept by a rule (of a tier, `last`, `within`), by `failed`, or for having no retain word | kept |
| date that marking wrote | swept when due |
| `days`, not ready, in use | kept |
| any other | marked: date = today in the policy's zone, mark = now |

Kept = without a date of ours: a mark is taken back, so that a later one has its full grace.
Due = date strictly past, mark (if any) older than GRACE, good for longer than GRACE; and nothing
in use is swept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from backstay.domain import labels
from backstay.domain.calendar import TIER_LABELS, local_date
from backstay.domain.labels import Result, Retain
from backstay.domain.retention.points import MAX_RETAIN_DAYS, Point, Rules, Verdict
from backstay.domain.retention.recent import Recent
from backstay.domain.retention.tiers import TierChanges, Tiers, release_all

__all__ = ["GRACE", "MAX_RETAIN_DAYS", "Point", "Rules", "Verdict", "judge", "tiers_for_new"]

GRACE: Final = timedelta(hours=24)
FAILED_GUARDED: Final = 10
"""Points of failed runs that may stand in for a good one at most, however long none comes."""
POLICY_GONE: Final = "frozen: its policy is gone"


def judge(
    points: Sequence[Point], rules: Rules | None, now: datetime, *, frozen: str = POLICY_GONE
) -> list[Verdict]:
    """Given all points of ONE series, the policy's rules (None: the series is frozen, for the
    reason given) and now (aware), return one verdict per point, in the order of the points.

    Raise ValueError if the points are of more than one namespace or claim, or now is naive.
    """
    series = _Series(points, rules, now, frozen)
    return [series.verdict(point) for point in points]


def tiers_for_new(
    points: Sequence[Point], new: Point, rules: Rules | None, now: datetime
) -> dict[str, str]:
    """Given a series, its point that is becoming good, the rules and now, return the labels
    that go into the same patch as result=good: the tiers that judge would give it, or, for a
    `days` point, its retain labels and delete-after.

    A `days` point without a number of days, or with a date already, gets no date.
    """
    good = replace(new, ready=True, labels={**new.labels, labels.RESULT: Result.GOOD})
    if good.retain is Retain.DAYS:
        return _dated(good, rules)
    if rules is None:
        return {}
    series = _Series([*(p for p in points if p.uid != new.uid), good], rules, now)
    wanted = series.tier_changes(good)
    carried = {k: good.labels[k] for k in TIER_LABELS.values() if k in good.labels}
    kept = {k: v for k, v in carried.items() if k not in wanted.remove}
    return kept | wanted.set


def _dated(point: Point, rules: Rules | None) -> dict[str, str]:
    found: dict[str, str] = {labels.RETAIN: Retain.DAYS}
    days = point.retain_days
    if days is None and rules is not None and labels.RETAIN_DAYS not in point.labels:
        days = rules.adhoc_days
    if days is not None:
        found[labels.RETAIN_DAYS] = str(days)
        if labels.DELETE_AFTER not in point.labels:
            taken = local_date(point.taken, rules.zone if rules else UTC)
            found[labels.DELETE_AFTER] = (taken + timedelta(days=days)).isoformat()
    return found


@dataclass(slots=True)
class _Draft:
    """A verdict being written."""

    tiers: TierChanges
    set_labels: dict[str, str] = field(default_factory=dict)
    remove_labels: list[str] = field(default_factory=list)
    marked_at: str | None = None
    drops_mark: bool = False
    sweep: bool = False
    last: bool = False
    reasons: list[str] = field(default_factory=list)

    def verdict(self, point: Point) -> Verdict:
        if self.sweep:
            return Verdict(point, sweep=True, reasons=tuple(self.reasons))
        return Verdict(
            point,
            set_labels={**self.tiers.set, **self.set_labels},
            remove_labels=(*self.tiers.remove, *self.remove_labels),
            set_annotations={labels.MARKED_AT: self.marked_at} if self.marked_at else {},
            remove_annotations=(labels.MARKED_AT,) if self.drops_mark else (),
            reasons=(*self.tiers.reasons, *self.reasons),
            last=self.last,
        )


class _Series:
    """What is known about the whole series before any one point is judged."""

    def __init__(
        self,
        points: Sequence[Point],
        rules: Rules | None,
        now: datetime,
        frozen: str = POLICY_GONE,
    ) -> None:
        if now.tzinfo is None:
            raise ValueError("now must be an aware datetime")
        if len({(p.namespace, p.claim) for p in points}) > 1:
            raise ValueError("judge() takes the points of one series only")
        self._rules = rules
        self._now = now
        self._frozen = frozen
        self._today = local_date(now, rules.zone if rules else UTC)
        living = [p for p in points if not p.deleting]
        self._newest_good = _newest_good(living)
        self._stand_ins = _stand_ins(living, self._newest_good, rules)
        # A point that goes anyway must not stand in for one that could be kept instead.
        staying = [p for p in living if not self._is_doomed(p)]
        counted = [p for p in staying if p.counts]
        self._counted = {p.uid for p in counted}
        failed = sorted(
            (p for p in staying if p.result is Result.FAILED), key=lambda p: p.order, reverse=True
        )
        self._failed_kept = {p.uid for p in (failed[: rules.failed] if rules else failed)}
        self._tiers = Tiers(counted, points, rules) if rules else None
        self._recent = Recent(counted, rules, now) if rules else None

    def verdict(self, point: Point) -> Verdict:
        if point.result is Result.PENDING:
            return Verdict(point, reasons=("pending: not touched",))
        if point.deleting:
            due = point.result is not None and self._may_go(point) and self._is_due(point)
            # Whoever deletes it, its disk goes with it only if it was due.
            return Verdict(point, sweep=due, reasons=("being deleted",))
        draft = _Draft(self.tier_changes(point))
        draft.last = self._recent is not None and self._recent.is_last(point)
        if self._rules is None:
            self._judge_frozen(point, draft)
        else:
            self._judge(point, self._rules, draft)
        return draft.verdict(point)

    def tier_changes(self, point: Point) -> TierChanges:
        """Given a point that is not pending, return what the calendar rules want of it."""
        if self._tiers is None:
            return TierChanges()
        if point.uid in self._counted:
            return self._tiers.of_counted(point)
        if point.result is Result.FAILED:
            return release_all(point, "the run failed")
        if point.result is Result.GOOD and point.retain is Retain.DAYS:
            return release_all(point, "a point for a number of days fills no tier")
        return self._tiers.of_uncounted(point)

    def _judge_frozen(self, point: Point, draft: _Draft) -> None:
        """The policy is gone: nothing changes, and only dates that are not ours are followed."""
        draft.reasons.append(self._frozen)
        if self._is_doomed(point):
            self._sweep_or_wait(point, draft)
        elif point.is_marked_by_retention:
            draft.reasons.append("marked by retention, which is not followed any more")
        elif (why := self._keeps_always(point)) is not None:
            draft.reasons.append(why)
        elif labels.DELETE_AFTER in point.labels and point.result is not None:
            self._follow_date(point, draft)

    def _judge(self, point: Point, rules: Rules, draft: _Draft) -> None:
        if point.result is None:
            draft.reasons.append("no result: kept, never counted")
        elif point.marked_at is not None and labels.DELETE_AFTER not in point.labels:
            if not point.is_held:
                draft.set_labels[labels.HOLD] = "true"
            draft.drops_mark = True
            draft.reasons.append("held: its delete-after was removed by hand")
        elif (why := self._keeps_always(point)) is not None:
            self._keep(point, draft, why)
        elif labels.DELETE_AFTER in point.labels and not point.is_marked_by_retention:
            self._follow_date(point, draft)
        elif draft.tiers.keeps or self._why_recent(point) is not None:
            self._keep(point, draft, self._why_recent(point))
        elif (why := self._keeps_besides(point, rules)) is not None:
            self._keep(point, draft, why)
        elif point.is_marked_by_retention:
            self._follow_mark(point, draft)
        elif (why := _not_marked(point)) is not None:
            draft.reasons.append(why)
        else:
            self._mark(rules, draft)

    def _keeps_always(self, point: Point) -> str | None:
        """Why the point is neither marked nor swept, whatever date it carries."""
        if point.is_held:
            value = point.labels[labels.HOLD]
            return "held" if value == "true" else f"held: hold={value!r} is read as true"
        if not self._is_guarded(point):
            return None
        if point.result is Result.FAILED:
            return "newer than the newest good point, and ready: stays until a newer good one"
        if point.order == self._newest_good:
            return "newest good"
        if point.ready:  # one that is not real
            return "no real backup is newer"
        return "not ready, and no good point is newer"

    def _keeps_besides(self, point: Point, rules: Rules) -> str | None:
        """Why the point is kept although no calendar rule keeps it."""
        if point.result is Result.FAILED:
            if rules.keeps_all:
                return "the policy keeps everything"
            return "one of the newest failed" if point.uid in self._failed_kept else None
        if point.retain is None:
            return "no retain word: kept"
        if rules.keeps_all and point.retain is Retain.DAILY_WEEKLY_MONTHLY:
            return "the policy keeps everything"
        return None

    def _why_recent(self, point: Point) -> str | None:
        return self._recent.why(point) if self._recent is not None else None

    def _is_guarded(self, point: Point) -> bool:
        if point.result is Result.FAILED:
            return point.uid in self._stand_ins
        return self._newest_good is None or point.order >= self._newest_good

    def _may_go(self, point: Point) -> bool:
        """Whether its date may be followed at all."""
        if self._rules is None and point.is_marked_by_retention:
            return False
        return point.user is None and not point.is_held and not self._is_guarded(point)

    def _is_due(self, point: Point) -> bool:
        if point.delete_after is None or point.delete_after >= self._today:
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
            point.result in {Result.GOOD, Result.FAILED}
            and not point.is_marked_by_retention
            and self._is_due(point)
            and not point.is_held
            and not self._is_guarded(point)
        )

    def _keep(self, point: Point, draft: _Draft, why: str | None) -> None:
        if why is not None:
            draft.reasons.append(why)
        if point.is_marked_by_retention:
            draft.remove_labels.append(labels.DELETE_AFTER)
            draft.drops_mark = True
            draft.reasons.append("unmarked: kept again")
        elif labels.DELETE_AFTER in point.labels:
            value = point.labels[labels.DELETE_AFTER]
            draft.reasons.append(f"its delete-after {value!r} is not followed")

    def _follow_date(self, point: Point, draft: _Draft) -> None:
        value = point.labels[labels.DELETE_AFTER]
        if point.delete_after is None:
            draft.reasons.append(f"malformed date {value!r}: kept; write YYYY-MM-DD or remove it")
        elif point.marked_at is not None and point.marked is None:
            draft.reasons.append(f"malformed marked-at {point.marked_at!r}: kept; remove it")
        elif self._is_due(point):
            self._sweep_or_wait(point, draft)
        elif point.delete_after < self._today:
            draft.reasons.append(f"past its date {value}, but not yet good for a day")
        else:
            draft.reasons.append(f"kept until its date {value} is past")

    def _follow_mark(self, point: Point, draft: _Draft) -> None:
        if point.result is Result.GOOD and not point.ready:
            draft.reasons.append("marked, but not ready: waits")
        elif self._is_due(point):
            self._sweep_or_wait(point, draft)
        else:
            draft.reasons.append(f"marked {point.labels[labels.DELETE_AFTER]}: in its grace")

    def _sweep_or_wait(self, point: Point, draft: _Draft) -> None:
        value = point.labels[labels.DELETE_AFTER]
        if point.user is not None:
            draft.reasons.append(f"past its date {value}, but in use by {point.user}")
        else:
            draft.sweep = True
            draft.reasons.append(f"swept: past its date {value}")

    def _mark(self, rules: Rules, draft: _Draft) -> None:
        # Rounded up: the annotation has whole seconds and the grace must not lose a part of one.
        at = (self._now + timedelta(microseconds=999_999)).astimezone(rules.zone)
        at = at.replace(microsecond=0)
        draft.set_labels[labels.DELETE_AFTER] = at.date().isoformat()
        draft.marked_at = at.isoformat()
        draft.reasons.append(f"marked {at.date()}: kept by no rule")


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
    ready = [
        p
        for p in living
        if p.result is Result.FAILED and p.ready and (newest_good is None or p.order > newest_good)
    ]
    ready.sort(key=lambda p: p.order, reverse=True)
    if rules is None:
        return {p.uid for p in ready}
    return {p.uid for p in ready[: max(FAILED_GUARDED, rules.failed)]}


def _not_marked(point: Point) -> str | None:
    """Why a point that no rule keeps is not marked."""
    if point.user is not None:
        return f"in use by {point.user}"
    if point.result is Result.GOOD and point.retain is Retain.DAYS:
        return "for a number of days, but without a date: kept until one is set"
    if point.result is Result.GOOD and not point.ready:
        return "not ready: kept, not counted"
    return None
