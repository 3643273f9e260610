"""The pass over a policy's rolling copies: what is to be changed at their destinations, and when.

Retention is the one of snapshots (`rolling_judging`, and the brakes) over the points as the Backups
mirror them. What it wants is carried out by Jobs, one at a time per series, in which the agent
compares versions under its lock: a point that is not as it was seen is left alone, and listed.

Invariants: nothing is decided on a series while a run copies it, nor while copies of it are
missing; no Job is made when there is nothing to do; a plan of one series never waits for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final

from backstay.api.common import Condition, changed
from backstay.api.point import PointStatus
from backstay.api.policy_status import SHOWN_MAX
from backstay.api.rolling import CopiesStatus
from backstay.domain import labels
from backstay.domain.clock_skew import CLOCK_SKEW, CLOCK_SLACK
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Brake, Held, hold_back
from backstay.domain.retention.expiry import until
from backstay.domain.retention.findings import Finding, Findings
from backstay.domain.retention.missing import missing_plan
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.schedule.early import is_ahead
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.copies.agent_tasks import POINTS_MAX, Change
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
from backstay.domain.stores.copies.points import RollingPoint
from backstay.domain.stores.copies.results import as_gone
from backstay.domain.stores.copies.series import Kept, Shown

RHYTHM: Final = timedelta(hours=24)
"""Between two looks at a destination, and between two parts of a scrub."""
_FINDINGS: Final = frozenset({"Rotten", "Changed"})
NO_MARKER: Final = "DestinationNotInitialised"
"""The agent's word for a destination without a marker."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pass rests on."""

    now: datetime
    rules: Rules | None
    """None: the policy is gone."""
    kept: Sequence[Kept]
    finished: Sequence[Run] = ()
    """The Backups that are final."""
    copying: Mapping[str, str] = field(default_factory=dict)
    """By key of a series that is being copied: the Backup that does."""
    requests: frozenset[str] = frozenset()
    """uids of the RestoreRequests that are not final."""
    wanted: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """By Backup and directory: uids of the requests that are to hold its point."""
    released: frozenset[str] = frozenset()
    clock: Brake | None = None
    policy: Obj | None = None
    conditions: tuple[Condition, ...] = ()
    looks: Mapping[str, CopiesStatus] = field(default_factory=dict)
    """By series: what the policy's status says of earlier looks."""
    rebuilt_at: datetime | None = None
    accepted: frozenset[str] = frozenset()
    """Set by a person: sources that go on the ones before."""
    named: frozenset[str] = frozenset()
    """The Backups that RestoreRequests name which have not begun yet."""


class Verb(StrEnum):
    """What a Job of upkeep does; the agent's words."""

    RELABEL = "relabel"
    PRUNE = "prune"
    LIST = "list"
    SCRUB = "scrub"


@dataclass(frozen=True, slots=True)
class Chore:
    """The next Job of one series."""

    kept: Kept
    verb: Verb
    changes: Sequence[Change] = ()
    occasion: str = ""
    """What distinguishes one list or scrub from the next."""
    imports: bool = False
    """Points without a record get one."""
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished Job of upkeep said. `result` is None if nobody can read it any more."""

    result: AgentResult | None
    message: str
    points: Sequence[RollingPoint] | None = None
    """Of a list: all of its points; None if they cannot be had."""
    unmarked: bool = False
    """A claim without a marker was asked: nothing of ours is there, and nothing was changed."""

    @property
    def ok(self) -> bool:
        """Whether it did what it was made for. A scrub that found something did."""
        return self.unmarked or (
            self.result is not None and (self.result.ok or self.result.reason in _FINDINGS)
        )


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
        if (chore := _chore(seen, kept, verdicts)) is not None:
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
        for shown in filter(_is_missing, kept.shown):
            found.setdefault(shown.run.uid, []).append(as_gone(shown.entry))
        series.append(replace(kept, shown=[s for s in kept.shown if not _is_missing(s)]))
    return replace(seen, kept=series), found


def _is_missing(shown: Shown) -> bool:
    return shown.entry.rolling is not None and shown.entry.rolling.missing


def _missing(kept: Kept) -> Held | None:
    """What is missing of a series, None if nothing is."""
    names = [shown.point.name for shown in kept.shown if _is_missing(shown)]
    if not names:
        return None
    plan = missing_plan(names)
    return Held(kept.copy.series, marks=len(names), size=len(kept.shown), plan=plan)


def _as_it_counts(shown: Shown, seen: Seen) -> Point:
    """The point with the requests that restore from it, and without those that are over."""
    users = {u for u in (shown.point.in_use or "").split(",") if u in seen.requests}
    users |= seen.wanted.get((shown.run.name, shown.entry.source), frozenset())
    return replace(shown.point, in_use=",".join(sorted(users)) or None)


def _chore(seen: Seen, kept: Kept, verdicts: Sequence[Verdict]) -> Chore | None:
    """What is next for one series; labels before removals, both before what has time."""
    if kept.series.key in seen.copying:
        return None
    look = _past(seen.looks.get(kept.copy.series), kept, seen.now)
    if seen.policy is not None and (first := _list_first(seen, kept, look)) is not None:
        return first
    pairs = [
        (shown, verdict)
        for shown, verdict in zip(kept.shown, verdicts, strict=True)
        # A run that is not over still writes its Backup itself.
        if shown.run.status.phase.final and not _is_missing(shown)
    ]
    relabel = [(_change(shown, v), v) for shown, v in pairs if _changes(shown, v)]
    if relabel:
        return _with(kept, Verb.RELABEL, relabel)
    sweep = [(Change(v.point.name, v.point.resource_version), v) for _, v in pairs if v.sweep]
    if sweep and seen.clock is None:
        return _with(kept, Verb.PRUNE, sweep)
    if seen.policy is None or not kept.shown:
        return None
    today = seen.now.date().isoformat()
    if _is_due(look.listed_at, seen.now):
        return _list(kept, today)
    if kept.rolling.scrub.days and _is_due(look.scrubbed_at, seen.now):
        return Chore(kept, Verb.SCRUB, occasion=today)
    return None


def _past(look: CopiesStatus | None, kept: Kept, now: datetime) -> CopiesStatus:
    """What was seen of a series. A look in the future is none: our clock was ahead then, and there
    would be no other for as long as it was.
    """
    look = look or CopiesStatus(source=kept.copy.series)
    ahead = now + CLOCK_SLACK
    if look.listed_at is not None and look.listed_at > ahead:
        look = changed(look, listed_at=None)
    if look.scrubbed_at is not None and look.scrubbed_at > ahead:
        look = changed(look, scrubbed_at=None)
    return look


def _list_first(seen: Seen, kept: Kept, look: CopiesStatus) -> Chore | None:
    """The list that is needed before anything is changed, if one is."""
    if _is_unknown(seen, look):
        # The first one is the same Job whether or not the rebuild of a new policy was faster.
        occasion = "first" if look.listed_at is None else f"rebuild {seen.rebuilt_at}"
        return _list(kept, occasion, imports=True)
    if look.stale:
        return _list(kept, f"stale since {look.listed_at}")
    if look.read_only and _is_due(look.listed_at, seen.now):
        # What is wanted of the points is refused there, and must not come before this for ever.
        return _list(kept, seen.now.date().isoformat())
    return None


def _list(kept: Kept, occasion: str, *, imports: bool = False) -> Chore:
    """A list belongs to the points that were known when it was asked for: one that was published
    later is missing in it, and is not gone.
    """
    known = " ".join(sorted(shown.point.name for shown in kept.shown))
    return Chore(kept, Verb.LIST, occasion=f"{occasion}: {known}", imports=imports)


def _is_unknown(seen: Seen, look: CopiesStatus) -> bool:
    """Whether the points of a series were never listed, or are to be recorded again."""
    if look.listed_at is None or is_ahead(look.listed_at, seen.now):
        return True
    # One of the future was asked for while our clock was ahead, and would never be over.
    return seen.rebuilt_at is not None and look.listed_at < seen.rebuilt_at <= seen.now


def _is_due(at: datetime | None, now: datetime) -> bool:
    """Also where a clock that was ahead has written when it was: else nothing for so long."""
    return at is None or is_ahead(at, now) or now - at >= RHYTHM


def _with(kept: Kept, verb: Verb, found: Sequence[tuple[Change, Verdict]]) -> Chore:
    chosen = found[:POINTS_MAX]
    reasons = [f"{c.stamp}: {'; '.join(v.reasons)}" for c, v in chosen]
    return Chore(kept, verb, [c for c, _ in chosen], reasons=reasons)


def _changes(shown: Shown, verdict: Verdict) -> bool:
    return verdict.patches or verdict.point.in_use != shown.point.in_use


def _change(shown: Shown, verdict: Verdict) -> Change:
    notes: dict[str, str | None] = {**verdict.set_annotations}
    notes |= dict.fromkeys(verdict.remove_annotations)
    if verdict.point.in_use != shown.point.in_use:
        notes[labels.IN_USE] = verdict.point.in_use
    return Change(
        stamp=verdict.point.name,
        version=verdict.point.resource_version,
        labels={**verdict.set_labels, **dict.fromkeys(verdict.remove_labels)},
        annotations=notes,
    )


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
