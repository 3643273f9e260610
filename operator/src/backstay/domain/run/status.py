"""Questions to the status of a Backup, and changes of it; nothing here decides.

Invariants: there is one entry per dump, hook and claim, the latest attempt's; entries keep their
order. A dump whose claim is not known, and a hook whose pod has none, counts for every claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState, DumpStatus
from backstay.api.hooks import HookState, HookStatus, Stage
from backstay.api.plan import PlannedDump, PlannedPoint, RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.store import REPOSITORY, ROLLING, SNAPSHOT
from backstay.domain.errors import DataError
from backstay.domain.times import left

E = TypeVar("E")

MESSAGE_MAX: Final = 1024
LARGEST: Final = 2**63 - 1


_WORDS: Final = {SNAPSHOT: "claim", ROLLING: "copy", REPOSITORY: "upload"}
"""What people call a point of a store, where that is not the store's name."""
RETRY_BASE: Final = timedelta(seconds=30)


def retry_wait(status: BackupStatus) -> timedelta:
    """Given the status of a run whose attempt failed, return how long the next one waits."""
    return RETRY_BASE * (1 << max(0, status.attempt - 1))


def retry_left(status: BackupStatus, now: datetime) -> timedelta:
    """Given the status of a run and now, return how long it still waits for its next attempt."""
    return left(status.retry_at, now, 2 * retry_wait(status))


def current_dump(status: BackupStatus) -> PlannedDump | None:
    """Given a status, return the dump of this attempt that is next or under way, if any."""
    if status.plan is None:
        return None
    # What is made of a good point has the dump that is inside that already.
    left = {p.claim for p in planned_left(status) if not _is_good(first_origin_of(status, *p.key))}
    for dump in status.plan.dumps:
        entry = dump_entry(status, dump.name)
        if entry is None:
            return dump
        if entry.claim and entry.claim not in left:
            continue  # An earlier attempt made its point good; its dump is in that snapshot.
        if entry.attempt < status.attempt or entry.state is DumpState.RUNNING:
            return dump
    return None


def dump_entry(status: BackupStatus, name: str) -> DumpStatus | None:
    """Given a status, return the entry of a dump, if there is one."""
    return next((d for d in status.dumps if d.name == name), None)


def with_waits(status: BackupStatus) -> BackupStatus:
    """Given a status, return it with what its undecided points wait for as its message."""
    waits = [f"{named(p)}: {p.message}" for p in status.points if p.pending and p.message]
    return changed(status, message=short("; ".join(waits)) or None)


def pending(status: BackupStatus, store: str) -> list[PointStatus]:
    """Given a status and a store, return the points in it that are not decided yet."""
    return [p for p in status.points if p.store == store and p.pending]


def dumps_on(status: BackupStatus, claim: str) -> tuple[DumpStatus, ...]:
    """Given a status, return this attempt's dumps that a point of the claim depends on."""
    return tuple(d for d in status.dumps if d.attempt == status.attempt and d.claim in ("", claim))


def plan_of(status: BackupStatus) -> RunPlan:
    """Given a status behind Pending, return its plan. Raise DataError if it has none."""
    if status.plan is None:
        raise DataError(f"a Backup in phase {status.phase} has no plan")
    return status.plan


def planned_left(status: BackupStatus) -> tuple[PlannedPoint, ...]:
    """Given a status, return what its plan wants and has no good point yet."""
    good = {p.key for p in status.points if p.result is PointResult.GOOD}
    return tuple(point for point in plan_of(status).points if point.key not in good)


def points_left(status: BackupStatus) -> tuple[tuple[str, str], ...]:
    """Given a status, return what its plan wants and has no good point yet: sources by store."""
    return tuple(point.key for point in planned_left(status))


def is_made_of_another(status: BackupStatus, source: str, store: str) -> bool:
    """Given a status and one of its points, return whether it is made of one of another store."""
    mine = plan_of(status).point((source, store))
    return mine is not None and mine.made_of is not None


def origin_of(status: BackupStatus, source: str, store: str) -> PointStatus | None:
    """Given a status and one of its points, return the one that it is made of, of whatever attempt;
    None: it is made of the source, or that one is not begun.
    """
    key = plan_of(status).origin((source, store))
    return next((p for p in status.points if p.key == key), None)


def first_origin_of(status: BackupStatus, source: str, store: str) -> PointStatus | None:
    """Given the same, return the first one of those that it is made of, one of the other."""
    plan = plan_of(status)
    first = plan.origin((source, store))
    while first is not None and (before := plan.origin(first)) is not None:
        first = before
    return next((p for p in status.points if p.key == first), None)


def _is_good(point: PointStatus | None) -> bool:
    return point is not None and point.result is PointResult.GOOD


def has_data(status: BackupStatus, entry: PointStatus) -> bool:
    """Given a run and a point of it, return whether what that is made of is there."""
    origin = origin_of(status, *entry.key)
    if origin is None:
        return not is_made_of_another(status, *entry.key)
    return _is_good(origin)


def claim_of(plan: RunPlan, source: str, store: str) -> str | None:
    """Given a plan and one of its points, return the claim that has the data; None: a node has."""
    mine = plan.point((source, store))
    return mine.claim if mine is not None else None


def sources_able(status: BackupStatus, store: str) -> tuple[str, ...]:
    """Given a status and a store, return the sources without a good point in it whose dumps and
    hooks of this attempt have passed, as far as they got. What is made of a point of another store
    follows that one: it is good, or begun in this attempt.
    """
    left = (p for p in planned_left(status) if p.store == store)
    return tuple(p.source for p in left if _is_able(status, p))


def _is_able(status: BackupStatus, point: PlannedPoint) -> bool:
    if point.made_of is not None:
        origin = origin_of(status, *point.key)
        return origin is not None and (_is_good(origin) or origin.attempt == status.attempt)
    return point.claim is None or _has_passed(status, point.claim)


def _has_passed(status: BackupStatus, claim: str) -> bool:
    return all(d.state is DumpState.DONE for d in dumps_on(status, claim)) and not any(
        h.state is HookState.RELEASING or counts(h) for h in hooks_on(status, claim)
    )


def claims_to_snapshot(status: BackupStatus) -> tuple[str, ...]:
    """Given a status, return the claims whose snapshots can be taken: of claims that belong
    together all or none, so that none is taken beside one that is good already.
    """
    left = sources_able(status, SNAPSHOT)
    able = set(left)
    alone = {c for g in plan_of(status).together if not able.issuperset(g.claims) for c in g.claims}
    return tuple(claim for claim in left if claim not in alone)


def spread_of(status: BackupStatus) -> int | None:
    """Given a status, return the seconds between the first and the last snapshot of its attempt;
    None if fewer than two are known. A driver's time before the request is taken for the request's.
    """
    moments = [
        max(p.taken_at, p.requested_at or p.taken_at)
        for p in status.points
        if p.store == SNAPSHOT and p.attempt == status.attempt and p.taken_at is not None
    ]
    return math.ceil((max(moments) - min(moments)).total_seconds()) if len(moments) > 1 else None


def hook_entry(status: BackupStatus, stage: Stage, name: str) -> HookStatus | None:
    """Given a status, return the entry of a hook in the current attempt, if there is one."""
    mine = (h for h in status.hooks if h.attempt == status.attempt and h.stage is stage)
    return next((h for h in mine if h.name == name), None)


def hooks_on(status: BackupStatus, claim: str) -> tuple[HookStatus, ...]:
    """Given a status, return this attempt's hooks that a point of the claim depends on."""
    mine = (h for h in status.hooks if h.attempt == status.attempt)
    return tuple(h for h in mine if not h.claims or claim in h.claims)


def named(entry: PointStatus) -> str:
    """Given a point, return what people call it in a message."""
    return f"{_WORDS.get(entry.store, entry.store.lower())} {entry.source}"


def lacks_entries(entry: PointStatus) -> bool:
    """Given a point, return whether entries of its source are missing in it, as was allowed."""
    return entry.unreadable > 0


def counts(entry: HookStatus) -> bool:
    """Given the entry of a hook, return whether points fail for it."""
    return entry.state is HookState.FAILED and not entry.ignored


def hook_in_words(entry: HookStatus) -> str:
    """Given the entry of a hook that failed, return that in words."""
    return f"hook {entry.name}: {entry.message}"


def ignored(status: BackupStatus) -> list[str]:
    """Given a status, return which hooks of the attempt failed though that does not matter."""
    mine = (h for h in status.hooks if h.attempt == status.attempt and h.ignored)
    return [f"{hook_in_words(h)} (onError: Continue)" for h in mine]


def noted(status: BackupStatus) -> list[str]:
    """Given a status, return for each dump of the attempt that is good with notes the first one."""
    return [
        f"dump {d.name}: {d.notes[0]}" + (f" ({more} more)" if more else "")
        for d in status.dumps
        if d.attempt == status.attempt and d.state is DumpState.DONE and d.notes
        for more in [len(d.notes) - 1]
    ]


def failures(status: BackupStatus) -> list[str]:
    """Given a status, return why its attempt failed: dump by dump, hook by hook, point by point."""
    dumps = [
        f"dump {d.name}: {d.message}"
        for d in status.dumps
        if d.attempt == status.attempt and d.state is DumpState.FAILED
    ]
    hooks = [hook_in_words(h) for h in status.hooks if h.attempt == status.attempt and counts(h)]
    points = [
        f"{named(p)}: {p.message}"
        for p in status.points
        if p.attempt == status.attempt and p.result is PointResult.FAILED
    ]
    return dumps + hooks + points


def with_dump(status: BackupStatus, entry: DumpStatus) -> BackupStatus:
    """Given a status and the entry of a dump, return it with that entry put in or replaced."""
    return changed(status, dumps=_replaced(status.dumps, entry, lambda d: d.name == entry.name))


def with_hook(status: BackupStatus, entry: HookStatus) -> BackupStatus:
    """Given a status and the entry of a hook, return it with that entry put in or replaced."""
    same = (entry.stage, entry.name)
    return changed(
        status, hooks=_replaced(status.hooks, entry, lambda h: (h.stage, h.name) == same)
    )


def with_point(status: BackupStatus, entry: PointStatus) -> BackupStatus:
    """Given a status and the entry of a point, return it with that entry put in or replaced."""
    points = _replaced(status.points, entry, lambda p: p.key == entry.key)
    return changed(status, points=points)


def _replaced(entries: tuple[E, ...], new: E, same: Callable[[E], bool]) -> tuple[E, ...]:
    if not any(map(same, entries)):
        return (*entries, new)
    return tuple(new if same(e) else e for e in entries)


def short(text: str) -> str:
    """Given a message, return it on one line, shortened to MESSAGE_MAX characters at its beginning.

    A tool's last words matter most.
    """
    flat = " ".join(text.split())
    return flat if len(flat) <= MESSAGE_MAX else "…" + flat[-MESSAGE_MAX + 1 :]


def colon(text: str) -> str:
    """Given what is known besides, return it as the end of a message; "" if nothing is."""
    return f": {text}" if text else ""


def format_size(size: int) -> str:
    """Given a size in bytes, return it for people in binary units, such as 1.2Gi.

    Sizes are read from what others may have written: one that no disk has is reported as the
    largest.
    """
    value = float(min(size, LARGEST))
    for unit in ("", "Ki", "Mi", "Gi"):
        if value < 1024:
            return f"{value:.0f}{unit}" if value >= 10 or not unit else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}Ti"
