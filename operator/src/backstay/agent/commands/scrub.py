"""The verb scrub: read every distinct inode of a series once in so many days.

Thirty copies of an unchanged file are one inode, so reading one name of it checks all. Content that
differs from the manifest while the time does not is rot; if the time, or anything else but the
content differs, somebody wrote into the copy. Both are remembered (`rot`). Where it goes on is in
scrub.json: a slice is the files whose recorded hash has that remainder, so nothing else has to be.
Not the inodes' numbers: a file system in user space may draw them again with every mount.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from backstay.agent import tasks
from backstay.agent.destination.layout import Folder, folder_of, locked, write_durably
from backstay.agent.destination.locks import is_read_only
from backstay.agent.destination.manifest import Manifest
from backstay.agent.destination.points import read_points
from backstay.agent.destination.rot import Key, remember
from backstay.agent.fs.failures import worded
from backstay.agent.fs.listing import Known, Listing
from backstay.agent.fs.parallel import batches, spread
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent
from backstay.agent.results import answer, examples
from backstay.agent.tasks import Fields, Limits, Where
from backstay.agent.tree.check import difference, hash_from_disk
from backstay.domain.errors import BackstayError, DataError
from backstay.domain.stores.copies.points import Series

_STATE = "scrub.json"
_NO_STATE = "the destination is read-only: the next scrub reads the same part again"
_TIME = "another time"
"""What `difference` says of a file that somebody wrote into, if nothing else is amiss."""
_BATCH = 512
_FILES = 64


@dataclass(frozen=True, slots=True)
class ScrubTask:
    """What `scrub` is asked for."""

    where: Where
    series: Series
    days: int
    limits: Limits

    @classmethod
    def read(cls, task: Fields) -> ScrubTask:
        days = task.number("days", 7)
        if not 1 <= days <= 366:
            raise task.fail("days", "expected a number from 1 to 366")
        return cls(Where.read(task), tasks.series_of(task), days, tasks.limits_of(task))


class _File(NamedTuple):
    """One name of an inode, and what is recorded of it."""

    tree: str
    directory: bytes
    name: bytes
    known: Known
    inode: int

    @property
    def key(self) -> Key:
        """What it is remembered by if it is rotten."""
        return Key(self.inode, self.known.extra)


Inode = tuple[int, int]
"""Number and ctime: names of a hard link have both in common, and so have btrfs snapshots."""


def scrub(task: ScrubTask) -> dict[str, Any]:
    """Given a task, check the next slice and return what was found."""
    folder = folder_of(task.where.path, task.series)
    with locked(task.where, task.series, exclusive=False):
        done = _done(folder)
        found = _Found()
        files: dict[Inode, _File] = {}
        for tree in dict.fromkeys(p.tree for p in reversed(read_points(folder).found)):
            try:
                listings = Manifest.load(folder.manifest(tree)).listings()
                for part, broken in _in_slice(folder, tree, listings, done % task.days, task):
                    found.rot += broken
                    for inode, file in part:
                        files.setdefault(inode, file)
            except (DataError, OSError) as error:
                # It is rot as well, and no reason to leave the other trees unread.
                found.rot += (os.fsencode(f"{tree}: {worded(error).message}"),)
    # Without the lock: a copy must not wait for hours of reading.
    units = batches([(file, 1) for file in sorted(files.values())], _FILES)
    for one in spread(lambda unit: _check(folder, unit), units, task.limits.processes):
        found.add(one)
    result = _result(found, len(files), done, task.days)
    if is_read_only(task.where):
        # The next one reads the same part again: only a writable disk can say which is next.
        return {**result, "message": f"{result['message']} ({_NO_STATE})", "readOnly": True}
    try:
        remember(task.where, folder, found.keys, {file.key for file in files.values()})
        write_durably(folder.path / _STATE, json.dumps({"done": done + 1}) + "\n")
    except (BackstayError, OSError) as error:
        # What was found is reported all the same, as on a disk that is full.
        return {**result, "message": f"{result['message']}, not noted: {worded(error).message}"}
    return result


@dataclass(slots=True)
class _Found:
    size: int = 0
    rot: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    keys: tuple[Key, ...] = ()
    """Of both."""

    def add(self, other: _Found) -> None:
        self.size += other.size
        self.keys += other.keys
        self.rot += other.rot
        self.changed += other.changed


def _result(found: _Found, checked: int, done: int, days: int) -> dict[str, Any]:
    bad = len(found.rot) + len(found.changed)
    more = {
        **({"rot": examples(found.rot)} if found.rot else {}),
        **({"changed": examples(found.changed)} if found.changed else {}),
    }
    message = f"slice {done % days + 1} of {days}: {checked} files, {bad} not as recorded"
    return answer(
        "Rotten" if found.rot else "Changed" if found.changed else "Scrubbed",
        message,
        ok=not bad,
        checked=checked,
        bytes=found.size,
        cycle=done // days,
        **more,
    )


def _done(folder: Folder) -> int:
    try:
        return int(json.loads((folder.path / _STATE).read_text(encoding="utf-8"))["done"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # a lost state costs reading some files again


def _in_slice(
    folder: Folder, tree: str, listings: dict[bytes, Listing], part: int, task: ScrubTask
) -> Iterator[tuple[list[tuple[Inode, _File]], tuple[bytes, ...]]]:
    """Yield the files of a tree in a slice, and directories that cannot be read."""
    root = os.open(folder.data(tree), DIRECTORY)

    def is_due(known: Known) -> bool:
        return int.from_bytes(known.extra[:8], "big") % task.days == part

    def look(unit: list[bytes]) -> tuple[list[tuple[Inode, _File]], tuple[bytes, ...]]:
        descent = Descent(root)
        found: list[tuple[Inode, _File]] = []
        broken: list[bytes] = []
        for path in unit:
            try:
                found += _files(descent, tree, path, listings[path], is_due)
            except OSError as error:
                if error.errno not in VANISHED:  # verify-tree reports what is missing
                    broken.append(os.path.join(os.fsencode(tree), path))
        descent.close()
        return found, tuple(broken)

    units = batches([(path, len(one.names) + 4) for path, one in listings.items()], _BATCH)
    try:
        yield from spread(look, units, task.limits.processes)
    finally:
        os.close(root)


def _files(
    descent: Descent, tree: str, path: bytes, listing: Listing, wanted: Callable[[Known], bool]
) -> Iterator[tuple[Inode, _File]]:
    for at, name in enumerate(listing.names):
        known = listing.known(at)
        if not known.stat.is_regular or known.note.get("omitted") or not wanted(known):
            continue
        try:
            now = os.stat(name, dir_fd=descent(path), follow_symlinks=False)
        except FileNotFoundError:
            continue
        file = _File(tree, path, name, known, now.st_ino)
        yield (now.st_ino, now.st_ctime_ns), file


def _check(folder: Folder, unit: list[_File]) -> _Found:
    found = _Found()
    for file in unit:
        shown = os.path.join(os.fsencode(file.tree), file.directory, file.name)
        try:
            why = _read(folder, file)
        except OSError as error:
            if error.errno in VANISHED:
                continue  # pruned meanwhile
            why = "rot"  # the disk cannot read it
        found.size += file.known.note.get("size", file.known.stat.size)
        if why is not None:
            found.keys += (file.key,)
        if why == "rot":
            found.rot += (shown,)
        elif why is not None:
            found.changed += (shown + b": " + os.fsencode(why),)
    return found


def _read(folder: Folder, file: _File) -> str | None:
    """How a file is not as recorded: `rot`, or what somebody changed in it; None if it is."""
    path = os.path.join(os.fsencode(folder.data(file.tree)), file.directory)
    directory = os.open(path, DIRECTORY)
    try:
        why = difference(directory, file.name, file.known, hashes=False)
        if hash_from_disk(file.name, directory) != file.known.extra:
            return why if why == _TIME else "rot"
        return why
    finally:
        os.close(directory)
