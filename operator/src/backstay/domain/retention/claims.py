"""The verdict on each point of one claim: its incarnations, judged and held back one by one.

Invariants: a claim is judged by itself, and each of its incarnations by itself; whatever takes
hold of a series only ever takes marks and sweeps away. Every store of claims is judged here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from backstay.domain.retention import replaced
from backstay.domain.retention.brakes import Brake, Held, hold_back
from backstay.domain.retention.future import Ahead, ahead
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.replaced import Replaced
from backstay.domain.retention.shrinkage import Shrunk, shrunk


@dataclass(frozen=True, slots=True)
class Basis:
    """What the verdicts on a claim rest on, besides its points."""

    now: datetime
    rules: Rules | None
    """None: the policy is gone."""
    clock: Brake | None = None
    """Set: our clock is off, and nothing is marked or swept."""
    released: Collection[str] = frozenset()
    """Hashes of the plans that a person released."""
    accepted: Mapping[str, datetime] = field(default_factory=dict)
    """Since when a person accepts the sizes of dumps, by claim."""
    same: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By claim: ids of sources that a person accepts as going on with its series."""
    frozen: Sequence[str] = ()
    """Why nothing at all is marked or swept, in words."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The series of a policy in which a brake takes hold."""

    held: Sequence[Held] = ()
    """Nothing is marked for now."""
    shrunk: Sequence[Shrunk] = ()
    """Nothing is marked or swept."""
    ahead: Sequence[Ahead] = ()
    """Nothing is marked or swept."""
    replaced: Sequence[Replaced] = ()
    """Nothing of the sources before the one of now is marked or swept."""


def joined(stops: Sequence[Stopped]) -> Stopped:
    """Given what stops each claim of a policy, return it as one."""
    return Stopped(
        [h for s in stops for h in s.held],
        [h for s in stops for h in s.shrunk],
        [h for s in stops for h in s.ahead],
        [h for s in stops for h in s.replaced],
    )


def judge_claim(points: Sequence[Point], basis: Basis) -> tuple[dict[str, Verdict], Stopped]:
    """Given all points of one claim in one store, at least one, and what else counts, return the
    verdicts by the uids of the points, and what stops any of them.
    """
    parts = replaced.split(points, basis.same.get(points[0].claim, ()))
    # Of the whole claim, before it is split: the time that is wrong may have split it wrongly.
    early = ahead(points, basis.now)
    verdicts: dict[str, Verdict] = {}
    held: list[Held] = []
    small: list[Shrunk] = []
    for part in parts:
        # The policy's rules are for the source of now: its points must not push out older ones.
        rules = basis.rules if part is parts[-1] else None
        judged, stopped, frozen = _judge(part, rules, early, basis)
        if any(v.sweep and v.point.deleting for v in judged):
            # By a hand, maybe: its disk is due only if it were so with nothing being deleted.
            there, *_ = _judge([replace(p, deleting=False) for p in part], rules, early, basis)
            judged = [
                replace(v, sweep=v.sweep and (t.sweep or not v.point.deleting))
                for v, t in zip(judged, there, strict=True)
            ]
        held += [stopped] if stopped else []
        small += [frozen] if frozen else []
        verdicts |= {v.point.uid: v for v in judged}
    other = replaced.replaced(parts)
    return verdicts, Stopped(held, small, [early] if early else [], [other] if other else [])


def _judge(
    points: Sequence[Point], rules: Rules | None, early: Ahead | None, basis: Basis
) -> tuple[list[Verdict], Held | None, Shrunk | None]:
    """The verdicts on one incarnation of a claim, and what takes hold of it."""
    why = Reason.CLAIM_REPLACED if basis.rules is not None else Reason.POLICY_GONE
    verdicts = judge(points, rules, basis.now, frozen=why)
    small = shrunk(points, basis.accepted)
    verdicts, stopped = hold_back(
        verdicts,
        clock=basis.clock,
        frozen=[*basis.frozen, *(f.freezes for f in (early, small) if f is not None)],
        released=basis.released,
    )
    return verdicts, stopped, small
