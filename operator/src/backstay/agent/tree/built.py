"""What was built: the listing of each directory, and what happened in the whole tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from backstay.agent.fs.listing import Listing
from backstay.agent.tree.placed import NOTHING, How, Placed
from backstay.agent.tree.reuse import Intact


@dataclass(slots=True)
class Built:
    """What was built."""

    listings: dict[bytes, Listing] = field(default_factory=dict)
    """Of directories that differ from the last manifest, complete."""
    how: How = NOTHING
    vanished: list[bytes] = field(default_factory=list)
    moved: list[bytes] = field(default_factory=list)
    databases: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    as_files: list[bytes] = field(default_factory=list)
    """Live databases that were copied as the files that are there."""
    intact: dict[bytes, Intact] = field(default_factory=dict)
    """What a pruned tree had as it must be."""


class Part(NamedTuple):
    """The outcome of a range of a directory's entries: columns, because there are many."""

    path: bytes
    start: int
    extras: list[bytes | None]
    """Of those that are in the tree as the walk saw them; None: see `odd`, or placed later."""
    odd: dict[int, Placed | None]
    """By place in the listing, those that are otherwise; None: it vanished."""


@dataclass(slots=True)
class Entries:
    """The outcome of a directory's entries, by place in its listing."""

    extras: list[bytes | None]
    odd: dict[int, Placed | None] = field(default_factory=dict)


def assembled(path: bytes, now: Listing, found: Entries, built: Built) -> Listing:
    """Given a directory, what the source has there, and the outcome of its entries, return its
    listing as it came to be; add what happened in it to `built`.
    """
    extras = [extra for extra in found.extras if extra is not None]
    if len(extras) == len(now.names) and not found.odd:
        return Listing(now.names, now.stats, extras, now.notes, dict(now.records))
    result = Listing([], [])
    for at, (name, one, extra) in enumerate(zip(now.names, now.stats, found.extras, strict=True)):
        full = path + b"/" + name if path else name
        placed = found.odd.get(at)
        if placed is not None:
            _note(full, placed, built)
            result.notes |= {name: placed.note} if placed.note else {}
            result.records |= {name: placed.record} if placed.record else {}
            result.stats.append(placed.stat)
            result.extras.append(placed.extra)
        elif at in found.odd or (extra is None and not one.is_directory):
            built.vanished.append(full)
            continue
        else:
            result.stats.append(one)
            result.extras.append(b"" if extra is None else extra)
            result.notes |= {name: now.notes[name]} if name in now.notes else {}
            result.records |= {name: now.records[name]} if name in now.records else {}
        result.names.append(name)
    return result


def _note(path: bytes, placed: Placed, built: Built) -> None:
    if placed.moved:
        built.moved.append(path)
    if placed.note.get("unreadable"):
        built.unreadable.append(path)
    if placed.note.get("database"):
        built.databases.append(path)
    if placed.note.get("asFiles"):
        built.as_files.append(path)
