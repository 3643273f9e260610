"""Build a new tree from a scan and the last tree.

Invariants: a tree is made under a name that nobody takes for a copy; unchanged directories are
linked (or are there already, in a snapshot), changed ones are placed entry by entry; hard links of
the source are hard links of the tree; directories get their owner, mode and times last; and at the
end every directory that was touched has exactly the names that its listing has.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from backstay.agent.files import BIG, dress
from backstay.agent.linked import place_linked
from backstay.agent.listing import ROOT, Listing, Stat, stat_of
from backstay.agent.manifest import Damaged
from backstay.agent.parallel import batches, spread
from backstay.agent.paths import DIRECTORY, VANISHED, Descent, printable
from backstay.agent.place import NOTHING, UNLINKABLE, How, Placed, link, place
from backstay.agent.spot import Plan, Spot, at_work
from backstay.domain.errors import DataError

_BATCH = 256  # entries that a process takes at a time
_DIRECTORIES = 64


@dataclass(slots=True)
class Built:
    """What was built."""

    listings: dict[bytes, Listing] = field(default_factory=dict)
    """Of directories that differ from the last manifest, complete."""
    how: How = NOTHING
    vanished: list[bytes] = field(default_factory=list)
    moved: list[bytes] = field(default_factory=list)
    databases: list[bytes] = field(default_factory=list)
    deferred: list[bytes] = field(default_factory=list)


Item = tuple[bytes, int, int]
"""A directory and a range of its entries."""
Answer = tuple[bytes, int, Placed | None]
"""A directory, a place in its listing, and what became of that entry (None: it vanished)."""


def build(plan: Plan) -> Built:
    """Given a plan, build the tree but for its directories' owners, modes and times.

    Raise DataError where the source cannot be read or the tree cannot be written.
    """
    if plan.onto:
        _remove_what_went(plan)
    built = Built(vanished=list(plan.scan.vanished))
    placed: dict[bytes, dict[int, Placed | None]] = {path: {} for path in plan.scan.changed}
    for answers, linked in spread(lambda unit: _do(plan, unit), _units(plan), plan.processes):
        built.how = built.how.plus(How(linked=linked))
        for path, at, one in answers:
            placed.setdefault(path, {})[at] = one
    for path, at, one in place_linked(plan):
        if path in placed or one is None or one.how.copied:
            placed.setdefault(path, {})[at] = one
        elif one is not None:
            built.how = built.how.plus(one.how)
    for path, found in placed.items():
        built.listings[path] = _assembled(path, plan.now(path), found, built)
    return built


def _remove_what_went(plan: Plan) -> None:
    """Take out of a snapshot what the source does not have, or has as another kind of thing."""
    for path, now in plan.scan.changed.items():
        before = plan.before.get(path)
        if before is None:
            continue
        try:
            new = os.open(path or b".", DIRECTORY, dir_fd=plan.new)
        except FileNotFoundError:
            continue  # it went with its parent
        try:
            for name in before.stored():
                was, at = before.stats[before.index(name)], now.find(name)
                kept = at is not None and now.stats[at].is_directory == was.is_directory
                if not kept and was.is_directory:
                    shutil.rmtree(name, dir_fd=new)
                elif not kept:
                    os.unlink(name, dir_fd=new)
        finally:
            os.close(new)


def _units(plan: Plan) -> list[list[Item]]:
    """Work in pieces of about the same length, the biggest files first and alone."""
    small: list[tuple[Item, int]] = [
        ((path, 0, count), count // 2 + 4) for path, count in plan.unchanged.items()
    ]
    big: list[tuple[int, Item]] = []
    for path, found in plan.scan.changed.items():
        start = 0
        for at, one in enumerate(found.stats):
            if one.is_regular and one.size >= BIG:
                small += _ranges(path, start, at)
                big.append((one.size, (path, at, at + 1)))
                start = at + 1
        small += _ranges(path, start, len(found.stats))
    big.sort(reverse=True)
    return [[item] for _, item in big] + batches(small, _BATCH)


def _ranges(path: bytes, start: int, end: int) -> Iterable[tuple[Item, int]]:
    # At least one, also for an empty directory: it has to be made.
    for at in range(start, max(end, start + 1), _BATCH):
        stop = min(at + _BATCH, end)
        yield (path, at, stop), stop - at + 4


def _do(plan: Plan, unit: list[Item]) -> tuple[list[Answer], int]:
    """Place the entries of some directories; return what is to be recorded, and how many entries
    of unchanged directories were linked.
    """
    source = Descent(plan.source)
    answers: list[Answer] = []
    linked = 0
    for path, start, stop in unit:
        changed = path in plan.scan.changed
        try:
            with at_work(plan, path, source, defer=plan.defer) as spot:
                for at in range(start, stop):
                    if _is_for_later(spot.now, at):
                        continue
                    if not changed and _linked_at_once(spot, at):
                        linked += 1
                    else:
                        one = place(spot, spot.now.names[at], spot.now.stats[at])
                        answers.append((path, at, one))
        except OSError as error:
            if error.errno not in VANISHED:
                raise DataError(f"{printable(path) or '.'}: {error}") from error
            answers += [(path, at, None) for at in range(start, stop)]
    source.close()
    return answers, linked


def _is_for_later(now: Listing, at: int) -> bool:
    """Directories are other items' business, shared inodes that of place_linked()."""
    one = now.stats[at]
    return one.is_directory or one.links > 1


def _linked_at_once(spot: Spot, at: int) -> bool:
    """Link an entry of an unchanged directory; False if that needs a closer look."""
    name = spot.now.names[at]
    if name in spot.now.notes or spot.old is None:
        return False
    try:
        link(name, spot.old, name, spot.new)
    except OSError as error:
        if error.errno in UNLINKABLE or error.errno in VANISHED:
            return False
        raise
    return True


def _assembled(path: bytes, now: Listing, found: dict[int, Placed | None], built: Built) -> Listing:
    """Return the listing of a directory as it came to be, and count what happened in it."""
    result = Listing([], [])
    for at, (name, one) in enumerate(zip(now.names, now.stats, strict=True)):
        placed = found.get(at)
        full = path + b"/" + name if path else name
        if placed is not None:
            _count(full, placed, built)
            result.notes |= {name: placed.note} if placed.note else {}
            result.stats.append(placed.stat)
            result.extras.append(placed.extra)
        elif one.is_directory:
            result.stats.append(one)
            result.extras.append(b"\0")
        elif at in found or not now.extras:
            built.vanished.append(full)
            continue
        else:
            result.stats.append(one)
            result.extras.append(now.extras[at])
            result.notes |= {name: now.notes[name]} if name in now.notes else {}
        result.names.append(name)
    return result


def _count(path: bytes, placed: Placed, built: Built) -> None:
    built.how = built.how.plus(placed.how)
    if placed.moved:
        built.moved.append(path)
    if placed.deferred:
        built.deferred.append(path)
    if placed.note.get("database"):
        built.databases.append(path)


def dress_directories(plan: Plan, built: Built) -> None:
    """Given a built tree, compare each directory that was touched with its listing and give the
    directories in it owner, attributes, mode and times. Raise Damaged for any difference.
    """
    changed = set(plan.scan.changed) | set(built.listings)
    if plan.onto:
        parents = {os.path.dirname(path) for path in changed if path}
        touched = sorted(changed | parents)
    else:
        touched = sorted(changed | plan.unchanged.keys())
    units = [touched[at : at + _DIRECTORIES] for at in range(0, len(touched), _DIRECTORIES)]
    for answers in spread(lambda unit: _dress(plan, built, unit), units, plan.processes):
        for path, at, extra in answers:
            built.listings[path].extras[at] = extra


def _dress(plan: Plan, built: Built, unit: list[bytes]) -> list[tuple[bytes, int, bytes]]:
    source = Descent(plan.source)
    answers: list[tuple[bytes, int, bytes]] = []
    for path in unit:
        listing = built.listings.get(path) or plan.before[path]
        before = plan.before.get(path) if plan.onto else None
        new = os.open(path or b".", DIRECTORY, dir_fd=plan.new)
        try:
            there = sorted(os.fsencode(name) for name in os.listdir(new))
            if there != listing.stored():
                raise Damaged(f"{printable(path) or '.'}: {_difference(there, listing.stored())}")
            for at, (name, one) in enumerate(zip(listing.names, listing.stats, strict=True)):
                if not one.is_directory:
                    continue
                full = path + b"/" + name if path and name != ROOT else name
                below = b"" if name == ROOT else full
                kept = _kept(before, name, one, new)
                if kept is not None:
                    answers += [(path, at, kept)] if path in built.listings else []
                    continue
                known = listing.extras[at] == b"\0" and path not in built.listings
                flag = _dress_one(new, name, one, None if known else source, below)
                if path in built.listings:
                    answers.append((path, at, flag))
        finally:
            os.close(new)
    source.close()
    return answers


def _kept(before: Listing | None, name: bytes, one: Stat, new: int) -> bytes | None:
    """Given what a snapshot had (None: it is none), a directory in it and where that is now, return
    its extra if it is as it must be: to set the same again would cost a copy of its metadata.
    """
    at = before.find(name) if before is not None else None
    if before is None or at is None or before.stats[at] != one:
        return None
    there = stat_of(os.stat(name, dir_fd=new, follow_symlinks=False))
    if (*there[:3], there.mtime) != (*one[:3], one.mtime):
        return None  # something was put into it, or taken out
    return before.extras[at]


def _dress_one(new: int, name: bytes, one: Stat, source: Descent | None, path: bytes) -> bytes:
    """Given a directory in the new tree, dress it like the source's; without a source it is known
    to have no attributes.
    """
    if source is None:
        os.chown(name, one.uid, one.gid, dir_fd=new, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(one.mode), dir_fd=new)
        os.utime(name, ns=(one.mtime, one.mtime), dir_fd=new, follow_symlinks=False)
        return b"\0"
    fd = os.open(name, DIRECTORY, dir_fd=new)
    try:
        try:
            original = source(path)
        except OSError as error:
            if error.errno not in VANISHED:
                raise
            original = fd  # it has just gone: its content is here, its attributes are lost
        return b"\1" if dress(fd, one, original, fresh=False) else b"\0"
    finally:
        os.close(fd)


def _difference(there: list[bytes], wanted: list[bytes]) -> str:
    missing, extra = set(wanted) - set(there), set(there) - set(wanted)
    example = printable(min(missing or extra or {b"?"}))
    return f"the copy misses {len(missing)} and has {len(extra)} names too many, as {example}"
