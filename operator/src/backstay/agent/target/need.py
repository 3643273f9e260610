"""How much room a restore takes on the disks of its target, and what it finds there.

Invariant: what is counted is an upper bound of what is taken at any moment: a file is written
whole before it replaces the one of its name. Files count as the copy stores them, holes left out;
those that share an inode count once. A disk that does not give something is no reason to stop here:
what cannot be read counts as not there, or as it was recorded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from backstay.agent.fs.copy_file import BIG
from backstay.agent.fs.inode import Stat
from backstay.agent.fs.listing import ROOT, Known, Listing
from backstay.agent.fs.paths import DIRECTORY, Descent, printable
from backstay.domain.errors import UserError

_DIRECTORY_BYTES: Final = 4096
_KEPT_PERCENT: Final = 1
"""Of a disk, left for what files and names take beside their content, and for who uses the disk."""


@dataclass(slots=True)
class Disk:
    """One file system of the target."""

    found: os.statvfs_result
    size: int = 0
    inodes: int = 0
    largest: int = 0
    """Of the files that are written beside one that they replace."""
    freed: int = 0
    """By removing what the point does not have."""

    @property
    def free(self) -> int:
        kept = self.found.f_blocks * self.found.f_frsize * _KEPT_PERCENT // 100
        return max(0, self.found.f_bavail * self.found.f_frsize - kept)

    @property
    def wanted(self) -> int:
        return self.size + self.largest

    def fits(self, *, after_removing: bool = False) -> bool:
        """Whether it has that room. One that says nothing of itself is believed to."""
        if self.found.f_blocks == 0:
            return True
        return self.wanted <= self.free + (self.freed if after_removing else 0)

    @property
    def has_inodes(self) -> bool:
        return self.found.f_files == 0 or self.inodes <= self.found.f_favail


@dataclass(slots=True)
class Need:
    """What a restore takes, and what it must not touch."""

    disks: dict[int, Disk] = field(default_factory=dict)
    """By device number."""
    destination: list[bytes] = field(default_factory=list)
    """Where the target has the copies themselves, in what the point does not have."""

    @property
    def removes_first(self) -> bool:
        """Whether what goes must go first, for there is no room otherwise."""
        return not all(disk.fits() for disk in self.disks.values())

    def check(self, field: str) -> None:
        """Given the field that says where it goes, raise UserError where a disk has too little
        room, whatever is removed first.
        """
        for disk in self.disks.values():
            if not disk.fits(after_removing=True):
                more = f" and {disk.freed} are freed first" if disk.freed else ""
                raise UserError(
                    "TooLittleRoom",
                    f"{field}: {disk.free} bytes are to be had on the target's disk{more},"
                    f" this restore needs up to {disk.wanted}; make room, choose fewer paths, or"
                    " restore to another disk",
                )
            if not disk.has_inodes:
                raise UserError(
                    "TooLittleRoom",
                    f"{field}: {disk.found.f_favail} inodes are free on the target's disk,"
                    f" this restore needs up to {disk.inodes}; remove files, choose fewer paths,"
                    " or restore to another disk",
                )


def need_of(
    source: int,
    target: int,
    directories: Mapping[bytes, Listing],
    files: Mapping[bytes, Known],
    *,
    onto: bool,
    spared: Collection[bytes] = (),
    forbidden: tuple[int, int] = (0, 0),
) -> Need:
    """Given a tree, an open directory, and what of the tree is restored there, return what that
    takes. `onto`: over what is there, but for the spared paths, in which nothing is looked at;
    `forbidden` is the device and inode of the destination.
    """
    return _Look(source, target, onto, frozenset(spared), forbidden).over(directories, files)


class _Look:
    """One walk over what is restored, with what the target has there."""

    def __init__(
        self,
        source: int,
        target: int,
        onto: bool,
        spared: frozenset[bytes],
        forbidden: tuple[int, int],
    ) -> None:
        self._source = Descent(source)
        self._target = Descent(target)
        self._onto = onto
        self._spared = spared
        self._forbidden = forbidden
        self._need = Need()
        self._seen: set[int] = set()
        self._disk_of: dict[bytes, Disk] = {}
        self._top = self._disk_at(target)

    def over(self, directories: Mapping[bytes, Listing], files: Mapping[bytes, Known]) -> Need:
        for path in sorted(directories):  # those above first
            self._directory(path, directories[path])
        for path, known in files.items():
            parent, _, name = path.rpartition(b"/")
            self._entry(parent, name, known.stat, self._there(parent), self._top)
        self._source.close()
        self._target.close()
        return self._need

    def _disk_at(self, fd: int) -> Disk:
        device = os.fstat(fd).st_dev
        if device not in self._need.disks:
            self._need.disks[device] = Disk(os.fstatvfs(fd))
        return self._need.disks[device]

    def _there(self, path: bytes) -> int | None:
        """The target's directory of that path, None where it has none."""
        if not self._onto:
            return None
        try:
            return self._target(path)
        except OSError:
            return None

    def _directory(self, path: bytes, listing: Listing) -> None:
        there = self._there(path)
        disk = self._disk_of.get(os.path.dirname(path), self._top)
        if there is not None:
            top = os.fstat(there)
            if (top.st_dev, top.st_ino) == self._forbidden:
                raise UserError(
                    "DestinationInTarget",
                    f"spec.directory: the copies themselves lie at {printable(path)} in it, where"
                    " the point has another directory; restore into a new directory",
                )
            disk = self._disk_at(there)
        else:
            disk.inodes += 1
            disk.size += _DIRECTORY_BYTES
        self._disk_of[path] = disk
        for name, one in zip(listing.names, listing.stats, strict=True):
            if name == ROOT or one.is_directory or listing.notes.get(name, {}).get("omitted"):
                continue
            size = listing.notes.get(name, {}).get("size", one.size)
            self._entry(path, name, one._replace(size=size), there, disk)
        if there is not None:
            stored = set(listing.stored())
            for name in _names(there):
                if name not in stored:
                    self._extra(os.path.join(path, name), there, name, disk)

    def _entry(self, path: bytes, name: bytes, one: Stat, there: int | None, disk: Disk) -> None:
        if one.links > 1 and (held := self._held(path, name)) is not None:
            if held.st_ino in self._seen:
                return
            self._seen.add(held.st_ino)
        size = self._stored(path, name, one, disk)
        old = _found(there, name) if there is not None else None
        if old is None:
            disk.inodes += 1
            disk.size += size
        elif (old.st_size, old.st_mtime_ns) != (one.size, one.mtime) or not one.is_regular:
            replaced = old.st_blocks * 512 if old.st_nlink == 1 else 0
            disk.size += max(0, size - replaced)
            disk.largest = max(disk.largest, min(size, replaced))

    def _stored(self, path: bytes, name: bytes, one: Stat, disk: Disk) -> int:
        if not one.is_regular:
            return 0
        size = one.size
        if size >= BIG and (held := self._held(path, name)) is not None:
            size = min(size, held.st_blocks * 512)
        block = max(1, disk.found.f_frsize)
        return -(-size // block) * block

    def _held(self, path: bytes, name: bytes) -> os.stat_result | None:
        """The file of the copy, None where that is damaged: its record will do here."""
        try:
            return _found(self._source(path), name)
        except OSError:
            return None

    def _extra(self, path: bytes, directory: int, name: bytes, disk: Disk) -> None:
        """Count what the point does not have, and which therefore goes."""
        if path in self._spared:
            return
        one = _found(directory, name)
        if one is None:
            return
        if not stat.S_ISDIR(one.st_mode):
            disk.freed += one.st_blocks * 512 if one.st_nlink == 1 else 0
            return
        freed = 0
        with closing(_below(path, directory, name, self._spared)) as walk:
            for below, found in walk:
                if (found.st_dev, found.st_ino) == self._forbidden:
                    self._need.destination.append(below)
                    return
                if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode):
                    freed += found.st_blocks * 512
        disk.freed += freed


def _below(
    path: bytes, directory: int, name: bytes, spared: Collection[bytes]
) -> Generator[tuple[bytes, os.stat_result]]:
    """Yield a directory and what is below it, each path with its inode, but for what is spared."""
    # (descriptor, path, names still to visit): depth is the tenant's choice, so no recursion.
    stack: list[tuple[int, bytes, list[bytes]]] = []
    try:
        todo: tuple[int, bytes, bytes] | None = (directory, name, path)
        while stack or todo is not None:
            if todo is not None:
                fd = _opened(todo[0], todo[1])
                if fd is not None:
                    yield todo[2], os.fstat(fd)
                    stack.append((fd, todo[2], _names(fd)))
                todo = None
                continue
            fd, above, names = stack[-1]
            if not names:
                os.close(stack.pop()[0])
                continue
            name = names.pop()
            below = above + b"/" + name
            one = _found(fd, name)
            if one is None or below in spared:
                continue
            if stat.S_ISDIR(one.st_mode):
                todo = fd, name, below
            else:
                yield below, one
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def _opened(directory: int, name: bytes) -> int | None:
    """None where a disk does not give it: what cannot be read cannot be removed either."""
    try:
        return os.open(name, DIRECTORY, dir_fd=directory)
    except OSError:
        return None


def _names(directory: int) -> list[bytes]:
    try:
        return [os.fsencode(name) for name in os.listdir(directory)]
    except OSError:
        return []


def _found(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
