"""The points of a series on disk, and what a killed command leaves to be finished.

Invariants: a point is there whole or not at all; a point that is there has a tree; a tree goes
only when no point names it, and while any point cannot be read none goes. A removal is decided by
one rename (to `.pruned-`), everything after it can be done again.
"""

from __future__ import annotations

import os
from bisect import insort
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from backstay.agent.destination.layout import (
    FIRST_PART,
    PARTIAL,
    TRASH,
    Folder,
    flush,
    write_durably,
)
from backstay.agent.fs.failures import at, reason_of
from backstay.domain.errors import DataError
from backstay.domain.stores.copies.points import RUN, STAMP, RollingPoint

_PRUNED: Final = ".pruned-"
_POINT: Final = "point.json"


@dataclass(slots=True)
class Points:
    """What the points folder has."""

    found: list[RollingPoint] = field(default_factory=list)
    """In the order of making."""
    damaged: list[str] = field(default_factory=list)
    """Files that should be points and cannot be read, with why."""

    def by_stamp(self, stamp: str) -> RollingPoint | None:
        return next((p for p in self.found if p.stamp == stamp), None)

    def by_run(self, run: str) -> RollingPoint | None:
        return next((p for p in reversed(self.found) if p.run == run), None)

    @property
    def newest(self) -> RollingPoint | None:
        return self.found[-1] if self.found else None

    @property
    def newest_of_a_run(self) -> RollingPoint | None:
        """What a restore in place kept has what the policy excludes as well."""
        return next((p for p in reversed(self.found) if p.is_real), None)


def read_points(folder: Folder) -> Points:
    """Given a series' folder, return its points."""
    points = Points()
    if not folder.points.is_dir():
        return points
    for path in sorted(folder.points.iterdir()):
        if path.suffix != ".json" or not STAMP.fullmatch(path.stem):
            continue
        try:
            points.found.append(_read(path))
        except FileNotFoundError:
            continue  # pruned since the directory was read, by a list that has no lock
        except OSError as error:
            points.damaged.append(f"{path.name}: {reason_of(error)}")
        except DataError as error:
            points.damaged.append(f"{path.name}: {error.message}")
    points.found.sort(key=_order)
    return points


def _order(point: RollingPoint) -> tuple[int, datetime, str]:
    return point.order


def is_whole(folder: Folder, point: RollingPoint) -> bool:
    """Given a series' folder and a point, return whether its tree and its manifest are there."""
    tree = point.tree
    return folder.data(tree).is_dir() and (folder.manifest(tree) / FIRST_PART).is_file()


def read_point(folder: Folder, stamp: str) -> RollingPoint | None:
    """Given a series' folder and a stamp, return that point; None if it is not there or cannot be
    read.
    """
    try:
        return _read(folder.points / f"{stamp}.json")
    except (DataError, OSError):
        return None


def _read(path: Path) -> RollingPoint:
    point = RollingPoint.parse(path.read_bytes())
    if point.stamp != path.stem:
        raise DataError(f"it says that it is {point.stamp}")
    return point


def write_point(folder: Folder, point: RollingPoint) -> None:
    """Given a series' folder and a point, write it, new or changed, and its symlink."""
    at(b"points", os.fsencode(point.stamp))
    write_durably(folder.points / f"{point.stamp}.json", point.text())
    _link(folder, point)


def stage_point(tree: Path, point: RollingPoint) -> None:
    """Given a tree that is being made and the point that it is for, put the point into it, so
    that the tree can be published by whoever finds it.
    """
    (tree / _POINT).write_text(point.text(), encoding="utf-8")


def staged_point(tree: Path) -> RollingPoint:
    """Given a tree, return the point that it was made for. Raise DataError if it has none."""
    try:
        return RollingPoint.parse((tree / _POINT).read_bytes())
    except OSError as error:
        raise DataError(f"{tree / _POINT}: {error.strerror}") from error


def decide_removal(folder: Folder, point: RollingPoint) -> None:
    """Given a series' folder and a point that is there, decide that it goes. It holds once the
    points are flushed; what follows from it, finish_removals() does.
    """
    there = folder.points / f"{point.stamp}.json"
    there.rename(folder.points / f"{_PRUNED}{point.stamp}.json")


def finish_removals(folder: Folder, spare: str | None = None) -> None:
    """Given a series' folder, remove the points that are to go, and trees that no other names. One
    that is to be a spare becomes `.partial-`: trash is removed without a lock.
    """
    decided = sorted(folder.points.glob(f"{_PRUNED}*.json"))
    if not decided:
        return
    points = read_points(folder)
    named = {point.tree for point in points.found}
    for path in decided:
        point = RollingPoint.parse(path.read_bytes())
        (folder.path / point.stamp).unlink(missing_ok=True)
        if points.damaged:
            # One of them may name the tree; without the decision it would be published again.
            continue
        if point.tree not in named:
            _put_away(folder, folder.trees / point.tree, PARTIAL if point.tree == spare else TRASH)
        # Needs no flush: if it is there again after a power loss, there is nothing left to finish.
        path.unlink()


def to_trash(folder: Folder, tree: Path) -> None:
    """Given a series' folder and something among its trees, make that trash."""
    _put_away(folder, tree, TRASH)


def _put_away(folder: Folder, tree: Path, prefix: str) -> None:
    away = folder.trees / f"{prefix}{tree.name.removeprefix(PARTIAL).removeprefix('.')}"
    at = 0
    while away.exists():  # what an earlier one of that name left
        at += 1
        away = away.with_name(f"{away.name.partition('~')[0]}~{at}")
    try:
        tree.rename(away)
    except FileNotFoundError:
        return  # by a removal that was killed after it
    flush(folder.trees)


def finish(folder: Folder) -> Points:
    """Given a series' folder, finish what was killed: decided removals, trees that were not
    published yet, symlinks. What was being made goes to trash. Return the points there are then.

    Only names are changed; reclaiming the trash is the caller's.
    """
    if not folder.points.is_dir():
        return Points()
    for path in folder.points.glob(".*.new"):
        path.unlink()
    for path in folder.trees.glob(f"{PARTIAL}*"):
        to_trash(folder, path)
    finish_removals(folder)
    points = read_points(folder)
    # A point that cannot be read may be the one that a tree, or a symlink, seems to lack.
    if not points.damaged:
        _publish_lost(folder, points)
        _unlink_lost(folder, points)
    for point in points.found:
        _link(folder, point)
    _drop_spares(folder, points)
    return points


def _drop_spares(folder: Folder, points: Points) -> None:
    """Make spares trash but for that of the newest tree, which the next one goes on from."""
    newest = points.newest
    for path in folder.spares():
        if newest is None or path != folder.spare(newest.tree):
            to_trash(folder, path)


def _publish_lost(folder: Folder, points: Points) -> None:
    """Write the points of trees that have none, and add them."""
    named = {point.tree for point in points.found}
    for tree in sorted(folder.trees.iterdir()):
        if not RUN.fullmatch(tree.name) or tree.name in named or not (tree / _POINT).is_file():
            continue
        point = staged_point(tree)
        if points.by_stamp(point.stamp) is None:
            write_point(folder, point)
            insort(points.found, point, key=_order)


def _unlink_lost(folder: Folder, points: Points) -> None:
    known = {point.stamp for point in points.found}
    for path in folder.path.iterdir():
        if STAMP.fullmatch(path.name) and path.is_symlink() and path.name not in known:
            path.unlink()


def _link(folder: Folder, point: RollingPoint) -> None:
    path = folder.path / point.stamp
    wanted = f"trees/{point.tree}/data"
    if path.is_symlink() and os.readlink(path) == wanted:
        return
    if path.exists() and not path.is_symlink():
        return  # not ours
    path.unlink(missing_ok=True)
    path.symlink_to(wanted)
