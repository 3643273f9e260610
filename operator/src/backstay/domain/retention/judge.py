"""Retention: which points of a series are kept, marked and swept (design section 4).

A series is (namespace, policy, claim incarnation, store). Everything is derived from the set of
its points and from now; nothing is remembered. `rules` has the table by which one point is judged.
Invariants, each a property test:

- once a good point exists, the newest good one is neither marked nor swept; while there is a real
  one (`Point.real`), that is the newest real one;
- a point that a rule keeps is swept only on a date that a person or its birth set;
- nothing is swept within GRACE of being marked by retention, nor of becoming good;
- a second pass at the same moment changes nothing; the order of the input does not matter;
- a pending point is never touched.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from backstay.domain import labels
from backstay.domain.calendar import TIER_LABELS, local_date
from backstay.domain.labels import Result, Retain
from backstay.domain.retention.points import MAX_RETAIN_DAYS, Point, Rules, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.rules import RULES
from backstay.domain.retention.series import FAILED_GUARDED, GRACE, Series

__all__ = [
    "FAILED_GUARDED",
    "GRACE",
    "MAX_RETAIN_DAYS",
    "Point",
    "Rules",
    "Verdict",
    "judge",
    "tiers_for_new",
]


def judge(
    points: Sequence[Point],
    rules: Rules | None,
    now: datetime,
    *,
    frozen: str = Reason.POLICY_GONE,
) -> list[Verdict]:
    """Given all points of ONE series, the policy's rules (None: the series is frozen, for the
    reason given) and now (aware), return one verdict per point, in the order of the points.

    Raise ValueError if the points are of more than one namespace or claim, or now is naive.
    """
    series = Series(points, rules, now, frozen)
    return [_verdict(point, series) for point in points]


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
    series = Series([*(p for p in points if p.uid != new.uid), good], rules, now)
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


def _verdict(point: Point, series: Series) -> Verdict:
    """What the first rule that answers says, and the tiers of the point."""
    answer = _answer(point, series)
    if point.deleting or point.result is Result.PENDING:
        return answer  # Its labels are not ours to write: no tier is given or taken.
    if series.frozen:
        # No rule writes in a frozen series: all that is left is a date that is followed, or not.
        return Verdict(point, sweep=answer.sweep, reasons=(series.frozen, *answer.reasons))
    if answer.sweep:
        return answer  # What is deleted needs no labels.
    tiers = series.tier_changes(point)
    return Verdict(
        point,
        set_labels={**tiers.set, **answer.set_labels},
        remove_labels=(*tiers.remove, *answer.remove_labels),
        set_annotations=answer.set_annotations,
        remove_annotations=answer.remove_annotations,
        # The rule's own reason comes last: a brake that takes the verdict back replaces it.
        reasons=(*tiers.reasons, *answer.reasons),
        last=series.is_last(point),
    )


def _answer(point: Point, series: Series) -> Verdict:
    for rule in RULES:
        if (verdict := rule(point, series)) is not None:
            return verdict
    raise AssertionError("the last rule answers always")
