"""Brakes: what keeps a retention pass from marking and sweeping by mistake.

While our clock is off, nothing is marked or swept: dates and graces would mean nothing. A pass
in which more than max(MARKS_ALWAYS, a third) of a series would leave, by a mark or by a date that
no mark wrote, marks and sweeps none of it, until a person releases that very plan by its hash.
Points whose date was released get an annotation first, all of them, and are swept by the next
pass. Invariants: a brake only ever takes marks and sweeps away; what it lets through is what
`judge` wanted; the hash of a plan stays the same while the plan is being carried out, so that a
pass that was killed half way is finished without asking again.

The same measure holds for rolling copies that a list does not find: so many, or all of a series,
are what a disk looks like that is not mounted, and are gone only when a person says so. Snapshots
that are not found and were not swept are gone only by a person's word, be they ever so few
(`domain.vanished`).
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import Condition, format_time, with_condition
from backstay.domain import labels
from backstay.domain.labels import Result
from backstay.domain.retention.points import Point, Verdict
from backstay.domain.retention.reasons import Reason, past

MARKS_ALWAYS: Final = 3
"""So many points of a series may always be marked at once."""

CLOCK_SLACK: Final = timedelta(seconds=60)
"""How far our clock may be from the API server's."""

CONDITION: Final = "RetentionHeld"
CLOCK_SKEW: Final = "ClockSkew"
_HASH_CHARS: Final = 10
_TOLD: Final = 2
"""Claims that a message names: it has to stay readable."""
_RELEASED_AT_ONCE: Final = 100
"""Plans that one command releases: the message must have room for them."""


@dataclass(frozen=True, slots=True)
class Held:
    """A series in which nothing is marked, nor swept by a date, for now."""

    claim: str
    marks: int
    """Points that would be marked, or swept by a date that no mark wrote."""
    size: int
    """Points that are there and not marked yet."""
    plan: str
    """What releases it."""
    how: str = "marked"
    """What would become of them."""


@dataclass(frozen=True, slots=True)
class Brake:
    """Why retention holds back, as a condition tells it."""

    reason: str
    message: str


MISSING: Final = "CopiesMissing"
NONE_MISSING: Final = Brake("NoneMissing", "the copies that records show were found")
POINTS_MISSING: Final = "PointsMissing"
NO_POINT_MISSING: Final = Brake("NoneMissing", "the good points that records show are there")
NOT_HELD: Final = Brake("NotHeld", "retention marks and sweeps as the policy says")


def marks(verdict: Verdict) -> bool:
    """Given a verdict, return whether it marks its point anew."""
    return labels.MARKED_AT in verdict.set_annotations


def brake_marks(
    verdicts: Sequence[Verdict], released: Collection[str]
) -> tuple[list[Verdict], Held | None]:
    """Given the verdicts on one series and the hashes that a person released, return the verdicts
    to carry out, and what is held if marks or sweeps were taken from them.
    """
    new = [v for v in verdicts if marks(v) or _is_dated(v)]
    size = sum(1 for v in verdicts if _may_leave(v))
    if len(new) <= max(MARKS_ALWAYS, size / 3):
        return list(verdicts), None
    plan = _hash(verdicts)
    if plan in released:
        return [_release(v) for v in verdicts], None
    how = "marked" if all(map(marks, new)) else "marked or swept"
    held = Held(claim=new[0].point.claim, marks=len(new), size=size, plan=plan, how=how)
    why = Reason.TOO_MANY.format(marks=held.marks, size=held.size, how=how)
    # What a mark takes goes on: that it is marked was held, or released, a day before.
    kept = [v if v.point.is_marked_by_retention and v.sweep else freeze(v, why) for v in verdicts]
    return kept, held


def withhold(verdict: Verdict, why: str) -> Verdict:
    """Given a verdict, return it without its new mark, if it has one, and with the reason."""
    if not marks(verdict):
        return verdict
    return replace(
        verdict,
        set_labels={k: v for k, v in verdict.set_labels.items() if k != labels.DELETE_AFTER},
        set_annotations={k: v for k, v in verdict.set_annotations.items() if k != labels.MARKED_AT},
        # The mark is the last that judge says of a point.
        reasons=(*verdict.reasons[:-1], Reason.NOT_MARKED.format(why=why)),
    )


def freeze(verdict: Verdict, why: str) -> Verdict:
    """Given a verdict, return it without its new mark and without its sweep, with the reason."""
    if not verdict.sweep:
        return withhold(verdict, why)
    point = verdict.point
    due = Reason.DELETING if point.deleting else past(point)
    said = Reason.PAST_BUT.format(past=due, why=why)
    return replace(verdict, sweep=False, reasons=(*verdict.reasons[:-1], said))


def _release(verdict: Verdict) -> Verdict:
    """A verdict of a plan that a person released. Dates are written down as released before the
    first of their points goes: what is left of a plan has another hash.
    """
    if _is_dated(verdict):
        point = verdict.point
        return replace(
            verdict,
            sweep=False,
            set_annotations={labels.SWEEP_RELEASED: point.labels[labels.DELETE_AFTER]},
            reasons=(*verdict.reasons[:-1], Reason.RELEASED_DATE.format(past=past(point))),
        )
    return freeze(verdict, Reason.RELEASED_WITH_IT) if _was_released(verdict) else verdict


def clock(skew: timedelta | None) -> Brake | None:
    """Given how far our clock is ahead of the API server's (None: it never told its time), return
    what is to be told if that is too far, else None.

    The message has no figures: they change at each pass, and each change would be a write.
    """
    what = "the API server does not tell its time" if skew is None else clock_off(skew)
    if not what:
        return None
    return Brake(
        CLOCK_SKEW,
        f"{what}: nothing is marked or swept until they agree; check the time of the nodes",
    )


def clock_off(skew: timedelta | None) -> str:
    """Given how far our clock is ahead of the API server's (None: nobody knows), return in words
    that this is too far, "" if it is not known to be. No figures, as in clock().
    """
    if skew is None or abs(skew) <= CLOCK_SLACK:
        return ""
    side = "ahead of" if skew > timedelta(0) else "behind"
    seconds = int(CLOCK_SLACK.total_seconds())
    return f"the operator's clock is over {seconds} s {side} the API server's"


def slots_now(now: datetime, skew: timedelta | None) -> datetime:
    """Given our clock and how far it is ahead of the API server's, return the moment that slots
    go by: ours, or the API server's where the two are known to differ. All that slots are compared
    with is by its clock (when a policy was created, when it was edited), and a new leader on
    another node goes on by the same one.
    """
    return now - skew if skew is not None and clock_off(skew) else now


def mass_mark(held: Sequence[Held], namespace: str, policy: str) -> Brake | None:
    """Given the series of a policy that are held, return what is to be told, None if none is."""
    if not held:
        return None
    told = [f"claim {h.claim}: {h.marks} of {h.size} points would be {h.how} at once" for h in held]
    return Brake(
        "MassMark",
        f"{_first(told, 'claims')}; none of them is. If that is meant, run: "
        f"{_command(held, namespace, policy)}",
    )


@dataclass(frozen=True, slots=True)
class Ahead:
    """A point that says a time of the future: it, or our clock, is wrong."""

    claim: str
    name: str
    at: datetime


def ahead(points: Sequence[Point], now: datetime) -> Ahead | None:
    """Given the points of one claim and now, return the newest one of which a time lies in the
    future, None if there is none.
    """
    latest = now + CLOCK_SLACK
    found = [
        (at, point)
        for point in points
        for at in (point.taken, point.good_since, point.marked)
        if at is not None and at > latest and not point.deleting
    ]
    if not found:
        return None
    at, point = max(found, key=lambda item: (item[0], item[1].name))
    return Ahead(point.claim, point.name, at)


def of_the_future(found: Sequence[Ahead], namespace: str) -> Brake | None:
    """Given the points of a policy that say a time of the future, one a claim, return what is to
    be reported, None if there are none.
    """
    if not found:
        return None
    named = [f"claim {a.claim}: point {a.name} names {format_time(a.at)}" for a in found]
    return Brake(
        "FuturePoint",
        f"{_first(named, 'claims')}, which is in the future: nothing of that is marked or swept "
        "until then. Check the time of the nodes; if a clock was ahead when the point was made, "
        f"correct it: kubectl annotate volumesnapshot {found[0].name} {labels.TAKEN_AT}=TIME "
        f"{labels.GOOD_SINCE}=TIME --overwrite -n {namespace}",
    )


def looks_lost(missing: int, known: int) -> bool:
    """Given how many of a series' points a list did not find, and how many are known, return
    whether their disk is missing rather than they.
    """
    return missing > 0 and (missing == known or missing > max(MARKS_ALWAYS, known / 3))


def missing_plan(names: Collection[str]) -> str:
    """Given the names of points that are missing, return what takes them for gone: another hash
    than the one that lets retention mark the same points.
    """
    return _digest([MISSING, *sorted(names)])


def missing_copies(held: Sequence[Held], namespace: str, policy: str) -> Brake | None:
    """Given the series of a policy of which points are missing, return what is to be told, None if
    there are none.
    """
    if not held:
        return None
    told = [
        f"{h.claim}: {h.marks} of {h.size} copies were not found at the destination" for h in held
    ]
    return Brake(
        "NotFound",
        f"{_first(told, 'directories')}; no record of them is removed, and nothing there is marked "
        "or swept. Have the disk that belongs there mounted, or exported: the next daily list "
        f"finds them again. If they are gone for good, run: {_command(held, namespace, policy)}",
    )


def missing_points(held: Sequence[tuple[Held, str]], namespace: str, policy: str) -> Brake | None:
    """Given the claims of a policy of which points are missing, and of each the first one and why
    it is, return what is to be told, None if there are none.
    """
    if not held:
        return None
    told = [
        f"claim {h.claim}: {h.marks} good "
        f"{'points are' if h.marks > 1 else 'point is'} missing, first {why}"
        for h, why in held
    ]
    return Brake(
        "NotFound",
        f"{_first(told, 'claims')}. Nothing of Backstay's removed them: look for what does, such "
        "as another pruner. Their Backups stay, as Gone; a VolumeSnapshotContent that is left can "
        "be rebound (kubectl backstay orphans). If they are gone for good, run: "
        f"{_command([h for h, _ in held], namespace, policy)}",
    )


def _first(told: Sequence[str], things: str) -> str:
    more = [f"and {len(told) - _TOLD} more {things}"] if len(told) > _TOLD else []
    return "; ".join([*told[:_TOLD], *more])


def _command(held: Sequence[Held], namespace: str, policy: str) -> str:
    """The command that releases these plans, as many as an annotation is to hold."""
    plans = ",".join(dict.fromkeys(h.plan for h in held[:_RELEASED_AT_ONCE]))
    return (
        f"kubectl annotate backuppolicy {policy} {labels.RELEASE_RETENTION}={plans} --overwrite "
        f"-n {namespace}"
    )


def released_plans(annotation: str | None) -> frozenset[str]:
    """Given the text of the annotation that releases, return the hashes in it."""
    return frozenset(text.strip() for text in (annotation or "").split(",") if text.strip())


def with_brake(
    conditions: tuple[Condition, ...],
    type: str,
    brake: Brake | None,
    otherwise: Brake,
    *,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Given a policy's conditions, the type of one, the brake of this pass and what is to be told
    where there is none, return them with that condition.

    A policy that never was held back gets no condition.
    """
    if brake is None and all(c.type != type for c in conditions):
        return conditions
    told = brake or otherwise
    return with_condition(
        conditions,
        type=type,
        ok=brake is not None,
        reason=told.reason,
        message=told.message,
        generation=generation,
        now=now,
    )


def _is_dated(verdict: Verdict) -> bool:
    """Whether a date takes its point that neither a mark nor a person's release stands behind."""
    point = verdict.point
    approved = point.is_marked_by_retention or _was_released(verdict)
    return verdict.sweep and not point.deleting and not approved


def _was_released(verdict: Verdict) -> bool:
    point = verdict.point
    date = point.labels.get(labels.DELETE_AFTER)
    return verdict.sweep and not point.deleting and date is not None and point.released == date


def _may_leave(verdict: Verdict) -> bool:
    """Whether a point is of those that a third is taken of: what is marked already, or goes by a
    mark or a release, must not make room for more.
    """
    point = verdict.point
    approved = verdict.sweep and not _is_dated(verdict)
    return not (
        point.deleting or approved or point.result is Result.PENDING or _stays_marked(verdict)
    )


def _stays_marked(verdict: Verdict) -> bool:
    point = verdict.point
    taken_back = labels.MARKED_AT in verdict.remove_annotations
    return point.is_marked_by_retention and not (point.deleting or verdict.sweep or taken_back)


def _leaves(verdict: Verdict) -> bool:
    dated = _is_dated(verdict) or _was_released(verdict)
    return marks(verdict) or _stays_marked(verdict) or dated


def _hash(verdicts: Sequence[Verdict]) -> str:
    """The names of all that is marked or dated once the plan is carried out: what an earlier,
    unfinished pass has marked or released of it counts too.
    """
    return _digest(sorted(v.point.name for v in verdicts if _leaves(v)))


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:_HASH_CHARS]
