"""Files that share an inode in the source share one in the tree."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from backstay.agent.failing import at as at_entry
from backstay.agent.files import inherit_nothing
from backstay.agent.paths import VANISHED, Descent
from backstay.agent.place import UNLINKABLE, How, Placed, discard, is_live, link, place
from backstay.agent.scan import Linked
from backstay.agent.spot import Plan, Spot, at_work


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
    leader: tuple[bytes, Placed] | None = None
    for member in sorted(members):
        at = plan.now(member.directory).find(member.name)
        if at is None:
            continue
        at_entry(member.directory, member.name)
        try:
            with at_work(plan, member.directory, source) as spot:
                # What a name's own log holds, no other name of the database shows.
                follows = leader is not None and not is_live(spot, member.name)
                placed = _follow(plan, spot, member, leader) if leader and follows else None
                if placed is None:
                    if spot.reused:
                        inherit_nothing(spot.new)
                    placed = place(spot, member.name, spot.now.stats[at])
                    if placed is not None and not placed.note:
                        leader = os.path.join(member.directory, member.name), placed
        except OSError as error:
            if error.errno not in VANISHED:
                raise
            placed = None
        yield member.directory, at, placed


def _follow(plan: Plan, spot: Spot, member: Linked, leader: tuple[bytes, Placed]) -> Placed | None:
    """Make one more link to what the first one became; None where it takes no more."""
    path, first = leader
    try:
        if _is_same(path, plan.new, member.name, spot.new):
            return first._replace(how=How(linked=1))  # in the snapshot already
        discard(member.name, spot.new)
        link(path, plan.new, member.name, spot.new)
    except OSError as error:
        if error.errno in UNLINKABLE:
            return None
        raise
    return first._replace(how=How(linked=1))


def _is_same(path: bytes, root: int, name: bytes, directory: int) -> bool:
    try:
        other = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.stat(path, dir_fd=root, follow_symlinks=False), other)
