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

from backstay.agent.fs.attributes import Record
from backstay.agent.fs.inode import STAT, Stat, extra_size, pack, unpack
from backstay.domain.errors import DataError

DIGEST_SIZE: Final = 16
ROOT: Final = b"."
_NO_RECORD: Final[Record] = {}
_COUNT: Final = struct.Struct("<I")
_KEPT: Final = 1 << 16  # entries in listings that are kept decoded, which take 30 MB


def row_of(name: bytes, one: Stat) -> bytes:
    """Given an entry, return its row: rows sort as their names do, which have no NUL."""
    return name + b"\0" + pack(one)


def digest_of(rows: Iterable[bytes]) -> bytes:
    """Given a directory's sorted rows, return its digest."""
    return hashlib.blake2b(b"".join(rows), digest_size=DIGEST_SIZE).digest()


class Known(NamedTuple):
    """What a manifest says of one entry."""

    stat: Stat
    extra: bytes
    note: dict[str, Any]
    record: Record = _NO_RECORD


@dataclass(slots=True)
class Listing:
    """The entries of one directory."""

    names: list[bytes]
    stats: list[Stat]
    extras: list[bytes] = field(default_factory=list)
    """By entry: sha256 of a regular file, target of a symlink, number of a device. A walk leaves
    them empty.
    """
    notes: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """Entries that the tree has in another form: `omitted`, `absent` (what the destination cannot
    have: it is here alone), or `size` of a database's copy.
    """
    records: dict[bytes, Record] = field(default_factory=dict)
    """Entries that have extended attributes, or whose copy lacks something."""

    def __reduce__(self) -> tuple[Any, ...]:
        """In columns: a walk sends hundreds of thousands of inodes from one process to another."""
        stats = b"".join(map(pack, self.stats))
        return _rebuilt, (self.names, stats, self.extras, self.notes, self.records)

    @property
    def digest(self) -> bytes:
        return digest_of(map(row_of, self.names, self.stats))

    @classmethod
    def of_rows(cls, rows: Sequence[bytes]) -> Listing:
        """Given sorted rows, return the listing."""
        stats = b"".join([row[-STAT.size :] for row in rows])
        return _rebuilt([row[: -STAT.size - 1] for row in rows], stats, [], {}, {})

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
        name = self.names[at]
        record = self.records.get(name, _NO_RECORD)
        return Known(self.stats[at], self.extras[at], self.notes.get(name, {}), record)

    def stored(self) -> list[bytes]:
        """Return the names that the tree has, without the root's own."""
        left_out = {name for name, note in self.notes.items() if is_left_out(note)}
        return [name for name in self.names if name != ROOT and name not in left_out]

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
        columns += map(pack, self.stats)
        columns += [name + b"\0" for name in self.names]
        for one, extra in zip(self.stats, self.extras, strict=True):
            columns.append(extra + b"\0" if stat.S_ISLNK(one.mode) else extra)
        more: dict[str, Mapping[bytes, object]] = {"notes": self.notes, "records": self.records}
        reported = {
            key: {os.fsdecode(name): said for name, said in column.items()}
            for key, column in more.items()
            if column
        }
        if reported:
            columns.append(json.dumps(reported, separators=(",", ":")).encode())
        return b"".join(columns)

    @classmethod
    def decode(cls, block: bytes) -> Listing:
        """Given a block of a manifest, return the listing. Raise DataError if it is none."""
        try:
            return _decode(block)
        except (struct.error, ValueError, IndexError) as error:
            raise DataError(f"a block of the manifest cannot be read: {error}") from error


def _rebuilt(
    names: list[bytes], stats: bytes, extras: list[bytes], notes: Any, records: Any
) -> Listing:
    return Listing(names, unpack(stats), extras, notes, records)


def is_left_out(note: Mapping[str, Any]) -> bool:
    """Given an entry's note, whether its tree does not have it."""
    return "omitted" in note or "absent" in note


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
    stats = unpack(block[_COUNT.size : at])
    names: list[bytes] = []
    extras: list[bytes] = []
    if count:
        parts = block[at:].split(b"\0", count)
        names, at = parts[:count], len(block) - len(parts[count])
    for one in stats:
        end = block.index(b"\0", at) if stat.S_ISLNK(one.mode) else at + extra_size(one)
        extras.append(block[at:end])
        at = end + stat.S_ISLNK(one.mode)
    reported = json.loads(block[at:]) if at < len(block) else {}
    notes, records = (
        {os.fsencode(name): said for name, said in reported.get(key, {}).items()}
        for key in ("notes", "records")
    )
    return Listing(names, stats, extras, notes, records)


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
