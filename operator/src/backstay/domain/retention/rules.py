"""The rules by which one point is judged, in their order: the first that answers decides.

Marked = retention wrote its date (delete-after) and when (marked-at). Dated = somebody else did: a
person, or the point's birth. A frozen series has no policy to be counted by (`points.Rules`): that
is gone, or is for another source.

| rule | point | verdict |
|---|---|---|
| pending | its run goes on | untouched |
| being_deleted | somebody deletes it | untouched; `sweep` says whether it was due, so that its disk goes as well |
| mark_without_rules | marked, series frozen | untouched: the mark is not followed |
| no_result | no result, or an unknown one | untouched, whatever its date |
| saved | the date of its mark was removed by a person | held from now on, without the mark |
| held | has the label `hold` | kept |
| guarded | no real good one that is ready is newer; failed: ready and newer, the newest few | kept |
| malformed | dated, and the date or the time of a mark cannot be read | untouched, and reported |
| dated | dated | swept when due, whatever rule keeps it |
| frozen | any other of a frozen series | untouched |
| tier_or_recent | of a tier, of the `last`, `within` the span | kept |
| keeps_all | the policy says nothing about retention | kept |
| newest_failed | one of the newest `failed` | kept |
| no_retain_word | no `retain`, or an unknown one | kept |
| marked | marked | swept when due; a good one only while it is ready |
| in_use | a restore or a claim uses it | untouched |
| days_without_date | for a number of days, and its date was removed | untouched |
| not_ready | good, but not ready | untouched |
| unkept | any other | marked: date = today in the policy's zone, mark = now |

Tiers are given and taken whatever the verdict is, except of points that are pending, deleted or
swept (`judge`). Kept = without a date of ours: a mark is taken back, so that a later one has its
whole grace. Due = date strictly past, mark (if any) older than GRACE, good for longer than GRACE.
Nothing in use is swept.
"""  # noqa: E501  # a row of a table is one line

from collections.abc import Callable
from typing import Final, TypeAlias

from backstay.domain import labels
from backstay.domain.labels import Result, Retain
from backstay.domain.retention.points import Point, Verdict
from backstay.domain.retention.reasons import Reason, past
from backstay.domain.retention.series import Series

Rule: TypeAlias = Callable[[Point, Series], Verdict | None]
"""Say what is to be done with a point of a series, or None: the next rule is asked."""


def pending(point: Point, _: Series) -> Verdict | None:
    """Leave alone what a run is still making."""
    if point.result is not Result.PENDING:
        return None
    return Verdict(point, reasons=(Reason.PENDING,))


def being_deleted(point: Point, series: Series) -> Verdict | None:
    """Let the disk go with a point that somebody deletes only if it was due."""
    if not point.deleting:
        return None
    may_go = not (
        point.result is None
        or (series.frozen and point.is_marked_by_retention)
        or point.user is not None
        or point.is_held
        or series.is_guarded(point)
    )
    return Verdict(point, sweep=may_go and series.is_due(point), reasons=(Reason.DELETING,))


def mark_without_rules(point: Point, series: Series) -> Verdict | None:
    """Follow no mark where there are no rules: it says that none of them keeps the point."""
    if not (series.frozen and point.is_marked_by_retention):
        return None
    return Verdict(point, reasons=(Reason.MARK_WITHOUT_RULES,))


def no_result(point: Point, series: Series) -> Verdict | None:
    """Keep what nobody called good or failed."""
    if series.frozen or point.result is not None:
        return None
    return Verdict(point, reasons=(Reason.NO_RESULT,))


def saved(point: Point, series: Series) -> Verdict | None:
    """Hold a point whose date a person removed, though a mark had written it."""
    if series.frozen or point.marked_at is None or labels.DELETE_AFTER in point.labels:
        return None
    return Verdict(
        point,
        set_labels={} if point.is_held else {labels.HOLD: "true"},
        remove_annotations=(labels.MARKED_AT,),
        reasons=(Reason.SAVED,),
    )


def held(point: Point, series: Series) -> Verdict | None:
    """Keep what a person holds, by whatever word."""
    if not point.is_held:
        return None
    value = point.labels[labels.HOLD]
    why = Reason.HELD if value == "true" else Reason.HELD_ODDLY.format(value=value)
    return _kept(point, series, why)


def guarded(point: Point, series: Series) -> Verdict | None:
    """Keep what there would be no backup without."""
    if not series.is_guarded(point):
        return None
    if point.result is Result.FAILED:
        return _kept(point, series, Reason.STANDS_IN)
    if series.is_newest_good(point):
        return _kept(point, series, Reason.NEWEST_GOOD)
    # One that is ready is not real.
    why = Reason.NO_REAL_ONE_NEWER if point.ready else Reason.NO_GOOD_ONE_NEWER
    return _kept(point, series, why)


def malformed(point: Point, _: Series) -> Verdict | None:
    """Keep and report what has a date that cannot be read: nobody knows what the person meant."""
    if not _is_dated(point):
        return None
    if point.delete_after is None:
        value = point.labels[labels.DELETE_AFTER]
        return Verdict(point, reasons=(Reason.MALFORMED_DATE.format(value=value),))
    if point.marked_at is not None and point.marked is None:
        return Verdict(point, reasons=(Reason.MALFORMED_MARK.format(value=point.marked_at),))
    return None


def dated(point: Point, series: Series) -> Verdict | None:
    """Follow a date that a person or its birth set, whatever rule keeps the point."""
    if not _is_dated(point):
        return None
    if series.is_due(point):
        return _due(point)
    if series.is_past(point):
        return Verdict(point, reasons=(_past_but(point, Reason.YOUNG),))
    date = point.labels[labels.DELETE_AFTER]
    return Verdict(point, reasons=(Reason.DATED.format(date=date),))


def frozen(point: Point, series: Series) -> Verdict | None:
    """Leave alone all else of a series without rules. The reason is that of the series."""
    return Verdict(point) if series.frozen else None


def tier_or_recent(point: Point, series: Series) -> Verdict | None:
    """Keep what the policy counts: tiers, `last`, `within`."""
    why = series.why_recent(point)
    if why is None and not series.keeps_a_tier(point):
        return None
    return _kept(point, series, *([why] if why else []))


def keeps_all(point: Point, series: Series) -> Verdict | None:
    """Keep all where the policy says nothing about retention, failed points too."""
    if not series.keeps_all:
        return None
    if point.result is Result.FAILED or point.retain is Retain.DAILY_WEEKLY_MONTHLY:
        return _kept(point, series, Reason.KEEPS_ALL)
    return None


def newest_failed(point: Point, series: Series) -> Verdict | None:
    """Keep the newest failed points, as many as the policy says: people look into them."""
    if not series.is_newest_failed(point):
        return None
    return _kept(point, series, Reason.NEWEST_FAILED)


def no_retain_word(point: Point, series: Series) -> Verdict | None:
    """Keep a good point of which nothing says how long."""
    if point.retain is not None or point.result is Result.FAILED:
        return None
    return _kept(point, series, Reason.NO_RETAIN_WORD)


def marked(point: Point, series: Series) -> Verdict | None:
    """Follow our own mark once its grace is over."""
    if not point.is_marked_by_retention:
        return None
    if not point.ready and point.result is Result.GOOD:
        return Verdict(point, reasons=(Reason.MARK_WAITS,))
    if series.is_due(point):
        return _due(point)
    date = point.labels[labels.DELETE_AFTER]
    return Verdict(point, reasons=(Reason.IN_GRACE.format(date=date),))


def in_use(point: Point, _: Series) -> Verdict | None:
    """Do not mark what a restore reads."""
    if point.user is None:
        return None
    return Verdict(point, reasons=(Reason.IN_USE.format(user=point.user),))


def days_without_date(point: Point, _: Series) -> Verdict | None:
    """Do not mark a point for a number of days: it goes by its own date alone."""
    if not (point.retain is Retain.DAYS and point.result is Result.GOOD):
        return None
    return Verdict(point, reasons=(Reason.DAYS_WITHOUT_DATE,))


def not_ready(point: Point, _: Series) -> Verdict | None:
    """Do not mark a good point for its driver's bad hour."""
    if point.ready or point.result is not Result.GOOD:
        return None
    return Verdict(point, reasons=(Reason.NOT_READY,))


def unkept(point: Point, series: Series) -> Verdict:
    """Mark what no rule keeps."""
    date = series.mark.date().isoformat()
    return Verdict(
        point,
        set_labels={labels.DELETE_AFTER: date},
        set_annotations={labels.MARKED_AT: series.mark.isoformat()},
        reasons=(Reason.MARKED.format(date=date),),
    )


RULES: Final[tuple[Rule, ...]] = (
    # Its run writes its labels, its result and its date: before anything that writes.
    pending,
    # It counts in nothing, and no rule can bring it back: before all that keep.
    being_deleted,
    # Before `guarded`, which would say that it is kept only for being the newest.
    mark_without_rules,
    # Before `held`: a point without a result is not written to, not even to take a mark back.
    no_result,
    # Before `held` and `guarded`: the person meant it for longer than they keep the point.
    saved,
    # Both before `dated`: no date, by whomever, takes what is held or the last good backup.
    held,
    guarded,
    # Before `dated`, and before the rules: what a person mistyped is neither followed nor ignored.
    malformed,
    # Before all rules of the policy: a date set by hand wins over them, in a frozen series too.
    dated,
    # From here on the policy's rules decide.
    frozen,
    # All that keep before `marked`: they take the mark back, so a raised count saves a point.
    tier_or_recent,
    keeps_all,
    newest_failed,
    no_retain_word,
    # Before what is only not marked: who uses a point delays its sweep, and its mark stays.
    marked,
    in_use,
    days_without_date,
    not_ready,
    # Last: it answers always.
    unkept,
)


def _is_dated(point: Point) -> bool:
    """Whether it has a date that marking did not write. Without a result no date is followed."""
    return (
        labels.DELETE_AFTER in point.labels
        and point.result is not None
        and not point.is_marked_by_retention
    )


def _kept(point: Point, series: Series, *why: str) -> Verdict:
    """A point that stays, without a date of ours. In a frozen series nothing is written."""
    if series.frozen or labels.DELETE_AFTER not in point.labels:
        return Verdict(point, reasons=why)
    if point.is_marked_by_retention:
        return Verdict(
            point,
            remove_labels=(labels.DELETE_AFTER,),
            remove_annotations=(labels.MARKED_AT,),
            reasons=(*why, Reason.UNMARKED),
        )
    value = point.labels[labels.DELETE_AFTER]
    return Verdict(point, reasons=(*why, Reason.DATE_NOT_FOLLOWED.format(value=value)))


def _due(point: Point) -> Verdict:
    """A point whose date is followed, as soon as nobody uses it."""
    if point.user is not None:
        why = Reason.IN_USE.format(user=point.user)
        return Verdict(point, reasons=(_past_but(point, why),))
    return Verdict(point, sweep=True, reasons=(Reason.SWEPT.format(past=past(point)),))


def _past_but(point: Point, why: str) -> str:
    return Reason.PAST_BUT.format(past=past(point), why=why)
