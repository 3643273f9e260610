"""The verbs relabel, prune and list: what is done with points that are there.

Invariants: a point is changed or removed only if it still is what the caller saw; one that is held,
in use or the newest good one is never removed, whatever the caller says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backstay.agent import tasks
from backstay.agent.destination.layout import Folder, check_destination, flush, folder_of, locked
from backstay.agent.destination.locks import is_read_only
from backstay.agent.destination.points import (
    Points,
    decide_removal,
    finish,
    finish_removals,
    is_whole,
    read_point,
    read_points,
    write_point,
)
from backstay.agent.destination.rot import read_rot
from backstay.agent.results import Report, answer, point_json
from backstay.agent.tasks import Fields, Where
from backstay.domain.errors import DataError
from backstay.domain.stores.copies.kept import newest_good, newest_whole, why_kept
from backstay.domain.stores.copies.points import STAMP, RollingPoint, Series


@dataclass(frozen=True, slots=True)
class Change:
    """What is wanted of one point. Patches are merged; None takes a key away."""

    stamp: str
    version: str
    labels: Mapping[str, str | None]
    annotations: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class PointsTask:
    """What `relabel` and `prune` are asked for."""

    where: Where
    series: Series
    changes: tuple[Change, ...]

    @property
    def folder(self) -> Folder:
        return folder_of(self.where.path, self.series)

    @classmethod
    def read(cls, task: Fields) -> PointsTask:
        changes = []
        for point in tasks.points(task):
            patches = {key: _patch(point, key) for key in ("labels", "annotations")}
            change = Change(tasks.stamp(point), point.text("version"), **patches)
            changes.append(change)
        return cls(Where.read(task), tasks.series_of(task), tuple(changes))


def relabel(task: PointsTask) -> dict[str, Any]:
    """Given changes of labels and annotations, make those whose version holds."""
    with locked(task.where, task.series, exclusive=True):
        finish(task.folder)
        outcomes = [_relabel_one(task.folder, change) for change in task.changes]
    return _answer(outcomes)


def prune(task: PointsTask, report: Report) -> None:
    """Given points, remove those whose version holds and that may go, and report the result as soon
    as that is decided: what comes after it whoever comes next would finish. The space of trees that
    no point names any more is for trash.reclaim(), but for one that may be a spare.
    """
    with locked(task.where, task.series, exclusive=True):
        points = finish(task.folder)
        before = list(points.found)
        there = [p for p in points.found if is_whole(task.folder, p)]
        last = newest_good(there), newest_whole(there)
        outcomes = [_prune_one(task.folder, points, last, change) for change in task.changes]
        if any(outcome["outcome"] == "done" for outcome in outcomes):
            flush(task.folder.points)
        report(_answer(outcomes))
        # Here, because the answer waits for imports.
        from backstay.agent.tree.reuse import choose_spare, keep_spare  # noqa: PLC0415

        gone = [point for point in before if point not in points.found]
        spare = choose_spare(task.folder, points, gone)
        finish_removals(task.folder, spare)
        if spare is not None and points.newest is not None:
            keep_spare(task.folder, spare, points.newest.tree)


def _relabel_one(folder: Folder, change: Change) -> dict[str, str]:
    point = read_point(folder, change.stamp)
    if point is None or point.version != change.version:
        return _outcome(change.stamp, point, "gone" if point is None else "conflict")
    changed = replace(
        point,
        labels=_merged(point.labels, change.labels),
        annotations=_merged(point.annotations, change.annotations),
    )
    if changed != point:
        write_point(folder, changed)
    return _outcome(change.stamp, changed, "done")


def _prune_one(
    folder: Folder, points: Points, last: tuple[str | None, str | None], change: Change
) -> dict[str, str]:
    point = points.by_stamp(change.stamp)
    if point is None or point.version != change.version:
        return _outcome(change.stamp, point, "gone" if point is None else "conflict")
    why = why_kept(point, *last)
    if why is not None:
        return {**_outcome(change.stamp, point, "kept"), "why": why}
    decide_removal(folder, point)
    points.found.remove(point)
    return _outcome(change.stamp, None, "done")


def _outcome(stamp: str, point: RollingPoint | None, word: str) -> dict[str, str]:
    return {"stamp": stamp, "outcome": word, **({"version": point.version} if point else {})}


def _answer(outcomes: list[dict[str, str]]) -> dict[str, Any]:
    words = [outcome["outcome"] for outcome in outcomes]
    counts = ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
    return answer("Done", f"{len(words)} points: {counts or 'none'}", points=outcomes)


def _merged(old: Mapping[str, str], patch: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**old, **patch}
    return {key: value for key, value in merged.items() if value is not None}


def _patch(point: Fields, key: str) -> dict[str, str | None]:
    found = point.mapping(key)
    if not all(value is None or isinstance(value, str) for value in found.values()):
        raise point.fail(key, "expected an object of texts and nulls")
    return found


def list_points(where: Where, series: Series | None) -> Iterator[dict[str, Any]]:
    """Given where and a series (None: all of the destination), yield every point, and last the
    result. Raise DataError after that if some cannot be read.

    It takes no lock, as no copy of anybody must keep it waiting: a point's file is there whole or
    not at all, and one that goes meanwhile is left out.
    """
    check_destination(where)
    count = 0
    damaged: list[str] = []
    for folder in _folders(where, series):
        points, rot = read_points(folder), read_rot(folder)
        damaged += [f"{folder.path.relative_to(where.path)}/{why}" for why in points.damaged]
        for point in points.found:
            if folder.path != folder_of(where.path, point.series).path:
                damaged.append(f"{folder.path}/{point.stamp}: it is of another series")
                continue
            lost = not is_whole(folder, point)
            if lost and read_point(folder, point.stamp) is None:
                continue  # pruned since its file was read
            count += 1
            # Without its tree it is no backup, but a person must hear of it.
            seen = {"lost": lost, "rotten": rot.count(point.tree)}
            reported = {key: value for key, value in seen.items() if value}
            yield {**point_json(point, record=True), **reported}
    if damaged:
        shown = "; ".join(damaged[:5])
        raise DataError(f"{len(damaged)} points cannot be read, {count} can: {shown}")
    more: dict[str, Any] = {"readOnly": True} if is_read_only(where) else {}
    yield answer("Listed", f"{count} points", count=count, **more)


def _folders(where: Where, series: Series | None) -> list[Folder]:
    if series is not None:
        return [folder_of(where.path, series)]
    found = sorted(Path(where.path).glob("*/*/*/points"))
    return [Folder(path.parent) for path in found if _is_ours(path)]


def _is_ours(points: Path) -> bool:
    return any(STAMP.fullmatch(path.stem) for path in points.glob("*.json"))
