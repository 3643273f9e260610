"""What of a point a restore is about, and what of the target it leaves alone.

Invariants: everything is looked up before anything is touched; nothing outside of the chosen paths
is in a choice, but for the journal of a database that was taken as the files that were there,
without which that is none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backstay.agent.destination.layout import Folder
from backstay.agent.destination.manifest import Manifest
from backstay.agent.destination.points import read_points, staged_point
from backstay.agent.fs.inode import NO_HASH
from backstay.agent.fs.listing import ROOT, Known, Listing
from backstay.agent.fs.paths import DIRECTORY, printable
from backstay.agent.fs.sqlite import SIBLINGS
from backstay.agent.target.above import is_below, parents_of
from backstay.agent.tree.scan import Walk, scan
from backstay.domain.errors import DataError, UserError
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.stores.copies.points import RUN, RollingPoint

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Chosen:
    """The part of a manifest that is restored, without what lies above it."""

    paths: tuple[bytes, ...]
    """() is everything."""
    directories: Mapping[bytes, Listing]
    files: Mapping[bytes, Known]
    listings: Mapping[bytes, Listing]
    """All of the point's."""
    tops: Mapping[bytes, Known] = field(default_factory=dict)
    """The chosen directories themselves."""
    above: Mapping[bytes, Known] = field(default_factory=dict)
    """Directories that lead to what was chosen, and are none of it."""
    verifiable: bool = True
    """False: its manifest is damaged, and this is the tree as it is."""
    spared: tuple[bytes, ...] = ()
    """Paths of the target that are left as they are, for they cannot go and the point has none."""
    removes_first: bool = False

    @property
    def count(self) -> int:
        return len(self.files) + sum(len(one.names) for one in self.directories.values())


def choose(folder: Folder, tree: str, paths: Sequence[bytes], said: Acknowledged) -> Chosen:
    """Given a series' folder, a tree, the paths that are wanted and what was acknowledged, return
    what is restored. Raise UserError for a path that the point does not have, DataError where its
    manifest is damaged.
    """
    listings: Mapping[bytes, Listing]
    try:
        listings, verifiable = Manifest.load(folder.manifest(tree)).listings(), True
    except DataError as error:
        why = DataError(f"the copy cannot be compared with what was recorded: {error.message}")
        said.pass_over(Word.UNVERIFIED, why)
        listings, verifiable = _as_it_is(folder, tree), False
    if not paths:
        return Chosen((), listings, {}, listings, verifiable=verifiable)
    directories: dict[bytes, Listing] = {}
    files: dict[bytes, Known] = {}
    tops: dict[bytes, Known] = {}
    for path in paths:
        _add(path, listings, directories, files, tops)
    above = {part for path in paths for part in parents_of(path)} - directories.keys()
    return Chosen(
        tuple(dict.fromkeys((*paths, *files))),
        directories,
        files,
        listings,
        tops,
        {path: _own(listings, path) for path in above},
        verifiable,
    )


def _own(listings: Mapping[bytes, Listing], path: bytes) -> Known:
    """What is recorded of a directory itself."""
    parent, _, name = path.rpartition(b"/")
    listing = listings[parent]
    return listing.known(listing.index(name or ROOT))


def _as_it_is(folder: Folder, tree: str) -> Mapping[bytes, Listing]:
    """What a tree has, where nobody can say any more what it should have."""
    fd = os.open(folder.data(tree), DIRECTORY)
    try:
        found = scan(Walk(source=fd, known={}), processes=1).changed
    finally:
        os.close(fd)
    for one in found.values():
        one.extras = [NO_HASH] * len(one.names)
    return found


def _add(
    path: bytes,
    listings: Mapping[bytes, Listing],
    directories: dict[bytes, Listing],
    files: dict[bytes, Known],
    tops: dict[bytes, Known],
) -> None:
    parent, _, name = path.rpartition(b"/")
    listing = listings.get(parent)
    at = listing.find(name) if listing is not None else None
    if listing is None or at is None or listing.known(at)[2].get("omitted"):
        raise UserError(
            "PathNotInPoint", f"spec.directory.paths: the point has no {printable(path)}"
        )
    if listing.stats[at].is_directory:
        below = path + b"/"
        directories |= {p: o for p, o in listings.items() if p == path or p.startswith(below)}
        tops[path] = listing.known(at)
        return
    files[path] = listing.known(at)
    if files[path][2].get("asFiles"):
        there = (listing.find(name + suffix) for suffix in SIBLINGS)
        logs = [place for place in there if place is not None]
        prefix = parent + b"/" if parent else b""
        files |= {prefix + listing.names[place]: listing.known(place) for place in logs}


def find_tree(folder: Folder, stamp: str) -> RollingPoint:
    """Given a series' folder and a stamp, return that point; where its file is damaged, what the
    tree that it was made with says of it. Raise UserError if there is none.
    """
    points = read_points(folder)
    point = points.by_stamp(stamp)
    if point is None and any(why.startswith(f"{stamp}.json") for why in points.damaged):
        point = _staged(folder, stamp)
    if point is None:
        raise UserError(
            "PointNotFound", f"spec.from: the directory has no point {stamp} that can be read"
        )
    return point


def _staged(folder: Folder, stamp: str) -> RollingPoint | None:
    for tree in sorted(folder.trees.iterdir()):
        if not RUN.fullmatch(tree.name):
            continue
        try:
            point = staged_point(tree)
        except DataError:
            continue
        if point.stamp == stamp:
            return point
    return None


def sort_out_mounts(
    chosen: Chosen, target: int, mounts: Sequence[bytes], said: Acknowledged
) -> tuple[bytes, ...]:
    """Given a choice, the open target, the paths in it at which something is mounted, and what was
    acknowledged, return those that are left alone, for the point has nothing there.

    Raise UserError where the point has something that cannot take their place, or something that
    would be restored into them and nobody said that it should.
    """
    spared: set[bytes] = set()
    into: list[bytes] = []
    for path in mounts:
        if is_below(path, spared) or not _is_chosen(chosen, path):
            continue
        is_directory = stat.S_ISDIR(os.stat(path, dir_fd=target, follow_symlinks=False).st_mode)
        if path in chosen.directories and is_directory:
            into.append(path)
        elif _has_nothing_at(chosen, path):
            spared.add(path)
        else:
            raise UserError(
                "MountInTheWay",
                f"spec.directory: something is mounted at {printable(path)} where the point has"
                " another kind of thing; unmount it, or restore into a new directory",
            )
    if into:
        shown = ", ".join(map(printable, into[:_SHOWN]))
        more = f" and {len(into) - _SHOWN} more" if len(into) > _SHOWN else ""
        refusal = UserError(
            "MountsInside",
            f"spec.directory: other file systems are mounted inside the directory, at {shown}"
            f"{more}, where the point has directories too, and what these have not would be"
            " removed; unmount them, choose other paths, or restore into a new directory",
        )
        said.pass_over(Word.MOUNTS_INSIDE, refusal)
    return tuple(sorted(spared))


def _is_chosen(chosen: Chosen, path: bytes) -> bool:
    return not chosen.paths or is_below(path, {*chosen.paths})


def _has_nothing_at(chosen: Chosen, path: bytes) -> bool:
    """Whether the point has neither the path nor anything but directories above it."""
    while path:
        parent, _, name = path.rpartition(b"/")
        listing = chosen.listings.get(parent)
        if listing is not None:
            return name not in listing.stored()
        path = parent
    return False
