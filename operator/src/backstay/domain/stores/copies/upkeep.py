"""The pass over a policy's rolling copies: what is to be changed at their destinations, and when.

Retention is the one of snapshots (`rolling_judging`, and the brakes) over the points as the Backups
mirror them. What it wants is carried out by Jobs, one at a time per series, in which the agent
compares versions under its lock: a point that is not as it was seen is left alone, and listed.

Invariants: nothing is decided on a series while a run copies it, nor while copies of it are
missing; no Job is made when there is nothing to do; a plan of one series never waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from backstay.api.point import PointStatus
from backstay.api.policy_status import SHOWN_MAX
from backstay.domain.clock_skew import CLOCK_SKEW
from backstay.domain.retention.brakes import Brake, Held, hold_back
from backstay.domain.retention.expiry import until
from backstay.domain.retention.findings import Finding, Findings
from backstay.domain.retention.missing import missing_plan
from backstay.domain.retention.points import Point, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.stores.copies.chores import Chore, next_chore
from backstay.domain.stores.copies.conditions import Facts, findings_of
from backstay.domain.stores.copies.incarnations import Replaced
from backstay.domain.stores.copies.judging import (
    Copy,
    Groups,
    clock_trouble,
    grouped,
    judge_copies,
    replaced,
)
from backstay.domain.stores.copies.results import as_gone
from backstay.domain.stores.copies.seen import Seen, is_missing
from backstay.domain.stores.copies.series import Kept, Shown


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the copies of a policy has come to."""

    chores: Sequence[Chore]
    findings: Findings


def look(seen: Seen) -> Looked:
    """Given what was read of one policy, return what to do with its copies, and what was found."""
    seen, given_up = _give_up(seen)
    chores, held, found = [], list[Held](), dict[str, tuple[Point, str]]()
    for number, kept in enumerate(seen.kept):
        verdicts, stopped = judged(seen, kept)
        held += [stopped] if stopped else []
        apart = _grouped(seen, kept).names_without_rules
        for shown, verdict in zip(kept.shown, verdicts, strict=True):
            after = verdict.after
            rules = seen.rules if after.name not in apart else None
            text = until(after, rules, seen.now, last=verdict.last)
            found[shown.entry.artifact or ""] = after, text
        if seen.policy is not None and number >= SHOWN_MAX:
            continue  # Without a place to note that it was listed, it would be for ever.
        if (chore := next_chore(seen, kept, verdicts)) is not None:
            chores.append(chore)
    alive = frozenset(shown.run.uid for kept in seen.kept for shown in kept.shown)
    return Looked(chores, Findings(_conditions(seen, held), found, alive, given_up))


def judged(seen: Seen, kept: Kept) -> tuple[list[Verdict], Held | None]:
    """Given what was read and one series, return a verdict for each of its points, and what a
    brake holds back.
    """
    copies, groups = _copies(seen, kept), _grouped(seen, kept)
    found = judge_copies(groups, seen.rules, seen.now)
    verdicts = [found[c.point.name] for c in copies]
    if (lost := _missing(kept)) is not None:
        # Before the brakes: what they would measure is not the whole series, and asks for nothing.
        why = Reason.COPIES_MISSING.format(missing=lost.marks, size=lost.size)
        return [Verdict(v.point, reasons=(why,), last=v.last) for v in verdicts], None
    trouble = clock_trouble(copies, seen.now)
    held_back = partial(
        hold_back,
        clock=seen.clock,
        frozen=[trouble] if trouble else [],
        released=seen.released,
    )
    # By themselves: a third of the copies that count is no larger for those that are set apart.
    counted = {c.point.name for c in groups.counted}
    inside, stopped = held_back([v for v in verdicts if v.point.name in counted])
    beside, also = held_back([v for v in verdicts if v.point.name not in counted])
    by_name = {v.point.name: v for v in (*inside, *beside)}
    return [by_name[v.point.name] for v in verdicts], stopped or also


def _copies(seen: Seen, kept: Kept) -> list[Copy]:
    return [
        Copy(
            point=_as_it_counts(shown, seen),
            status=shown.copy,
            good_since=shown.good_since or seen.now,
            named=shown.run.name in seen.named,
        )
        for shown in kept.shown
    ]


def _grouped(seen: Seen, kept: Kept) -> Groups:
    return grouped(_copies(seen, kept), kept.series, seen.accepted, seen.now)


def _give_up(seen: Seen) -> tuple[Seen, dict[str, list[PointStatus]]]:
    """What was read without the missing points that a person takes for gone, and by uid of their
    Backups what these points are to be shown as.
    """
    series, found = [], dict[str, list[PointStatus]]()
    for kept in seen.kept:
        lost = _missing(kept)
        if lost is None or lost.plan not in seen.released:
            series.append(kept)
            continue
        for shown in filter(is_missing, kept.shown):
            found.setdefault(shown.run.uid, []).append(as_gone(shown.entry))
        series.append(replace(kept, shown=[s for s in kept.shown if not is_missing(s)]))
    return replace(seen, kept=series), found


def _missing(kept: Kept) -> Held | None:
    """What is missing of a series, None if nothing is."""
    names = [shown.point.name for shown in kept.shown if is_missing(shown)]
    if not names:
        return None
    plan = missing_plan(names)
    return Held(kept.copy.series, marks=len(names), size=len(kept.shown), plan=plan)


def _as_it_counts(shown: Shown, seen: Seen) -> Point:
    """The point with the requests that restore from it, and without those that are over."""
    users = {u for u in (shown.point.in_use or "").split(",") if u in seen.requests}
    users |= seen.wanted.get((shown.run.name, shown.entry.source), frozenset())
    return replace(shown.point, in_use=",".join(sorted(users)) or None)


def _conditions(seen: Seen, held: Sequence[Held]) -> Sequence[Finding]:
    """What the policy is to say of its copies."""
    if seen.policy is None:
        return ()
    return findings_of(
        seen.policy,
        Facts(
            stopped=seen.clock or _clock(seen),
            held=held,
            rotten=[look for look in seen.looks.values() if look.rot],
            lost=[found for found in map(_missing, seen.kept) if found is not None],
            replaced=[r for kept in seen.kept if (r := _replaced(seen, kept)) is not None],
            accepted=seen.accepted,
        ),
    )


def _replaced(seen: Seen, kept: Kept) -> Replaced | None:
    return replaced(_grouped(seen, kept), kept.series, kept.copy.series, seen.accepted)


def _clock(seen: Seen) -> Brake | None:
    """Which node's clock is off, by what copies say."""
    found = [(kept, clock_trouble(_copies(seen, kept), seen.now)) for kept in seen.kept]
    reported = [f"{kept.copy.series}: {why}" for kept, why in found if why]
    if not reported:
        return None
    return Brake(
        CLOCK_SKEW,
        f"{'; '.join(reported)}"[:3072]
        + "; copies go on being made, and nothing of those directories "
        "is marked or swept until one is made with the clock right: set the time of that node",
    )
