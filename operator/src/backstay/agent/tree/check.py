"""The verb verify-tree: compare a tree with its manifest; and the comparison that a restore and a
scrub use too.

Invariants: nothing is written; every name in the tree is in the manifest and the other way round;
content is read only when asked for, and then from the disk, not from what the kernel remembers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from backstay.agent import tasks
from backstay.agent.destination.layout import folder_of, locked
from backstay.agent.destination.manifest import Manifest
from backstay.agent.destination.points import read_points
from backstay.agent.destination.rot import remember_differences
from backstay.agent.fs import attributes
from backstay.agent.fs.copy_file import hash_file, open_file
from backstay.agent.fs.failures import reason_of
from backstay.agent.fs.listing import ROOT, Known, Listing
from backstay.agent.fs.parallel import batches, spread
from backstay.agent.fs.paths import DIRECTORY, Descent
from backstay.agent.fs.syscalls import fsync
from backstay.agent.results import answer, examples
from backstay.agent.tasks import Fields, Limits, Where
from backstay.agent.tree.placed import DEVICE
from backstay.domain.errors import UserError
from backstay.domain.stores.copies.points import RollingPoint, Series, lacks_in_words

_BATCH = 512


@dataclass(frozen=True, slots=True)
class CheckTask:
    """What `verify-tree` is asked for."""

    where: Where
    series: Series
    stamp: str
    hash: bool
    limits: Limits

    @classmethod
    def read(cls, task: Fields) -> CheckTask:
        return cls(
            Where.read(task),
            tasks.series_of(task),
            tasks.stamp(task),
            task.flag("hash"),
            tasks.limits_of(task),
        )


def check(task: CheckTask) -> dict[str, Any]:
    """Given a task, return whether the tree is what its manifest says."""
    with locked(task.where, task.series, exclusive=False):
        folder = folder_of(task.where.path, task.series)
        point = find_point(task.where, task.series, task.stamp)
        listings = Manifest.load(folder.manifest(point.tree)).listings()
        root = os.open(folder.data(point.tree), DIRECTORY)
        try:
            found = list(
                differences(root, listings, hashes=task.hash, processes=task.limits.processes)
            )
        finally:
            os.close(root)
        remember_differences(task.where, folder, point.tree, listings, found)
    if not found:
        read = "names, inodes, attributes" + (", content" if task.hash else "")
        lacks = [lacks_in_words(point.lacks), point.unread.in_words if point.unread else ""]
        message = f"{task.stamp}: {point.entries} entries, {read} as recorded"
        return answer("Verified", "; ".join([message, *filter(None, lacks)]))
    return answer(
        "Different",
        f"{task.stamp}: {len(found)} entries are not as recorded",
        ok=False,
        differences=examples(found),
    )


def find_point(where: Where, series: Series, stamp: str) -> RollingPoint:
    """Given where, return the point of that stamp. Raise UserError if there is none."""
    point = read_points(folder_of(where.path, series)).by_stamp(stamp)
    if point is None:
        raise UserError(
            "PointNotFound", f"spec.from: the directory has no point {stamp} that can be read"
        )
    return point


def differences(
    root: int, listings: Mapping[bytes, Listing], *, hashes: bool, processes: int
) -> Iterator[bytes]:
    """Given a directory and what should be in it, yield a line for each entry that differs."""
    found = faults_below(root, listings, hashes=hashes, processes=processes)
    for path, those in groupby(found, itemgetter(0)):
        yield path + b": " + os.fsencode(", ".join(fault.why for _, fault in those))


def faults_below(
    root: int, listings: Mapping[bytes, Listing], *, hashes: bool, processes: int
) -> Iterator[tuple[bytes, Fault]]:
    """Given a directory and what should be in it, yield what differs, entry by entry."""
    items = [(path, len(one.names) + 4) for path, one in listings.items()]
    units = batches(items, _BATCH)

    def compare(unit: Iterable[bytes]) -> list[tuple[bytes, Fault]]:
        descent = Descent(root)
        found: list[tuple[bytes, Fault]] = []
        for path in unit:
            try:
                found += _compare(descent(path), path, listings[path], hashes=hashes)
            except OSError as error:
                found.append((path, Fault("", reason_of(error))))
        descent.close()
        return found

    for found in spread(compare, units, processes):
        yield from found


def _compare(
    directory: int, path: bytes, listing: Listing, *, hashes: bool
) -> list[tuple[bytes, Fault]]:
    prefix = path + b"/" if path else b""
    there = {os.fsencode(name) for name in os.listdir(directory)}
    wanted = set(listing.stored())
    found = [(prefix + name, Fault("", "missing")) for name in wanted - there]
    found += [(prefix + name, Fault("", "not in the manifest")) for name in there - wanted]
    for at, name in enumerate(listing.names):
        if name in there & wanted or name == ROOT:
            known = listing.known(at)
            found += [(prefix + name, f) for f in faults(directory, name, known, hashes=hashes)]
    return found


def difference(directory: int, name: bytes, known: Known, *, hashes: bool) -> str | None:
    """Given a directory, a name in it and what is recorded, return how they differ, but for what
    the record says that is not there.
    """
    return next((fault.why for fault in faults(directory, name, known, hashes=hashes)), None)


class Fault(NamedTuple):
    """One difference of an entry."""

    kind: str
    """attributes.OWNER, MODE, TIME or ATTRIBUTES; "" is everything else, as kind and content."""
    why: str


def faults(directory: int, name: bytes, known: Known, *, hashes: bool) -> Iterator[Fault]:
    """Given a directory, a name in it and what is recorded, yield how they differ, as above."""
    one = known.stat
    lacking = attributes.lacks(known.record)
    now = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_IFMT(now.st_mode) != stat.S_IFMT(one.mode):
        yield Fault("", "another kind of thing")
        return
    link = stat.S_ISLNK(one.mode)
    if not link and now.st_mode != one.mode and attributes.MODE not in lacking:
        why = f"mode {now.st_mode & 0o7777:o}, not {one.mode & 0o7777:o}"
        yield Fault(attributes.MODE, why)
    if (now.st_uid, now.st_gid) != (one.uid, one.gid) and attributes.OWNER not in lacking:
        why = f"owner {now.st_uid}:{now.st_gid}, not {one.uid}:{one.gid}"
        yield Fault(attributes.OWNER, why)
    if now.st_mtime_ns != one.mtime and attributes.TIME not in lacking:
        yield Fault(attributes.TIME, "another time")
    other = _other_content(directory, name, known, now, hashes=hashes)
    if other is not None:
        yield Fault("", other)
    there = attributes.read(f"/proc/self/fd/{directory}/{os.fsdecode(name)}")
    why_not = attributes.difference(known.record, there)
    if why_not is not None:
        yield Fault(attributes.ATTRIBUTES, why_not)


def _other_content(
    directory: int, name: bytes, known: Known, now: os.stat_result, *, hashes: bool
) -> str | None:
    one, extra, note, _ = known
    if stat.S_ISLNK(one.mode):
        same = os.fsencode(os.readlink(name, dir_fd=directory)) == extra
        return None if same else "another target"
    if stat.S_ISCHR(one.mode) or stat.S_ISBLK(one.mode):
        return None if DEVICE.pack(now.st_rdev) == extra else "another device"
    if not one.is_regular:
        return None
    size = note.get("size", one.size)
    if now.st_size != size:
        return f"{now.st_size} bytes, not {size}"
    return "another content" if hashes and hash_from_disk(name, directory) != extra else None


def hash_from_disk(name: bytes, directory: int) -> bytes:
    """Given a file, return the sha256 of what the disk has."""
    fd = open_file(name, directory)
    try:
        fsync(fd)  # what is dirty cannot be dropped
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return hash_file(fd)[0]
    finally:
        os.close(fd)
