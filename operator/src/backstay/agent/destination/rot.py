"""What is known to be rotten in the copies of a series: files that are not what was copied.

A scrub, or a verification with content, finds that a file does not have the content on record. All
trees that link the file have it so, and the next copy would link it once more. So what was found
is kept in the series' folder (`rot.json`): the next copy recreates it from the source, a list says
which points have it, and a restore says so before it begins.

Invariants: a rotten file is known by its inode and by what its content should be, so another file
that gets the inode's number later is none; names do not matter, for a tree is searched for it; what
is known of rot never makes a tree less than it is: forgetting it costs finding it again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from backstay.agent.destination.layout import Folder, write_durably
from backstay.agent.destination.locks import is_read_only, moment
from backstay.agent.destination.manifest import Manifest
from backstay.agent.fs.failures import worded
from backstay.agent.fs.listing import Listing
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent
from backstay.agent.results import examples
from backstay.agent.tasks import Where
from backstay.domain.errors import BackstayError, DataError, UserError
from backstay.domain.stores.copies.points import RollingPoint

_NAME: Final = "rot.json"
MOST: Final = 1000
"""Files that are remembered one by one."""


class Key(NamedTuple):
    """A file that is not as it was copied."""

    inode: int
    digest: bytes
    """The sha256 that it should have."""


@dataclass(frozen=True, slots=True)
class Rot:
    """What is known."""

    trees: Mapping[Key, frozenset[str]]
    """By file: the trees that have it."""
    more: frozenset[str] = frozenset()
    """Trees that have more of it than is remembered: nothing of them is linked on."""

    def count(self, tree: str) -> int:
        """Given a tree, return how many files of it are known to be rotten, at least."""
        return sum(tree in trees for trees in self.trees.values()) + (tree in self.more)


NONE: Final = Rot({})


def read_rot(folder: Folder) -> Rot:
    """Given a series' folder, return what is known of rot in it."""
    try:
        raw = json.loads((folder.path / _NAME).read_text(encoding="utf-8"))
        trees = {
            Key(int(one["inode"]), bytes.fromhex(one["sha256"])): frozenset(map(str, one["trees"]))
            for one in raw["files"]
        }
        return Rot(trees, frozenset(map(str, raw["more"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NONE  # there is none, or it is found again


def remember(
    where: Where, folder: Folder, found: Iterable[Key], forget: Iterable[Key] = ()
) -> None:
    """Given where, a series' folder, what was found rotten and what was found to be right again,
    remember that; on a disk that is read-only nothing can be.
    """
    new = set(found)
    if is_read_only(where) or (not new and read_rot(folder) == NONE):
        return
    places = _trees_with(folder, new)
    # Two who read may have found something; none of them has more than a shared lock.
    with moment(where):
        known = read_rot(folder)
        there = {path.name for path in folder.trees.iterdir()}
        gone = {*forget} - new
        trees = {key: was & there for key, was in known.trees.items() if key not in gone}
        trees |= {key: trees.get(key, frozenset()) | places[key] for key in new}
        _write(folder, known, {key: names for key, names in trees.items() if names})


def add_tree(where: Where, folder: Folder, tree: str, keys: Collection[Key]) -> None:
    """Given a tree in which known rot was found, remember that it has it."""
    known = read_rot(folder)
    if all(tree in known.trees.get(key, ()) for key in keys):
        return
    with moment(where):
        known = read_rot(folder)
        trees = dict(known.trees)
        trees |= {key: trees.get(key, frozenset()) | {tree} for key in keys}
        _write(folder, known, trees)


def _write(folder: Folder, known: Rot, trees: Mapping[Key, frozenset[str]]) -> None:
    ordered = sorted(trees.items())
    more = known.more.union(*(names for _, names in ordered[MOST:]))
    there = {path.name for path in folder.trees.iterdir()}
    now = Rot(dict(ordered[:MOST]), more & there)
    if now == known:
        return
    files = [
        {"inode": key.inode, "sha256": key.digest.hex(), "trees": sorted(names)}
        for key, names in now.trees.items()
    ]
    text = json.dumps({"files": files, "more": sorted(now.more)})
    write_durably(folder.path / _NAME, text + "\n")


def _trees_with(folder: Folder, keys: Collection[Key]) -> dict[Key, frozenset[str]]:
    """By file: the trees that have it."""
    found: dict[Key, set[str]] = {key: set() for key in keys}
    for tree in sorted(folder.trees.iterdir()) if keys else ():
        if tree.name.startswith("."):
            continue
        try:
            listings = Manifest.load(tree / "manifest").listings()
            for _, _, key in rotten_in(folder, tree.name, listings, keys):
                found[key].add(tree.name)
        except (DataError, OSError):
            continue  # what is wrong with a tree itself is reported by itself
    return {key: frozenset(names) for key, names in found.items()}


def rotten_in(
    folder: Folder, tree: str, listings: Mapping[bytes, Listing], keys: Collection[Key]
) -> Iterator[tuple[bytes, bytes, Key]]:
    """Given a tree, its listings and files that are known to be rotten, yield directory, name and
    file of each place in the tree where one of them is.
    """
    digests = {key.digest for key in keys}
    if not digests:
        return
    root = os.open(folder.data(tree), DIRECTORY)
    descent = Descent(root)
    try:
        for path, listing in listings.items():
            for name, key in _in_directory(descent, path, listing, digests):
                if key in keys:
                    yield path, name, key
    finally:
        descent.close()
        os.close(root)


def _in_directory(
    descent: Descent, path: bytes, listing: Listing, digests: Collection[bytes]
) -> Iterator[tuple[bytes, Key]]:
    for at, name in enumerate(listing.names):
        if not listing.stats[at].is_regular or listing.extras[at] not in digests:
            continue
        try:
            now = os.stat(name, dir_fd=descent(path), follow_symlinks=False)
        except OSError as error:
            if error.errno in VANISHED:
                continue
            raise
        yield name, Key(now.st_ino, listing.extras[at])


def known_rot(
    folder: Folder, tree: str, listings: Mapping[bytes, Listing], paths: Collection[bytes] = ()
) -> list[bytes]:
    """Given a tree, its listings and paths in it (none: everything), return the files there that
    are known to be rotten.
    """
    found = rotten_in(folder, tree, listings, read_rot(folder).trees)
    names = [os.path.join(path, name) for path, name, _ in found]
    return sorted(name for name in names if not paths or any(_is_in(name, one) for one in paths))


def insist_on_no_rot(
    folder: Folder,
    point: RollingPoint,
    listings: Mapping[bytes, Listing],
    paths: Collection[bytes] = (),
) -> None:
    """Given a point and what of it is to be restored, raise UserError if some of that is known to
    be rotten, before anything is touched.
    """
    found = known_rot(folder, point.tree, listings, paths)
    if found:
        shown = ", ".join(examples(found)["examples"])
        raise UserError(
            "PointRotten",
            f"spec.from: {len(found)} files of {point.stamp} are known not to be what was copied"
            f" ({shown}); restore them from another point, and of this one the paths without them",
        )


def _is_in(name: bytes, path: bytes) -> bool:
    return name == path or name.startswith(path + b"/")


def remember_differences(
    where: Where, folder: Folder, tree: str, listings: Mapping[bytes, Listing], lines: list[bytes]
) -> None:
    """Given a tree, its listings and what a comparison with all content said of it, remember the
    files with another content.
    """
    problems = (line.rpartition(b": ") for line in lines)
    wrong = {
        name for name, _, why in problems if why == b"another content" or b" bytes, not " in why
    }
    parents = {os.path.dirname(name) for name in wrong}
    some = {path: one for path, one in listings.items() if path in parents}
    root = os.open(folder.data(tree), DIRECTORY)
    descent = Descent(root)
    keys = [
        key
        for path, listing in some.items()
        for name, key in _in_directory(descent, path, listing, {*listing.extras})
        if os.path.join(path, name) in wrong
    ]
    descent.close()
    os.close(root)
    try:
        remember(where, folder, keys)
    except (BackstayError, OSError) as error:
        # What was found is reported all the same.
        sys.stderr.write(f"not remembered: {worded(error).message}\n")
