"""The verb restore: a point, or paths of it, to a new directory or in place.

Invariants: a new directory has its name only when it is whole; in place nothing is touched before
what is there is a point of the same series; what was restored is compared with the manifest
before anybody is told that it is there.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from backstay.agent import tasks
from backstay.agent.abilities import EVERYTHING, probe
from backstay.agent.check import find_point
from backstay.agent.copy import copy
from backstay.agent.database import SIBLINGS, is_database
from backstay.agent.layout import Folder, folder_of, locked
from backstay.agent.linux import syncfs
from backstay.agent.listing import ROOT, Known, Listing
from backstay.agent.manifest import Manifest
from backstay.agent.paths import DIRECTORY, VANISHED, Descent, open_allowed, parts_of, printable
from backstay.agent.results import answer, examples
from backstay.agent.rsync import push
from backstay.agent.target import Arrived, Wanted, arrive, missing
from backstay.agent.tasks import CopyTask, Fields, Limits, Where
from backstay.domain.errors import DataError, UserError
from backstay.domain.rolling import RollingPoint, Series

_PARTIAL = ".backstay-partial-"
_FIELD = "spec.directory"
_PROBE = ".backstay-probe"


@dataclass(frozen=True, slots=True)
class RestoreTask:
    """What `restore` is asked for."""

    where: Where
    series: Series
    stamp: str
    root: str
    path: str
    paths: tuple[bytes, ...]
    """Below the point; none is everything."""
    safety: CopyTask | None
    """In place: the copy of what is there. None: to a new directory."""
    limits: Limits

    @classmethod
    def read(cls, task: Fields) -> RestoreTask:
        target = task.child("target")
        path = target.text("path")
        found = cls(
            where=Where.read(task),
            series=tasks.series_of(task),
            stamp=tasks.stamp(task),
            root=target.text("root"),
            path=path,
            paths=_paths(task),
            safety=None,
            limits=tasks.limits_of(task),
        )
        if not task.flag("inPlace"):
            if not path.strip("/"):
                raise target.fail("path", "a new directory needs a name")
            return found
        safety = CopyTask(
            where=replace(found.where, same_file_system=True),
            series=found.series,
            run=tasks.run_name(task.child("safety"), "run"),
            root=found.root,
            path=path,
            labels=task.child("safety").labels("labels"),
            annotations=task.child("safety").labels("annotations"),
            allow_shrink=True,
            limits=found.limits,
            expected=tasks.expected(task.child("safety")),
        )
        return replace(found, safety=safety)


def _paths(task: Fields) -> tuple[bytes, ...]:
    found = []
    for path in task.texts("paths"):
        try:
            parts = parts_of(os.fsencode(path))
        except OSError:
            parts = []
        if not parts:
            raise task.fail("paths", f"{path!r} is no path below the point")
        found.append(b"/".join(parts))
    return tuple(found)


def restore(task: RestoreTask, now: datetime) -> dict[str, Any]:
    """Given a task and now, restore and return the result.

    Raise UserError where the point, a path or the target is not as asked, DataError if it failed.
    """
    more = {}
    if task.safety is not None:
        find_point(task.where, task.series, task.stamp)  # before anything is copied for it
        more["safety"] = copy(task.safety, now)["point"]
    with locked(task.where, exclusive=False):
        folder = folder_of(task.where.path, task.series)
        point = find_point(task.where, task.series, task.stamp)
        listings = Manifest.load(folder.manifest(point.tree)).listings()
        chosen = _chosen(listings, task.paths)
        if task.safety is not None:
            target = open_allowed(task.root, task.path, "spec.directory")
            try:
                arrived = _fill(task, folder, point, target, chosen, onto=True)
            finally:
                os.close(target)
        else:
            arrived = _restore_aside(task, folder, point, chosen)
    where = task.path or task.root
    message = f"{point.stamp}: {chosen.count} entries at {where}{arrived.words}"
    return answer("Restored", message, notes=arrived.notes, **more)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The part of a manifest that is restored, without what lies above it."""

    directories: Mapping[bytes, Listing]
    files: Mapping[bytes, Known]
    tops: Mapping[bytes, Known] = field(default_factory=dict)
    """The chosen directories themselves."""
    above: Mapping[bytes, Known] = field(default_factory=dict)
    """Directories that lead to what was chosen, and are none of it."""

    @property
    def count(self) -> int:
        return len(self.files) + sum(len(one.names) for one in self.directories.values())

    def wanted(self, made: Iterable[bytes]) -> Wanted:
        """Given the directories above that had to be made, return what the target is to have."""
        above = {path: self.above[path] for path in made}
        return Wanted(self.directories, {**above, **self.tops, **self.files})


def _chosen(listings: Mapping[bytes, Listing], paths: tuple[bytes, ...]) -> _Chosen:
    if not paths:
        return _Chosen(listings, {})
    directories: dict[bytes, Listing] = {}
    files: dict[bytes, Known] = {}
    tops: dict[bytes, Known] = {}
    for path in paths:
        parent, _, name = path.rpartition(b"/")
        at = listings[parent].find(name) if parent in listings else None
        if at is None or listings[parent].known(at)[2].get("omitted"):
            raise UserError(
                "PathNotInPoint", f"spec.directory.paths: the point has no {printable(path)}"
            )
        if listings[parent].stats[at].is_directory:
            below = path + b"/"
            directories |= {p: o for p, o in listings.items() if p == path or p.startswith(below)}
            tops[path] = listings[parent].known(at)
        else:
            files[path] = listings[parent].known(at)
    above = {part for path in paths for part in _above(path)} - directories.keys()
    return _Chosen(directories, files, tops, {path: _own(listings, path) for path in above})


def _above(path: bytes) -> Iterator[bytes]:
    while path:
        path = os.path.dirname(path)
        yield path


def _own(listings: Mapping[bytes, Listing], path: bytes) -> Known:
    """What is recorded of a directory itself."""
    parent, _, name = path.rpartition(b"/")
    listing = listings[parent]
    return listing.known(listing.index(name or ROOT))


def _restore_aside(
    task: RestoreTask, folder: Folder, point: RollingPoint, chosen: _Chosen
) -> Arrived:
    parent, _, name = task.path.strip("/").rpartition("/")
    above = open_allowed(task.root, parent, "spec.directory")
    partial = f"{_PARTIAL}{name}"
    try:
        if name in os.listdir(above) and not _is_empty(above, name):
            raise UserError(
                "TargetNotEmpty",
                f"spec.directory: {task.path} is there and not empty; name a new directory, or"
                " restore in place",
            )
        if partial in os.listdir(above):
            shutil.rmtree(partial, dir_fd=above)
        os.mkdir(partial, 0o700, dir_fd=above)
        target = os.open(partial, DIRECTORY, dir_fd=above)
        try:
            arrived = _fill(task, folder, point, target, chosen, onto=False)
            syncfs(target)
        finally:
            os.close(target)
        os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)
        os.fsync(above)
    finally:
        os.close(above)
    return arrived


def _is_empty(above: int, name: str) -> bool:
    fd = os.open(name, DIRECTORY, dir_fd=above)
    try:
        return not os.listdir(fd)
    finally:
        os.close(fd)


def _fill(
    task: RestoreTask,
    folder: Folder,
    point: RollingPoint,
    target: int,
    chosen: _Chosen,
    *,
    onto: bool,
) -> Arrived:
    made = missing(target, chosen.above) if onto else set(chosen.above)
    # What is restored in place came from there.
    able = EVERYTHING if onto else probe(Path(f"/proc/self/fd/{target}"), _PROBE, _FIELD)
    source = os.open(folder.data(point.tree), DIRECTORY)
    try:
        if onto:
            _drop_logs(source, target, chosen)
        bandwidth = task.limits.bandwidth
        said = push(source, target, task.paths, onto=onto, bandwidth=bandwidth, able=able)
        arrived = arrive(target, source, chosen.wanted(made), task.limits.processes, able)
    finally:
        os.close(source)
    if arrived.failures:
        shown = ", ".join(examples(arrived.failures)["examples"])
        raise DataError(
            f"{len(arrived.failures)} entries are not as recorded after the restore: {shown}"
            + (f"; rsync says: {said}" if said else "")
        )
    return arrived


def _drop_logs(source: int, target: int, chosen: _Chosen) -> None:
    """Remove the logs of databases that are about to be restored one by one: SQLite would replay
    what is there over what was restored. Below a chosen directory, rsync removes them.

    A log that the point has is an empty one (others are in the database's copy), so it is no reason
    to leave the target's.
    """
    old, new = Descent(source), Descent(target)
    for path in chosen.files:
        parent, _, name = path.rpartition(b"/")
        if not is_database(name, old(parent)):
            continue
        for suffix in SIBLINGS:
            if path + suffix in chosen.files:
                continue
            try:
                os.unlink(name + suffix, dir_fd=new(parent))
            except OSError as error:
                # No such file or directory, or a directory: SQLite takes that for no log.
                if error.errno not in {*VANISHED, errno.EISDIR}:
                    raise
    old.close()
    new.close()
