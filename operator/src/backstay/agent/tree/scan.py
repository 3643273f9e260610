"""Walk a source and find what differs from the last manifest.

Invariants: nothing is read but names and inodes, and no symlink is followed; a directory is
reported only if it is new or its digest changed, and then with all its entries as they were at that
moment; what vanishes between two calls is left out and named.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backstay.agent.fs.failures import reason_of, source_words
from backstay.agent.fs.inode import FIRST_TIME, STAT, stat_of
from backstay.agent.fs.listing import ROOT, Listing, digest_of, row_of
from backstay.agent.fs.parallel import spread
from backstay.agent.fs.paths import DIRECTORY, VANISHED, open_beneath, printable
from backstay.agent.fs.syscalls import allow_open_files
from backstay.agent.tree.exclude import Excluded
from backstay.domain.errors import DataError, UserError

_ENCODING: Final = sys.getfilesystemencoding()
_ERRORS: Final = sys.getfilesystemencodeerrors()
LONGEST: Final = 4000
"""Bytes of a path that one call takes (PATH_MAX, with what stands before it), and rsync as well."""
_TOO_LONG: Final = errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)
_LOGS: Final = (b"-wal", b"-journal")
_UNITS = 256  # subtrees to hand out: enough that the last ones to end are small


class Linked(NamedTuple):
    """An entry that shares its inode with others."""

    device: int
    inode: int
    directory: bytes
    name: bytes


@dataclass(slots=True)
class Scan:
    """What a walk found."""

    changed: dict[bytes, Listing] = field(default_factory=dict)
    """By path below the source, b"" being itself."""
    linked: list[Linked] = field(default_factory=list)
    vanished: list[bytes] = field(default_factory=list)
    unreadable: dict[bytes, str] = field(default_factory=dict)
    """By path, why: entries whose inode, and directories whose entries, cannot be had."""
    directories: int = 0

    def add(self, other: Scan) -> None:
        self.changed.update(other.changed)
        self.linked += other.linked
        self.vanished += other.vanished
        self.unreadable.update(other.unreadable)
        self.directories += other.directories


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk: what is known of last time, what to leave out, what must not be met."""

    source: int
    known: Mapping[bytes, bytes]
    """Digests of directories by path."""
    excluded: Excluded | None = None
    forbidden: Set[tuple[int, int]] = frozenset()
    """Device and inode of the destination and of the series in it, for a source may lie inside the
    destination: a copy of itself would never end.
    """
    lenient: bool = False
    """What cannot be read is left out, and listed."""

    def leave_out(self, path: bytes, error: OSError, found: Scan) -> None:
        """Given what cannot be read, note it; raise DataError where that is not asked for, or it is
        the source itself.
        """
        if not self.lenient or not path:
            raise DataError(source_words(error, path)) from error
        found.unreadable[path] = reason_of(error)


def scan(walk: Walk, processes: int) -> Scan:
    """Given how to walk, return what differs. Raise UserError if the destination is inside, and
    DataError if something cannot be read and is not to be left out.
    """
    allow_open_files()
    found = Scan()
    todo = [b""]
    at = 0
    while at < len(todo) and len(todo) - at < _UNITS:
        todo += _one(walk, todo[at], found)
        at += 1
    for part in spread(lambda path: _subtree(walk, path), todo[at:], processes):
        found.add(part)
    return found


def _one(walk: Walk, path: bytes, found: Scan) -> list[bytes]:
    """Scan one directory and return the paths of those in it."""
    try:
        fd = open_beneath(walk.source, path)
    except OSError as error:
        _gone(walk, path, error, found)
        return []
    try:
        names = _directory(walk, fd, path, found)
    finally:
        os.close(fd)
    return [path + b"/" + name if path else name for name in names]


def _subtree(walk: Walk, top: bytes) -> Scan:
    found = Scan()
    try:
        fd = open_beneath(walk.source, top)
    except OSError as error:
        _gone(walk, top, error, found)
        return found
    # (descriptor, path, names still to visit): depth is the tenant's choice, so no recursion.
    stack = [(fd, top, _directory(walk, fd, top, found))]
    while stack:
        fd, path, names = stack[-1]
        if not names:
            os.close(fd)
            stack.pop()
            continue
        name = names.pop()
        below = path + b"/" + name
        try:
            child = os.open(name, DIRECTORY, dir_fd=fd)
        except OSError as error:
            _gone(walk, below, error, found)
            continue
        inner = _directory(walk, child, below, found)
        if inner:
            stack.append((child, below, inner))
        else:
            os.close(child)
    return found


def _gone(walk: Walk, path: bytes, error: OSError, found: Scan) -> None:
    if error.errno in VANISHED:
        found.vanished.append(path)
    else:
        walk.leave_out(path, error, found)


def _directory(  # noqa: PLR0912, PLR0915 - it is called for each entry, and calls cost
    walk: Walk, fd: int, path: bytes, found: Scan
) -> list[bytes]:
    """Read one directory, report it if it differs, and return the names of those in it.

    Long because an unchanged source costs what this costs for each entry, so it calls little.
    """
    rows: list[bytes] = []
    logs: dict[bytes, bytes] = {}
    linked: list[Linked] = []
    below = []
    prefix = path + b"/" if path else b""
    excluded, forbidden, pack = walk.excluded, walk.forbidden, STAT.pack
    if not path:
        rows.append(row_of(ROOT, stat_of(os.fstat(fd))))
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                name = entry.name.encode(_ENCODING, _ERRORS)  # os.fsencode() takes twice as long
                try:
                    one = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    found.vanished.append(prefix + name)
                    continue
                except OSError as error:
                    # A pattern for directories counts: nobody can say that it is none.
                    if excluded is None or not excluded(prefix + name, True):
                        walk.leave_out(prefix + name, error, found)
                    continue
                mode, inode, device, links, uid, gid, size = one[:7]
                directory = mode & 0o170000 == 0o040000
                if excluded is not None and excluded(prefix + name, directory):
                    if size and name.endswith(_LOGS) and mode & 0o170000 == 0o100000:
                        logs[name] = row_of(name, stat_of(one))
                    continue
                if len(prefix) + len(name) > LONGEST:
                    walk.leave_out(prefix + name, OSError(*_TOO_LONG), found)
                    continue
                if directory:
                    below.append(name)
                    if (device, inode) in forbidden:
                        raise UserError(
                            "DestinationInSource",
                            "spec.rolling.destination: it lies inside the source, at"
                            f" {printable(prefix + name)}; exclude it or move it",
                        )
                elif links > 1:
                    linked.append(Linked(device, inode, path, name))
                mtime, ctime = one.st_mtime_ns - FIRST_TIME, one.st_ctime_ns - FIRST_TIME
                # row_of(), without a call and a tuple for each entry.
                try:
                    row = name + b"\0" + pack(mode, uid, gid, links, size, mtime, ctime, inode)
                except struct.error:  # a time that no manifest holds
                    row = row_of(name, stat_of(one))
                rows.append(row)
        if logs:
            rows += _of_databases(fd, logs, {row.partition(b"\0")[0] for row in rows})
    except OSError as error:
        # Half a listing would look as if the rest had been deleted.
        walk.leave_out(path, error, found)
        return []
    rows.sort()
    found.linked += linked
    found.directories += 1
    if walk.known.get(path) != digest_of(rows):
        found.changed[path] = Listing.of_rows(rows)
    return below


def _of_databases(fd: int, logs: Mapping[bytes, bytes], names: Set[bytes]) -> list[bytes]:
    """Given the rows of excluded files that are named like a database's log, and the names that are
    not excluded, return the rows of those whose database is among these: a log is a part of its
    database, and the newest commits are in it.
    """
    from backstay.agent.fs.sqlite import is_database, is_log  # noqa: PLC0415 - seldom needed

    found = []
    for name, row in logs.items():
        base = next(name.removesuffix(one) for one in _LOGS if name.endswith(one))
        if base in names and is_database(base, fd) and is_log(name, fd):
            found.append(row)
    return found
