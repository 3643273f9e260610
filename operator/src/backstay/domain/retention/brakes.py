"""Brakes: what keeps a retention pass from marking and sweeping by mistake.

While our clock is off, nothing is marked or swept: dates and graces would mean nothing. A pass
in which more than max(MARKS_ALWAYS, a third) of a series would leave, by a mark or by a date that
no mark wrote, marks and sweeps none of it, until a person releases that very plan by its hash.
Points whose date was released get an annotation first, all of them, and are swept by the next
pass. Invariants: a brake only ever takes marks and sweeps away; what it lets through is what
`judge` wanted; the hash of a plan stays the same while the plan is being carried out, so that a
pass that was killed half way is finished without asking again.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from backstay.api.common import Condition, with_condition
from backstay.domain import labels
from backstay.domain.labels import Result
from backstay.domain.retention.points import Verdict
from backstay.domain.retention.reasons import Reason, past

MARKS_ALWAYS: Final = 3
"""So many points of a series may always be marked at once."""

CONDITION: Final = "RetentionHeld"
_HASH_CHARS: Final = 10
_NAMED: Final = 2
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

    @property
    def why(self) -> str:
        """Say how many would leave, without a claim."""
        return Reason.TOO_MANY.format(marks=self.marks, size=self.size, how=self.how)


@dataclass(frozen=True, slots=True)
class Brake:
    """Why retention holds back, as a condition says it."""

    reason: str
    message: str


NOT_HELD: Final = Brake("NotHeld", "retention marks and sweeps as the policy says")


def marks(verdict: Verdict) -> bool:
    """Given a verdict, return whether it gives its point a new mark."""
    return labels.MARKED_AT in verdict.set_annotations


def hold_back(
    verdicts: Sequence[Verdict],
    *,
    clock: Brake | None,
    frozen: Sequence[str],
    released: Collection[str],
) -> tuple[list[Verdict], Held | None]:
    """Given the verdicts on one series, the brake of our clock, why the series is frozen (by
    whatever says so) and the hashes that a person released, return the verdicts to carry out, and
    what is held if too many points would leave.

    Every pass comes through here, so every store is held back by the same, in the same order.
    """
    found = list(verdicts)
    if clock is not None:
        # Sweeps stay: one that has begun is due still. Who carries them out asks the clock too.
        found = [withhold(v, clock.message) for v in found]
    for why in frozen:
        found = [freeze(v, why) for v in found]
    # Last: what nothing else holds is measured, and a person is asked for no other plan.
    return brake_marks(found, released)


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
    # What a mark takes goes on: that it is marked was held, or released, a day before.
    kept = [
        v if v.point.is_marked_by_retention and v.sweep else freeze(v, held.why) for v in verdicts
    ]
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


def mass_mark(held: Sequence[Held], namespace: str, policy: str) -> Brake | None:
    """Given the series of a policy that are held, return the brake, None if none is."""
    if not held:
        return None
    named = [f"claim {h.claim}: {h.why}" for h in held]
    return Brake(
        "MassMark",
        f"{first(named, 'claims')}; none of them is. If that is meant, run: "
        f"{release_command(held, namespace, policy)}",
    )


def first(named: Sequence[str], things: str) -> str:
    """Given what is to be reported of each series, return the first two, and how many more."""
    more = [f"and {len(named) - _NAMED} more {things}"] if len(named) > _NAMED else []
    return "; ".join([*named[:_NAMED], *more])


def release_command(held: Sequence[Held], namespace: str, policy: str) -> str:
    """Given what is held of a policy, return the command that releases it, as many plans as an
    annotation is to hold.
    """
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
    """Given a policy's conditions, the type of one, the brake of this pass and what is said where
    there is none, return them with that condition.

    A policy that never was held back gets no condition.
    """
    if brake is None and all(c.type != type for c in conditions):
        return conditions
    says = brake or otherwise
    return with_condition(
        conditions,
        type=type,
        ok=brake is not None,
        reason=says.reason,
        message=says.message,
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
    return digest(sorted(v.point.name for v in verdicts if _leaves(v)))


def digest(names: Sequence[str]) -> str:
    """Given names in their order, return the hash by which a person releases them."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:_HASH_CHARS]
