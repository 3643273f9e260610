"""Build a new tree from a scan and the last tree.

Invariants: a tree is made under a name that nobody takes for a copy; unchanged directories are
linked (or are there already, in a snapshot), changed ones are placed entry by entry; hard links of
the source are hard links of the tree.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Set
from typing import NamedTuple

from backstay.agent.fs.attributes import needs_copy
from backstay.agent.fs.copy_file import BIG
from backstay.agent.fs.failures import at as at_entry
from backstay.agent.fs.failures import worded
from backstay.agent.fs.inode import Stat
from backstay.agent.fs.metadata import inherit_nothing
from backstay.agent.fs.parallel import batches, spread
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent
from backstay.agent.tree.built import Built, Entries, Part, assembled
from backstay.agent.tree.context import Plan, Spot, at_work
from backstay.agent.tree.hard_links import place_linked
from backstay.agent.tree.place_entry import place
from backstay.agent.tree.placed import NOTHING, UNFIT, UNLINKABLE, How, link, unfit
from backstay.agent.tree.reuse import Intact, clear_changed, intact, reuse

_BATCH = 256  # entries that a process takes at a time
Item = tuple[bytes, int, int]
"""A directory and a range of its entries."""


def build(plan: Plan) -> Built:
    """Given a plan, build the tree but for its directories' owners, modes and times.

    Raise DataError where the source cannot be read or the tree cannot be written.
    """
    if plan.onto:
        _remove_what_went(plan)
    elif plan.spare:
        clear_changed(plan)
    built = Built(vanished=list(plan.scan.vanished))
    found = {path: Entries([None] * len(one.names)) for path, one in plan.scan.changed.items()}

    def entries(path: bytes) -> Entries:
        if path not in found:
            found[path] = Entries(list(plan.now(path).extras))
        return found[path]

    linked = {entry.directory for entry in plan.scan.linked}
    for done in spread(lambda unit: _do(plan, linked, unit), _units(plan), plan.processes):
        built.how = built.how.plus(done.how)
        if plan.progress is not None:
            plan.progress(built.how.copied_bytes, built.how.copied)
        built.intact |= {one.path: one for one in done.intact}
        for path, start, extras, odd in done.parts:
            those = entries(path)
            those.extras[start : start + len(extras)] = extras
            those.odd.update(odd)
    for path, at, one in place_linked(plan):
        built.how = built.how.plus(one.how if one is not None else NOTHING)
        # A link to what another directory's walk saw later may not be what this one saw.
        if (
            path in found
            or one is None
            or one.how.copied
            or (one.stat, one.extra, one.note, one.record) != plan.now(path).known(at)
        ):
            entries(path).odd[at] = one
    for path, those in found.items():
        built.listings[path] = assembled(path, plan.now(path), those, built)
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
                kept = kept and not now.is_omitted(name)
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


class _Done(NamedTuple):
    """What was done in some directories."""

    parts: list[Part]
    """To be recorded."""
    how: How
    intact: list[Intact]


def _do(plan: Plan, linked: Set[bytes], unit: list[Item]) -> _Done:
    """Place the entries of some directories; `linked` have names that place_linked() places."""
    source = Descent(plan.source)
    whole = _intact_of(plan, linked, unit)
    finished = {one.path for one in whole}
    parts: list[Part] = []
    done = [How(linked=sum(one.files for one in whole))]
    for path, start, stop in unit:
        if path in finished:
            continue
        part = Part(path, start, [], {})
        at_entry(path)
        work = _place_range if path in plan.scan.changed else _link_range
        try:
            with at_work(plan, path, source) as spot:
                done += work(spot, range(start, stop), part)
        except OSError as error:
            if error.errno in UNFIT:
                raise unfit(path, error) from error
            if error.errno not in VANISHED:
                raise worded(error) from error
            stats = plan.now(path).stats
            gone = [at for at in range(start, stop) if not stats[at].is_directory]
            part = Part(path, start, [], dict.fromkeys(gone))
        if part.extras or part.odd:
            parts.append(part)
    source.close()
    return _Done(parts, NOTHING.plus(*done), whole)


def _intact_of(plan: Plan, linked: Set[bytes], unit: list[Item]) -> list[Intact]:
    if not plan.spare or plan.old is None:
        return []
    new, old = Descent(plan.new), Descent(plan.old)
    paths = [path for path, _, _ in unit if path in plan.unchanged and path not in linked]
    found = [intact(plan, path, new, old) for path in paths]
    new.close()
    old.close()
    return [one for one in found if one is not None]


def _place_range(spot: Spot, places: Iterable[int], part: Part) -> list[How]:
    """Place entries of a directory that differs, and enter all of them."""
    done: list[How] = []
    names, stats = spot.now.names, spot.now.stats
    for at in places:
        seen = stats[at]
        extra = b"" if seen.is_directory else None
        if not _is_for_later(seen):
            one = place(spot, names[at], seen)
            if one is None or one.stat != seen or one.note or one.record or one.moved:
                part.odd[at] = one
            else:
                extra = one.extra
            done += [one.how] if one is not None else []
        part.extras.append(extra)
    return done


def _link_range(spot: Spot, places: Iterable[int], part: Part) -> list[How]:
    """Link entries of an unchanged directory, and enter those that could not be."""
    done: list[How] = []
    linked = 0
    there = reuse(spot) if spot.reused else set()
    for at in places:
        seen = spot.now.stats[at]
        if _is_for_later(seen):
            continue
        if os.fsdecode(spot.now.names[at]) in there or _linked_at_once(spot, at):
            linked += 1
            continue
        if spot.reused:
            inherit_nothing(spot.new)
        one = part.odd[at] = place(spot, spot.now.names[at], seen)
        done += [one.how] if one is not None else []
    return [*done, How(linked=linked)]


def _is_for_later(seen: Stat) -> bool:
    """Directories are other items' business, shared inodes that of place_linked()."""
    return seen.is_directory or seen.links > 1


def _linked_at_once(spot: Spot, at: int) -> bool:
    """Link an entry of an unchanged directory; False if that needs a closer look."""
    name = spot.now.names[at]
    if name in spot.now.notes or spot.old is None:
        return False
    if needs_copy(spot.now.records.get(name, {})):
        return False
    try:
        link(name, spot.old, name, spot.new)
    except OSError as error:
        if error.errno in UNLINKABLE or error.errno in VANISHED:
            return False
        at_entry(spot.path, name)
        raise
    return True
