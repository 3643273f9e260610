"""Files that share an inode in the source share one in the tree.

Invariant: names are one inode only if all that is said of them is the same, not the number alone: a
file system in user space may hand on the numbers of several disks as those of one.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from backstay.agent.fs.failures import at as at_entry
from backstay.agent.fs.inode import Stat, stat_of
from backstay.agent.fs.metadata import inherit_nothing
from backstay.agent.fs.paths import VANISHED, Descent, open_beneath
from backstay.agent.tree.context import Plan, Spot, at_work
from backstay.agent.tree.live_databases import is_live
from backstay.agent.tree.place_entry import place
from backstay.agent.tree.placed import UNLINKABLE, How, Placed, discard, link
from backstay.agent.tree.scan import Linked


class _Leader(NamedTuple):
    """The first name of an inode."""

    path: bytes
    placed: Placed
    seen: Stat
    """As the walk saw it."""


def place_linked(plan: Plan) -> Iterator[tuple[bytes, int, Placed | None]]:
    """Given a plan, place every entry that has more than one link: the first of each inode like
    any other, the rest as links to it. Yield directory, place in its listing and what it became.

    One process does it: two that meet at an inode would each copy it.
    """
    groups: dict[tuple[int, int], list[Linked]] = defaultdict(list)
    for entry in plan.scan.linked:
        groups[entry.device, entry.inode].append(entry)
    source = Descent(plan.source)
    for members in groups.values():
        if plan.onto and not any(m.directory in plan.scan.changed for m in members):
            continue
        yield from _place_group(plan, source, members)
    source.close()


def _place_group(
    plan: Plan, source: Descent, members: list[Linked]
) -> Iterator[tuple[bytes, int, Placed | None]]:
    leader: _Leader | None = None
    for member in sorted(members):
        at = plan.now(member.directory).find(member.name)
        if at is None:
            continue
        at_entry(member.directory, member.name)
        try:
            with at_work(plan, member.directory, source) as spot:
                seen = spot.now.stats[at]
                # What a name's own log holds, no other name of the database shows.
                follows = leader is not None and not is_live(spot, member.name)
                placed = (
                    _follow(plan, spot, member.name, leader, seen) if leader and follows else None
                )
                if placed is None:
                    if spot.reused:
                        inherit_nothing(spot.new)
                    placed = place(spot, member.name, seen)
                    if placed is not None and not placed.note:
                        path = os.path.join(member.directory, member.name)
                        leader = _Leader(path, placed, seen)
        except OSError as error:
            if error.errno not in VANISHED:
                raise
            placed = None
        yield member.directory, at, placed


def _follow(plan: Plan, spot: Spot, name: bytes, leader: _Leader, seen: Stat) -> Placed | None:
    """Make one more link to what the first one became; None where it takes no more, or is another
    inode.
    """
    path, first, _ = leader
    if seen != leader.seen and not _is_one_now(plan, spot, name, path):
        return None
    try:
        if _is_same(path, plan.new, name, spot.new):
            return first._replace(how=How(linked=1))  # in the snapshot already
        discard(name, spot.new)
        link(path, plan.new, name, spot.new)
    except OSError as error:
        if error.errno in {*UNLINKABLE, errno.ENOENT}:
            return (
                None  # or it is gone, or a name that the destination cannot have: place() says so
            )
        raise
    return first._replace(how=How(linked=1))


def _is_one_now(plan: Plan, spot: Spot, name: bytes, path: bytes) -> bool:
    """Whether two names that the walk saw differently are one inode, which changed in between."""
    parent, _, other = path.rpartition(b"/")
    directory = open_beneath(plan.source, parent)
    try:
        first = os.stat(other, dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(directory)
    now = os.stat(name, dir_fd=spot.source, follow_symlinks=False)
    return os.path.samestat(first, now) and stat_of(first) == stat_of(now)


def _is_same(path: bytes, root: int, name: bytes, directory: int) -> bool:
    try:
        other = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.stat(path, dir_fd=root, follow_symlinks=False), other)
