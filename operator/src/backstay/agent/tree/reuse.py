"""Keep a pruned tree of links as the beginning of the next tree.

Invariants: a spare is worked on under the exclusive lock, and under a name that the next command
takes for a leftover; what is kept of it are directories and, by inode, what the newest tree has as
well, compared again whenever it is used, so what happened to it meanwhile does not matter; no file
in it is ever written to.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from backstay.agent.destination.layout import PARTIAL, Folder, flush
from backstay.agent.destination.manifest import Damaged, Manifest
from backstay.agent.destination.points import Points, to_trash
from backstay.agent.fs.failures import reason_of, shown, worded
from backstay.agent.fs.metadata import inherit_nothing
from backstay.agent.fs.parallel import batches, spread
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent, mount_of, parts_of
from backstay.agent.fs.syscalls import SUBVOLUME_INODE, allow_open_files
from backstay.agent.tree.context import Plan, Spot, made_beneath
from backstay.agent.tree.difference import Base
from backstay.domain.errors import DataError
from backstay.domain.stores.copies.points import RollingPoint

_KINDS: Final = {"ext4", "xfs", "tmpfs"}
"""Where listing a directory shows the inodes of what is in it. A file system in user space may give
all the same number."""
_BATCH: Final = 64  # directories that a process takes at a time
_ANY: Final = 0
"""In place of an inode: a directory, whichever it is."""


def choose_spare(folder: Folder, points: Points, gone: Iterable[RollingPoint]) -> str | None:
    """Given a series' folder, the points that it has left and those that go, return the tree that
    is to become the spare; None where there is none, or one already.
    """
    newest = points.newest
    if newest is None or points.damaged or folder.spare(newest.tree).exists():
        return None
    named = {point.tree for point in points.found}
    trees = [point.tree for point in gone if point.tree not in named]
    return trees[-1] if trees and _is_of_links(folder.data(trees[-1])) else None


def _is_of_links(data: Path) -> bool:
    try:
        fd = os.open(data, DIRECTORY)
    except OSError:
        return False
    try:
        return os.fstat(fd).st_ino != SUBVOLUME_INODE and mount_of(fd).kind in _KINDS
    finally:
        os.close(fd)


def keep_spare(folder: Folder, tree: str, newest: str, processes: int = 2) -> None:
    """Given a series' folder, a tree that was pruned and is `.partial-` now, and the newest one,
    trim the first to what both have, which gives back the space of all else that was in it. Where
    that fails, the tree is trash.
    """
    partial = folder.trees / f"{PARTIAL}{tree}"
    try:
        paths = _differing(partial / "manifest", folder.manifest(newest))
        _trim(partial / "data", folder.data(newest), paths, processes)
        partial.rename(folder.spare(newest))
    except (OSError, DataError) as error:
        why = worded(error).message
        sys.stderr.write(f"removed, because it cannot be kept for the next tree: {why}\n")
        to_trash(folder, partial)


def _differing(pruned: Path, newest: Path) -> list[bytes]:
    """The directories of a tree that have, by their manifests, something that the newest has not.
    That decides only what is given back now: a new tree looks at all of them.
    """
    one, other = Manifest.load(pruned), Manifest.load(newest)
    if not one.family or one.family != other.family:
        raise Damaged(f"{pruned}: the newest tree shares nothing with it")
    known = other.digests
    return sorted(path for path, digest in one.digests.items() if known.get(path) != digest)


def _trim(data: Path, newest: Path, paths: Sequence[bytes], processes: int) -> None:
    allow_open_files()
    new, old = os.open(data, DIRECTORY), os.open(newest, DIRECTORY)
    try:
        for _ in spread(lambda batch: _trim_some(new, old, batch), _batches(paths), 2 * processes):
            pass
    finally:
        os.close(new)
        os.close(old)


def _trim_some(new: int, old: int, paths: Sequence[bytes]) -> None:
    one, other = Descent(new), Descent(old)
    for path in paths:
        try:
            wanted = _inodes(other(path))
            _fit(one(path), wanted)
        except OSError as error:
            if error.errno not in VANISHED:
                raise  # of those that vanish, the newest tree has none: they go with the one above
    one.close()
    other.close()


def _inodes(directory: int) -> dict[str, int]:
    """What is in a directory, by name."""
    with os.scandir(directory) as entries:
        return {
            entry.name: _ANY if entry.is_dir(follow_symlinks=False) else entry.inode()
            for entry in entries
        }


def _fit(directory: int, wanted: Mapping[str, int]) -> set[str]:
    """Remove from a directory of a spare what it may not have; return what is left."""
    left = set()
    for name, inode in _inodes(directory).items():
        if wanted.get(name) == inode:
            left.add(name)
        elif inode == _ANY:
            shutil.rmtree(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)
    return left


def take_spare(folder: Folder, base: Base, partial: Path) -> frozenset[bytes]:
    """Given a series' folder, its newest tree and where the next one is made (nothing is there),
    put the spare there; return the directories that it has, none where there is no spare. Raise
    Damaged if it cannot be used.
    """
    spare = folder.spare(base.run)
    if not spare.exists():
        return frozenset()
    spare.rename(partial)
    flush(folder.trees)
    directories = Manifest.load(partial / "manifest").digests.keys() & base.manifest.digests.keys()
    with _damage(b""):
        os.close(os.open(partial / "data", DIRECTORY))
        shutil.rmtree(partial / "manifest")
        for left in partial.iterdir():
            if left.name != "data":
                left.unlink()
    return frozenset(directories)


def clear_changed(plan: Plan) -> None:
    """Given a plan that begins with a spare, take out of each directory that changed all but its
    directories, and what it would hand down to what is placed in it. Raise Damaged if that fails.
    """
    # From the top down: a symlink that became a directory has to go before what is below it.
    for _, level in groupby(sorted(plan.scan.changed, key=_depth), _depth):
        for _ in spread(lambda batch: _clear_some(plan, batch), _batches(level), plan.processes):
            pass


def _depth(path: bytes) -> int:
    return len(parts_of(path))


def _batches(paths: Iterable[bytes]) -> list[list[bytes]]:
    return batches(((path, 1) for path in paths), _BATCH)


def _clear_some(plan: Plan, paths: list[bytes]) -> None:
    for path in paths:
        with _damage(path):
            directory = made_beneath(plan.new, path)
            try:
                inherit_nothing(directory)
                names = map(os.fsdecode, plan.scan.changed[path].subdirectories())
                _fit(directory, dict.fromkeys(names, _ANY))
            finally:
                os.close(directory)


class Intact(NamedTuple):
    """A directory that a spare has as the older tree does."""

    path: bytes
    files: int
    """What is no directory, and needs no link."""
    directories: int


def intact(plan: Plan, path: bytes, new: Descent, old: Descent) -> Intact | None:
    """Given a directory that did not change, and what leads to those of both trees, return whether
    it has the same inodes in both, under the names that are recorded. None if it has not.
    """
    try:
        there = _inodes(new(path))
        if there != _inodes(old(path)):
            return None
    except OSError as error:
        if error.errno in VANISHED:
            return None
        raise
    if sorted(map(os.fsencode, there)) != plan.before.names(path):
        return None
    directories = sum(inode == _ANY for inode in there.values())
    return Intact(path, len(there) - directories, directories)


def reuse(spot: Spot) -> set[str]:
    """Given a directory that did not change, remove from it what is not the older tree's; return
    the names of the rest, which need no link. Raise Damaged if that fails.
    """
    now = spot.now
    with _damage(spot.path):
        old = _inodes(spot.old) if spot.old is not None else {}
        wanted = {}
        for name, one in zip(map(os.fsdecode, now.names), now.stats, strict=True):
            if one.is_directory:
                wanted[name] = _ANY
            elif one.links == 1 and name in old and os.fsencode(name) not in now.notes:
                wanted[name] = old[name]
        return _fit(spot.new, wanted)


@contextmanager
def _damage(path: bytes) -> Iterator[None]:
    """Whatever a spare has that cannot be used or removed: the tree can be made without it."""
    try:
        yield
    except OSError as error:
        why = f"{reason_of(error)} at {shown(path)}"
        raise Damaged(f"{why}: a pruned tree cannot be used") from error
