"""What the Backups are to show after a Job of upkeep has answered.

Invariants: only the entry of the Job's own series changes; a point whose outcome is not known for
sure stays as it is shown, and the series is listed; points that are missing are taken for gone only
where they are few; a record that is there is never replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backstay.api.backup import BackupPhase, BackupStatus, Trigger
from backstay.api.common import changed, format_time
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.point import PointStatus
from backstay.api.rolling import PlannedRolling
from backstay.api.rolling_status import CopiesStatus, CopyStatus
from backstay.api.store import ROLLING
from backstay.domain import labels, naming
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.missing import looks_lost
from backstay.domain.run.status import format_size, short, with_point
from backstay.domain.stores.copies.agent_result import AgentResult, Outcome
from backstay.domain.stores.copies.agent_tasks import Change
from backstay.domain.stores.copies.chores import Answer, Chore, Verb
from backstay.domain.stores.copies.points import RollingPoint
from backstay.domain.stores.copies.results import as_gone, as_missing, mirrored
from backstay.domain.stores.copies.series import Kept, Shown
from backstay.domain.times import parse_time

_DONE: Final = "done"
_GONE: Final = "gone"
READ_ONLY: Final = "DestinationReadOnly"
"""The agent's word for a destination that takes no change."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The Backups that are to show something else, and whether the series must be listed."""

    shown: Sequence[tuple[Run, BackupStatus]]
    again: bool = False


def after_relabel(
    kept: Kept, changes: Sequence[Change], outcomes: Mapping[str, Outcome]
) -> Answered:
    """Given a series, the changes that were asked for and their outcomes, return each change's
    status update.
    """
    found, again = [], False
    wanted = {c.stamp: c for c in changes}
    for shown in kept.shown:
        change, outcome = wanted.get(shown.point.name), outcomes.get(shown.point.name)
        if change is None:
            continue
        if outcome is not None and outcome.word == _DONE:
            found.append(_with(shown, _relabelled(shown, change, outcome.version)))
        else:
            # One that is not there is for the list to judge, which sees how many are missing.
            again = True
    return Answered(found, again)


def after_prune(kept: Kept, changes: Sequence[Change], outcomes: Mapping[str, Outcome]) -> Answered:
    """Given a series, the points that were to go and their outcomes, return each change's status
    update.
    """
    found, again = [], False
    wanted = {c.stamp for c in changes}
    for shown in kept.shown:
        outcome = outcomes.get(shown.point.name)
        if shown.point.name not in wanted:
            continue
        if outcome is not None and outcome.word in (_DONE, _GONE):
            found.append(_with(shown, as_gone(shown.entry)))
        else:
            again = True
    return Answered(found, again)


def after_list(kept: Kept, points: Sequence[RollingPoint]) -> tuple[Answered, list[RollingPoint]]:
    """Given a series and the points at its destination, return what the Backups are to show, and
    the points that no Backup speaks of.

    Raise DataError if a point is of another series.
    """
    for point in points:
        if point.series != kept.series:
            raise DataError(f"the list of {kept.series.key} has a point of {point.series.key}")
    there = {p.stamp: p for p in points if not p.lost}
    hollow = {p.stamp for p in points if p.lost}
    final = [shown for shown in kept.shown if shown.run.status.phase.final]
    lost = sum(1 for shown in final if shown.point.name not in there)
    without = as_missing if looks_lost(lost, len(final)) else as_gone
    found = []
    for shown in final:
        name = shown.point.name
        now = there.get(name)
        # One that has lost its tree is missed whatever the number: nobody removed it.
        lacking = as_missing if name in hollow else without
        entry = mirrored(now, shown.entry) if now is not None else lacking(shown.entry)
        if entry != shown.entry:
            found.append(_with(shown, entry))
    known = {shown.point.name for shown in kept.shown}
    return Answered(found), [p for p in there.values() if p.stamp not in known]


def look_after(
    look: CopiesStatus, chore: Chore, answer: Answer, answered: Answered, now: datetime
) -> CopiesStatus:
    """Given what a policy's status says of a series and a Job's answer, return what it says now."""
    look = changed(
        look, message=None, stale=look.stale or answered.again, read_only=_is_read_only(answer)
    )
    if chore.verb is Verb.LIST:
        return changed(look, listed_at=now, stale=False)
    if chore.verb is Verb.SCRUB and answer.result is not None:
        return _scrubbed(
            changed(look, scrubbed_at=now), answer.result, chore.kept.rolling.scrub.days
        )
    return look


def _is_read_only(answer: Answer) -> bool:
    """Whether a Job has found its destination read-only."""
    result = answer.result
    return result is not None and (result.reason == READ_ONLY or result.raw.get("readOnly") is True)


def _scrubbed(look: CopiesStatus, result: AgentResult, days: int) -> CopiesStatus:
    """What is known of rot after one more part was read. What was found is reported until the same
    part was read again and had nothing.
    """
    bad = sum(result.number(key, "count") or 0 for key in ("rot", "changed"))
    if bad:
        reported = f"{result.message}: {', '.join(result.examples('rot', 'changed'))}"
        # Listed at once: the list says which points have it.
        found = changed(look, rot=bad, rot_parts_left=days, rot_message=short(reported))
        return changed(found, stale=not look.read_only)
    left = max(look.rot_parts_left - 1, 0)
    if left:
        return changed(look, rot_parts_left=left)
    return changed(look, rot=0, rot_parts_left=0, rot_message=None)


def look_held_up(look: CopiesStatus, chore: Chore, why: str) -> CopiesStatus:
    """Given what a policy's status says of a series, and why a chore of it cannot be done for now,
    return what it says. The chore stays due.
    """
    return changed(look, message=f"{chore.verb}: {why}"[:1024])


def look_after_failure(
    look: CopiesStatus, chore: Chore, answer: Answer, now: datetime
) -> CopiesStatus:
    """Given what a policy's status says of a series, and what a Job of it failed with, return what
    it says now. What has its rhythm is tried again in the next one.
    """
    look = changed(look_held_up(look, chore, answer.message), read_only=_is_read_only(answer))
    if chore.verb is Verb.LIST:
        return changed(look, listed_at=now, stale=False)
    return changed(look, scrubbed_at=now) if chore.verb is Verb.SCRUB else look


def imported(
    kept: Kept, foreign: Sequence[RollingPoint], taken_names: Collection[str]
) -> list[tuple[Obj, BackupStatus]]:
    """Given a series, points of it that no Backup speaks of, and the names of all Backups of the
    namespace, return the record of each point: final from its first status on.
    """
    names, found = set(taken_names), []
    for point in foreign:
        name = _name(point, names)
        names.add(name)
        spec: Obj = {"policy": kept.series.policy, "trigger": Trigger.IMPORTED.value}
        if (slot := _slot(point)) is not None:
            spec["scheduledFor"] = slot
        body: Obj = {
            "metadata": {
                "name": name,
                "namespace": kept.series.namespace,
                "labels": {labels.POLICY: naming.label_value(kept.series.policy)},
            },
            "spec": spec,
        }
        found.append((body, _status(kept, point)))
    return found


def _status(kept: Kept, point: RollingPoint) -> BackupStatus:
    entry = changed(mirrored(point), source=kept.copy.series)
    return BackupStatus(
        phase=BackupPhase.COMPLETED,
        message="made from its artifacts",
        attempt=1,
        started_at=point.moment,
        completed_at=point.moment,
        taken=point.moment,
        size=format_size(point.size),
        plan=RunPlan(
            zone=str(point.record.get("zone", "UTC")),
            claims=(),
            take_timeout=kept.rolling.start_timeout,
            ready_timeout=kept.rolling.max_duration,
            retries=0,
            rolling=PlannedRolling(copies=(kept.copy,), settings=kept.rolling),
            points=(PlannedPoint(source=kept.copy.series, store=ROLLING, claim=kept.copy.claim),),
        ),
        points=(entry,),
    )


def _name(point: RollingPoint, taken: Collection[str]) -> str:
    """The name of the record that was lost; where another has it now, one made of the run's."""
    for candidate in (point.labels.get(labels.BACKUP, ""), point.run.lower()):
        name = naming.object_name(candidate)
        if name and name not in taken:
            return name
    return naming.object_name(f"{point.run.lower()}-{point.uid[:5]}")


def _slot(point: RollingPoint) -> str | None:
    """The slot of the schedule, if it was one."""
    if point.record.get("trigger") != Trigger.SCHEDULED.value:
        return None
    try:
        return format_time(parse_time(str(point.record.get("slot", ""))))
    except DataError:
        return None


def _relabelled(shown: Shown, change: Change, version: str) -> PointStatus:
    copy = _copy(shown)
    return changed(
        shown.entry,
        rolling=changed(
            copy,
            version=version or copy.version,
            labels=_merged(copy.labels, change.labels),
            annotations=_merged(copy.annotations, change.annotations),
        ),
    )


def _with(shown: Shown, entry: PointStatus) -> tuple[Run, BackupStatus]:
    return shown.run, with_point(shown.run.status, entry)


def _copy(shown: Shown) -> CopyStatus:
    copy = shown.entry.rolling
    assert copy is not None  # noqa: S101 - only rolling copies are shown here
    return copy


def _merged(old: Mapping[str, str], change: Mapping[str, str | None]) -> dict[str, str]:
    both = {**old, **change}
    return {key: value for key, value in both.items() if value is not None}
