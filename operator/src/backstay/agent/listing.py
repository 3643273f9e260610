"""One directory's entries as a walk sees them and as a manifest keeps them.

Invariants: names are bytes, sorted; the digest is over what a walk can see without reading a file
(names, mode, owner, links, size, both times, inode), so equal digests mean an unchanged directory.
A directory's own entry stands in its parent; the root's stands in itself under the name `.`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from backstay.domain.errors import DataError

STAT: Final = struct.Struct("<IIIIQqqQ")
DIGEST_SIZE: Final = 16
ROOT: Final = b"."
NO_HASH: Final = bytes(32)
_COUNT: Final = struct.Struct("<I")
_KEPT: Final = 1 << 16  # entries in listings that are kept decoded, which take 30 MB


class Stat(NamedTuple):
    """An inode as the source had it. Times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    links: int
    size: int
    mtime: int
    ctime: int
    inode: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    def same_but_moved(self, other: Stat) -> bool:
        """Whether only ctime, inode and links differ, as after a move to another disk."""
        return self[:3] == other[:3] and self[4:6] == other[4:6]


def stat_of(found: os.stat_result) -> Stat:
    """Given what the kernel says of an inode, return it as a manifest keeps it."""
    mode, inode, _, links, uid, gid, size = found[:7]
    return Stat(mode, uid, gid, links, size, found.st_mtime_ns, found.st_ctime_ns, inode)


def row_of(name: bytes, one: Stat) -> bytes:
    """Given an entry, return its row: rows sort as their names do, which have no NUL."""
    return name + b"\0" + STAT.pack(*one)


def digest_of(rows: Iterable[bytes]) -> bytes:
    """Given a directory's sorted rows, return its digest."""
    return hashlib.blake2b(b"".join(rows), digest_size=DIGEST_SIZE).digest()


Known = tuple[Stat, bytes, dict[str, Any]]
"""What a manifest says of one entry: inode, extra, note."""


@dataclass(slots=True)
class Listing:
    """The entries of one directory."""

    names: list[bytes]
    stats: list[Stat]
    extras: list[bytes] = field(default_factory=list)
    """By entry: sha256 of a regular file, target of a symlink, number of a device, and b"\\1" for
    a directory that has extended attributes. A walk leaves them empty.
    """
    notes: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """Entries that the tree has in another form: `omitted`, or `size` of a database's copy."""

    def __reduce__(self) -> tuple[Any, ...]:
        """In columns: a walk sends hundreds of thousands of inodes from one process to another."""
        stats = b"".join([STAT.pack(*one) for one in self.stats])
        return _rebuilt, (self.names, stats, self.extras, self.notes)

    @property
    def digest(self) -> bytes:
        return digest_of(map(row_of, self.names, self.stats))

    @classmethod
    def of_rows(cls, rows: Sequence[bytes]) -> Listing:
        """Given sorted rows, return the listing."""
        stats = b"".join([row[-STAT.size :] for row in rows])
        return _rebuilt([row[: -STAT.size - 1] for row in rows], stats, [], {})

    def find(self, name: bytes) -> int | None:
        """Given a name, return its place in the columns, None if it is not there."""
        at = bisect_left(self.names, name)
        return at if at < len(self.names) and self.names[at] == name else None

    def index(self, name: bytes) -> int:
        """Given a name that it has, return its place in the columns."""
        at = self.find(name)
        if at is None:
            raise KeyError(name)
        return at

    def known(self, at: int) -> Known:
        """Given a place in the columns, return what is said there."""
        return self.stats[at], self.extras[at], self.notes.get(self.names[at], {})

    def stored(self) -> list[bytes]:
        """Return the names that the tree has, without the root's own."""
        return [n for n in self.names if n != ROOT and not self.notes.get(n, {}).get("omitted")]

    def subdirectories(self) -> list[bytes]:
        """Return the names of the directories in it, without those that the tree does not have."""
        pairs = zip(self.names, self.stats, strict=True)
        directories = [name for name, one in pairs if one.is_directory and name != ROOT]
        return [name for name in directories if not self.is_omitted(name)]

    def has(self, name: bytes) -> bool:
        """Given a name, return whether the tree has it."""
        return self.find(name) is not None and not self.is_omitted(name)

    def is_omitted(self, name: bytes) -> bool:
        """Given a name, return whether the tree does not have it."""
        return name in self.notes and bool(self.notes[name].get("omitted"))

    def encode(self) -> bytes:
        """Return the block of a manifest."""
        columns = [_COUNT.pack(len(self.names))]
        columns += [STAT.pack(*one) for one in self.stats]
        columns += [name + b"\0" for name in self.names]
        for one, extra in zip(self.stats, self.extras, strict=True):
            columns.append(extra + b"\0" if stat.S_ISLNK(one.mode) else extra)
        if self.notes:
            readable = {os.fsdecode(name): note for name, note in self.notes.items()}
            columns.append(json.dumps(readable).encode())
        return b"".join(columns)

    @classmethod
    def decode(cls, block: bytes) -> Listing:
        """Given a block of a manifest, return the listing. Raise DataError if it is none."""
        try:
            return _decode(block)
        except (struct.error, ValueError, IndexError) as error:
            raise DataError(f"a block of the manifest cannot be read: {error}") from error


def _rebuilt(names: list[bytes], stats: bytes, extras: list[bytes], notes: Any) -> Listing:
    return Listing(names, list(map(Stat._make, STAT.iter_unpack(stats))), extras, notes)


class Encoded(Mapping[bytes, Listing]):
    """Listings of a whole tree by path, each decoded when it is asked for, in the process that
    does: all of them at once would cost the parent a second and the memory.

    Invariant: those asked for last are kept, for a directory is asked for once for each hard link
    in it; so nobody may change one.
    """

    def __init__(self, blocks: Mapping[bytes, bytes]) -> None:
        self._blocks = blocks
        self._kept: OrderedDict[bytes, Listing] = OrderedDict()
        self._size = 0

    def __getitem__(self, path: bytes) -> Listing:
        found = self._kept.get(path)
        if found is not None:
            self._kept.move_to_end(path)
            return found
        found = Listing.decode(self._blocks[path])
        self._size += 1 + len(found.names)
        while self._kept and self._size > _KEPT:
            self._size -= 1 + len(self._kept.popitem(last=False)[1].names)
        self._kept[path] = found
        return found

    def __contains__(self, path: object) -> bool:
        return path in self._blocks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def count(self, path: bytes) -> int:
        """Given a directory, return how many entries it has."""
        return int(_COUNT.unpack_from(self._blocks[path])[0])

    def names(self, path: bytes) -> list[bytes]:
        """Given a directory, return the names in it, without decoding more."""
        count = self.count(path)
        return self._blocks[path][_COUNT.size + count * STAT.size :].split(b"\0", count)[:count]


def _decode(block: bytes) -> Listing:
    (count,) = _COUNT.unpack_from(block)
    at = _COUNT.size + count * STAT.size
    stats = list(map(Stat._make, STAT.iter_unpack(block[_COUNT.size : at])))
    names: list[bytes] = []
    extras: list[bytes] = []
    if count:
        parts = block[at:].split(b"\0", count)
        names, at = parts[:count], len(block) - len(parts[count])
    for one in stats:
        end = block.index(b"\0", at) if stat.S_ISLNK(one.mode) else at + extra_size(one)
        extras.append(block[at:end])
        at = end + stat.S_ISLNK(one.mode)
    notes: Mapping[str, Any] = json.loads(block[at:]) if at < len(block) else {}
    return Listing(names, stats, extras, {os.fsencode(k): v for k, v in notes.items()})


def extra_size(one: Stat) -> int:
    """Given an entry that is no symlink, return how many bytes its extra has."""
    if one.is_regular:
        return len(NO_HASH)
    if stat.S_ISCHR(one.mode) or stat.S_ISBLK(one.mode):
        return 8
    return 1 if one.is_directory else 0


@dataclass(frozen=True, slots=True)
class Totals:
    """How much a tree has."""

    entries: int = 0
    directories: int = 0
    files: int = 0
    bytes: int = 0
    """Of regular files, each name counted."""

    def __add__(self, other: Totals) -> Totals:
        return self._combined(other, 1)

    def __sub__(self, other: Totals) -> Totals:
        return self._combined(other, -1)

    def _combined(self, other: Totals, sign: int) -> Totals:
        return Totals(
            self.entries + sign * other.entries,
            self.directories + sign * other.directories,
            self.files + sign * other.files,
            self.bytes + sign * other.bytes,
        )


def totals_of(listing: Listing) -> Totals:
    """Given a listing, return what it has; the root's own entry does not count."""
    own = [one for name, one in zip(listing.names, listing.stats, strict=True) if name != ROOT]
    files = [one for one in own if one.is_regular]
    return Totals(
        len(own), sum(one.is_directory for one in own), len(files), sum(one.size for one in files)
    )
