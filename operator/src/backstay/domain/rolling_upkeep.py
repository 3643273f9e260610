"""The pass over a policy's rolling copies: what is to be changed at their destinations, and when.

Retention is the one of snapshots (`retention.judge` and its brakes) over the points as the Backups
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
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import Condition
from backstay.api.policy import SHOWN_MAX
from backstay.api.rolling import CopiesStatus
from backstay.domain import brakes, labels, objects, records
from backstay.domain.agent_result import AgentResult
from backstay.domain.brakes import Brake, Held, brake_marks, with_brake, withhold
from backstay.domain.early import is_ahead
from backstay.domain.objects import Obj, dig
from backstay.domain.points import Point, Rules, Verdict
from backstay.domain.records import Run
from backstay.domain.retention import judge
from backstay.domain.rolling import RollingPoint
from backstay.domain.rolling_results import as_gone
from backstay.domain.rolling_series import Kept, Shown
from backstay.domain.rolling_tasks import POINTS_MAX, Change
from backstay.domain.run_status import with_point
from backstay.domain.until import until

RHYTHM: Final = timedelta(hours=24)
"""Between two looks at a destination, and between two parts of a scrub."""
ROT: Final = "Rot"
_FINDINGS: Final = frozenset({"Rotten", "Changed"})
NO_MARKER: Final = "DestinationNotInitialised"
"""The agent's word for a destination without a marker."""
NO_ROT: Final = Brake("NoneFound", "every file of the copies that was read again is unchanged")


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
    """What tells one list or scrub from the next."""
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
class Plan:
    """One chore per series at most, and what the policy and the records are to show."""

    chores: Sequence[Chore]
    conditions: tuple[Condition, ...] | None
    """Those of the policy; None: as they stand."""
    shown: Sequence[tuple[Run, BackupStatus]]
    removable: Sequence[Run]


def plan(seen: Seen) -> Plan:
    """Given what was read of one policy, return what to do."""
    seen, given_up = _give_up(seen)
    chores, held, told = [], list[Held](), dict[str, tuple[Point, str]]()
    for number, kept in enumerate(seen.kept):
        verdicts, stopped = judged(seen, kept)
        held += [stopped] if stopped else []
        for shown, verdict in zip(kept.shown, verdicts, strict=True):
            after = _after(shown.point, verdict)
            text = until(after, seen.rules, seen.now, last=verdict.last)
            told[shown.entry.artifact or ""] = after, text
        if seen.policy is not None and number >= SHOWN_MAX:
            continue  # Without a place to note that it was listed, it would be for ever.
        if (chore := _chore(seen, kept, verdicts)) is not None:
            chores.append(chore)
    statuses = (
        (run, records.shown(replace(run, status=given_up.get(run.uid, run.status)), told))
        for run in seen.finished
    )
    alive = {shown.run.uid for kept in seen.kept for shown in kept.shown}
    return Plan(
        chores,
        _conditions(seen, held),
        [(run, status) for run, status in statuses if status is not run.status],
        records.removable(seen.finished, alive, seen.rules, seen.now),
    )


def judged(seen: Seen, kept: Kept) -> tuple[list[Verdict], Held | None]:
    """Given what was read and one series, return a verdict for each of its points, and what a
    brake holds back.
    """
    points = [_as_it_counts(shown, seen) for shown in kept.shown]
    verdicts = judge(points, seen.rules, seen.now)
    if (lost := _missing(kept)) is not None:
        why = f"nothing is changed: {lost.marks} of {lost.size} copies were not found"
        return [Verdict(v.point, reasons=(why,), last=v.last) for v in verdicts], None
    if seen.clock is not None:
        verdicts = [withhold(v, seen.clock.message) for v in verdicts]
    return brake_marks(verdicts, seen.released)


def _give_up(seen: Seen) -> tuple[Seen, dict[str, BackupStatus]]:
    """What was read without the missing points that a person takes for gone, and by uid what the
    Backups of these show then.
    """
    series, found = [], dict[str, BackupStatus]()
    for kept in seen.kept:
        lost = _missing(kept)
        if lost is None or lost.plan not in seen.released:
            series.append(kept)
            continue
        for shown in filter(_is_missing, kept.shown):
            status = found.get(shown.run.uid, shown.run.status)
            found[shown.run.uid] = with_point(status, as_gone(shown.entry))
        series.append(replace(kept, shown=[s for s in kept.shown if not _is_missing(s)]))
    return replace(seen, kept=series), found


def _is_missing(shown: Shown) -> bool:
    return shown.entry.rolling is not None and shown.entry.rolling.missing


def _missing(kept: Kept) -> Held | None:
    """What is missing of a series, None if nothing is."""
    names = [shown.point.name for shown in kept.shown if _is_missing(shown)]
    if not names:
        return None
    plan = brakes.missing_plan(names)
    return Held(kept.copy.series, marks=len(names), size=len(kept.shown), plan=plan)


def _as_it_counts(shown: Shown, seen: Seen) -> Point:
    """The point with the requests that restore from it, and without those that are over."""
    users = {u for u in (shown.point.in_use or "").split(",") if u in seen.requests}
    users |= seen.wanted.get((shown.run.name, shown.entry.claim), frozenset())
    return replace(shown.point, in_use=",".join(sorted(users)) or None)


def _after(point: Point, verdict: Verdict) -> Point:
    """The point as it will be labelled."""
    carried = {**point.labels, **verdict.set_labels}
    for key in verdict.remove_labels:
        carried.pop(key, None)
    marked_at = verdict.set_annotations.get(labels.MARKED_AT, point.marked_at)
    if labels.MARKED_AT in verdict.remove_annotations:
        marked_at = None
    return replace(point, labels=carried, marked_at=marked_at)


def _chore(seen: Seen, kept: Kept, verdicts: Sequence[Verdict]) -> Chore | None:
    """What is next for one series; labels before removals, both before what has time."""
    if kept.series.key in seen.copying:
        return None
    look = seen.looks.get(kept.copy.series, CopiesStatus(series=kept.copy.series))
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


def _list_first(seen: Seen, kept: Kept, look: CopiesStatus) -> Chore | None:
    """The list that is needed before anything is changed, if one is."""
    if _is_unknown(seen, look):
        # The first one is the same Job whether or not the rebuild of a new policy was faster.
        occasion = "first" if look.listed_at is None else f"rebuild {seen.rebuilt_at}"
        return _list(kept, occasion, imports=True)
    if look.stale:
        return _list(kept, f"stale since {look.listed_at}")
    return None


def _list(kept: Kept, occasion: str, *, imports: bool = False) -> Chore:
    """A list belongs to the points that were known when it was asked for: one that was published
    later is missing in it, and is not gone.
    """
    known = " ".join(sorted(shown.point.name for shown in kept.shown))
    return Chore(kept, Verb.LIST, occasion=f"{occasion}: {known}", imports=imports)


def _is_unknown(seen: Seen, look: CopiesStatus) -> bool:
    """Whether the points of a series were never listed, or are to be recorded anew."""
    if look.listed_at is None or is_ahead(look.listed_at, seen.now):
        return True
    return seen.rebuilt_at is not None and look.listed_at < seen.rebuilt_at


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


def _conditions(seen: Seen, held: Sequence[Held]) -> tuple[Condition, ...] | None:
    """What the policy is to say of brakes, rot and missing copies; None where it does."""
    if seen.policy is None:
        return None
    place = objects.namespace(seen.policy), objects.name(seen.policy)
    generation = int(dig(seen.policy, "metadata", "generation", default=0))
    told = seen.conditions
    lost = [found for found in map(_missing, seen.kept) if found is not None]
    for kind, brake, otherwise in (
        (brakes.CONDITION, seen.clock or brakes.mass_mark(held, *place), brakes.NOT_HELD),
        (ROT, _rot(seen), NO_ROT),
        (brakes.MISSING, brakes.missing_copies(lost, *place), brakes.NONE_MISSING),
    ):
        told = with_brake(told, kind, brake, otherwise, generation=generation, now=seen.now)
    return told if told != seen.conditions else None


def _rot(seen: Seen) -> Brake | None:
    rotten = [look for look in seen.looks.values() if look.rot]
    if not rotten:
        return None
    told = "; ".join(f"{look.series}: {look.rot_message}" for look in rotten)
    return Brake("RotFound", f"files of the copies are not as they were copied: {told}"[:4096])
