"""The manifest of a tree: what the source had, directory by directory, in parts on disk.

Invariants: part 0000 is whole, each later one replaces the directories that changed since; parts
are never written to once their tree is published, so trees share them by links; the index (digests
by path) can be read without the blocks. The format is in docs/design/0014-rolling-agent.md.
"""

# ruff: noqa: N818 - an error is named after what it is about, as in domain/errors.py

from __future__ import annotations

import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from backstay.agent.destination.layout import FIRST_PART
from backstay.agent.fs.failures import reason_of
from backstay.agent.fs.listing import DIGEST_SIZE, Listing, Totals
from backstay.domain.errors import DataError

FORMAT: Final = 2
_LENGTH: Final = struct.Struct("<I")
_DIGEST: Final = struct.Struct(f"{DIGEST_SIZE}s")
_LEVEL: Final = 1
_MOST_PARTS: Final = 30


class Damaged(DataError):
    """A tree or its manifest is not what was published: a new tree must not go on from it."""


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    header: Mapping[str, Any]
    blocks_at: int
    digests: Mapping[bytes, bytes]
    removed: tuple[bytes, ...]

    def blocks(self) -> list[bytes]:
        """Return the blocks, in the order of `digests`."""
        with self.path.open("rb") as file:
            file.seek(self.blocks_at)
            data = _inflate(file.read(), self.path)
        found: list[bytes] = []
        at = 0
        for _ in self.digests:
            (size,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            found.append(data[at : at + size])
            at += size
        if at != len(data):
            raise Damaged(f"{self.path}: its blocks do not add up")
        return found


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as read: the index at once, blocks when asked for."""

    digests: Mapping[bytes, bytes]
    parts: tuple[_Part, ...]

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Given a tree's manifest folder, return the manifest. Raise DataError if it is damaged."""
        try:
            parts = tuple(_read(path) for path in sorted(folder.iterdir()))
        except OSError as error:
            raise Damaged(f"{reason_of(error)}: the manifest {folder} cannot be read") from error
        if not parts:
            raise Damaged(f"{folder}: there is no manifest")
        digests = dict(parts[0].digests)
        for part in parts[1:]:
            for path in part.removed:
                digests.pop(path, None)
            digests.update(part.digests)
        return cls(digests, parts)

    @property
    def totals(self) -> Totals:
        return Totals(**self.parts[-1].header["totals"])

    @property
    def run(self) -> str:
        return str(self.parts[-1].header["run"])

    @property
    def family(self) -> str:
        """The tree that this one and those before it go back to: in it all was copied. Directories
        with the same digest in two trees of a family have the same inodes.
        """
        return str(self.parts[-1].header.get("family", ""))

    @property
    def lacks(self) -> Counter[str]:
        """Of how many entries the tree lacks what only the manifest has, by kind."""
        return Counter(self.parts[-1].header.get("lacks", {}))

    @property
    def lacking(self) -> list[str]:
        """What its file system did not keep when it was made, in words."""
        return list(self.parts[-1].header.get("lacking", []))

    def blocks(self, wanted: Iterable[bytes] | None = None) -> dict[bytes, bytes]:
        """Given paths of directories (None: all), return the blocks of those that it has."""
        left = set(self.digests) if wanted is None else self.digests.keys() & set(wanted)
        found: dict[bytes, bytes] = {}
        for part in reversed(self.parts):
            if not left & part.digests.keys():
                continue
            blocks = zip(part.digests, part.blocks(), strict=True)
            found |= {path: block for path, block in blocks if path in left}
            left -= part.digests.keys()
        if left:
            raise Damaged(f"{self.parts[0].path.parent}: blocks are missing")
        return found

    def listings(self, wanted: Iterable[bytes] | None = None) -> dict[bytes, Listing]:
        """Given paths of directories (None: all), return their listings."""
        return {path: Listing.decode(block) for path, block in self.blocks(wanted).items()}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new manifest has that its base does not, encoded."""

    digests: Mapping[bytes, bytes]
    blocks: Mapping[bytes, bytes]
    removed: tuple[bytes, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)


def save(folder: Path, base: Manifest | None, changes: Changes) -> None:
    """Given a new tree's manifest folder (absent), the manifest that it goes on from and the
    changes, write it. The caller makes it durable.
    """
    folder.mkdir()
    kept = base.parts if base is not None else ()
    if base is not None and not _is_too_long(base, changes):
        for part in kept:
            os.link(part.path, folder / part.path.name)
        _write(folder / f"{len(kept):04}", changes)
        return
    blocks = base.blocks() if base is not None else {}
    digests = dict(base.digests) if base is not None else {}
    for path in changes.removed:
        blocks.pop(path, None)
        digests.pop(path, None)
    whole = Changes(
        {**digests, **changes.digests}, {**blocks, **changes.blocks}, (), changes.header
    )
    _write(folder / FIRST_PART, whole)


def _is_too_long(base: Manifest, changes: Changes) -> bool:
    since = sum(len(part.digests) for part in base.parts[1:]) + len(changes.digests)
    return len(base.parts) > _MOST_PARTS or since * 4 > len(base.parts[0].digests)


def _write(path: Path, changes: Changes) -> None:
    index = b"".join(changes.digests.values())
    index += b"".join(name + b"\0" for name in (*changes.digests, *changes.removed))
    packed = zlib.compress(index, _LEVEL)
    squeeze = zlib.compressobj(_LEVEL)
    header = {
        "format": FORMAT,
        "header": dict(changes.header),
        "directories": len(changes.digests),
        "removed": len(changes.removed),
        "index": len(packed),
    }
    with path.open("xb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        file.write(packed)
        for name in changes.digests:
            block = changes.blocks[name]
            file.write(squeeze.compress(_LENGTH.pack(len(block)) + block))
        file.write(squeeze.flush())


def _read(path: Path) -> _Part:
    with path.open("rb") as file:
        line = file.readline(1 << 20)
        try:
            header = json.loads(line)
            if header["format"] != FORMAT:
                raise Damaged(f"{path}: its format {header['format']} is not ours")
            count, removed, size = header["directories"], header["removed"], header["index"]
            index = _inflate(file.read(size), path)
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{path}: {error!r}") from error
    packed, names = index[: count * DIGEST_SIZE], index[count * DIGEST_SIZE :].split(b"\0")
    if len(names) != count + removed + 1:
        raise Damaged(f"{path}: its index does not add up")
    digests = dict(zip(names, (digest for (digest,) in _DIGEST.iter_unpack(packed)), strict=False))
    if len(digests) != count:
        raise Damaged(f"{path}: its index names a directory twice")
    return _Part(path, header["header"], len(line) + size, digests, tuple(names[count:-1]))


def _inflate(data: bytes, path: Path) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error as error:
        raise Damaged(f"{path} is damaged: {error}") from error
