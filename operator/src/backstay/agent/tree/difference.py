"""What a walk of the source found, against the tree that a new one goes on from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backstay.agent.destination.manifest import Manifest
from backstay.agent.fs.listing import Listing, Totals, totals_of
from backstay.agent.tree.scan import Scan

NOTHING: Final = Totals()


@dataclass(frozen=True, slots=True)
class Base:
    """The tree that a new one goes on from."""

    run: str
    manifest: Manifest
    strange: bool = False
    """It is of another disk or directory, whose inode numbers and times prove nothing here."""
    rotten: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    """By directory: files of it that are known not to be what was copied."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a walk found, against the base."""

    scan: Scan
    base: Base | None
    before: dict[bytes, Listing]
    """The base's listings of directories that changed or went."""
    removed: tuple[bytes, ...]
    totals: Totals
    unread: Totals = NOTHING
    """What the base has below directories that cannot be read now."""


def compare(found: Scan, base: Base | None) -> Difference:
    """Given a walk and the base (None: there is none), return the difference."""
    if base is None:
        _drop_vanished(found, {})
        _leave_out_unreadable(found, {})
        totals = sum((totals_of(one) for one in found.changed.values()), Totals())
        return Difference(found, None, {}, (), totals)
    manifest = base.manifest
    parents = {os.path.dirname(path) for path in (*found.vanished, *found.unreadable)}
    before = manifest.listings(found.changed.keys() | parents)
    _drop_vanished(found, before)
    _leave_out_unreadable(found, before)
    removed = _removed(found, before, manifest)
    before |= manifest.listings(removed)
    relevant = {*found.changed, *removed}
    totals = manifest.totals
    for path, listing in before.items():
        if path in relevant:
            totals -= totals_of(listing)
    totals = sum((totals_of(one) for one in found.changed.values()), totals)
    lost = {*found.unreadable}
    below = (totals_of(before[path]) for path in removed if _is_below(path, lost))
    return Difference(found, base, before, removed, totals, sum(below, Totals()))


def _drop_vanished(found: Scan, before: dict[bytes, Listing]) -> None:
    """Take directories that vanished between two calls out of their parents' listings."""
    for path in found.vanished:
        parent, _, name = path.rpartition(b"/")
        listing = found.changed.get(parent) or before.get(parent)
        at = listing.find(name) if listing is not None else None
        if listing is None or at is None or not listing.stats[at].is_directory:
            continue
        names, stats = list(listing.names), list(listing.stats)
        del names[at], stats[at]
        found.changed[parent] = Listing(names, stats)


def _leave_out_unreadable(found: Scan, before: dict[bytes, Listing]) -> None:
    """Have directories that cannot be read in their parents' listings as what the tree lacks, with
    a ctime that no inode has: the next run looks at them again.
    """
    for path, why in found.unreadable.items():
        parent, _, name = path.rpartition(b"/")
        listing = found.changed.get(parent) or before.get(parent)
        at = listing.find(name) if listing is not None else None
        if listing is None or at is None:
            continue  # not even its inode could be had, so it is in no listing
        stats = list(listing.stats)
        stats[at] = stats[at]._replace(ctime=0)
        notes = {**listing.notes} if parent in found.changed else {}
        notes[name] = {"omitted": True, "unreadable": why}
        found.changed[parent] = Listing(listing.names, stats, notes=notes)


def _removed(found: Scan, before: dict[bytes, Listing], manifest: Manifest) -> tuple[bytes, ...]:
    """The base's directories that the source does not have any more."""
    roots = set()
    for path, listing in found.changed.items():
        if path in before:
            gone = set(before[path].subdirectories()) - set(listing.subdirectories())
            roots |= {path + b"/" + name if path else name for name in gone}
    if not roots:
        return ()
    return tuple(path for path in manifest.digests if _is_below(path, roots))


def _is_below(path: bytes, roots: set[bytes]) -> bool:
    while path:
        if path in roots:
            return True
        path = os.path.dirname(path)
    return False
