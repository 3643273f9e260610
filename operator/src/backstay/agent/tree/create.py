"""Make a new tree beside the others, whole and flushed, and then give it its name.

Invariants: until that rename nothing here counts; a tree that has its name is complete, with its
manifest and the point that it was made for, so whoever finds it can publish that.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from backstay.agent.destination.layout import PARTIAL, Folder, flush
from backstay.agent.destination.manifest import Changes, save
from backstay.agent.destination.points import stage_point, to_trash
from backstay.agent.destination.trash import reclaim
from backstay.agent.fs.abilities import Abilities, insist
from backstay.agent.fs.attributes import count_lacks
from backstay.agent.fs.failures import at
from backstay.agent.fs.listing import Encoded, Totals, totals_of
from backstay.agent.fs.metadata import inherit_nothing
from backstay.agent.fs.paths import DIRECTORY
from backstay.agent.fs.probe import probe
from backstay.agent.fs.syscalls import SUBVOLUME_INODE, fsync, make_snapshot, make_subvolume, syncfs
from backstay.agent.fs.throttle import Pace
from backstay.agent.results import answer, examples
from backstay.agent.tasks import CopyTask
from backstay.agent.tree.build import build
from backstay.agent.tree.built import Built
from backstay.agent.tree.context import Plan
from backstay.agent.tree.difference import Base, Difference
from backstay.agent.tree.directory_metadata import ChangedDirectory, set_directory_metadata
from backstay.agent.tree.engines import engines_in
from backstay.agent.tree.free_space import reserved
from backstay.agent.tree.reuse import take_spare
from backstay.domain.stores.copies.points import RollingPoint, lacks_in_words


def make_tree(
    task: CopyTask,
    folder: Folder,
    source: int,
    difference: Difference,
    point_with: Callable[[Totals, Sequence[bytes]], RollingPoint],
) -> tuple[RollingPoint, dict[str, Any]]:
    """Given a task, its series' folder, the opened source, what differs, and what makes a point of
    a tree's totals and what it lacks, make the tree; return the point and the result.

    The point is staged in the tree and still to be written. Raise UserError if there is no room,
    DataError if the tree cannot be made.
    """
    base = difference.base
    # Only here, because an unchanged source needs nothing of it. No run has that name.
    able = probe(folder.trees, f"{PARTIAL}.probe")
    insist(able)
    partial, spare = _begin(task, folder, base)
    with _opened(folder, partial, base, there=bool(spare)) as opened:
        plan = _plan(task, source, opened, spare, difference, able=able)
        with reserved(task, plan) as plan:
            built = build(plan)
        directories = set_directory_metadata(plan, built)
        at(b"trees", os.fsencode(partial.name))
        totals = _totals_after(plan, difference, built)
        lacks = _lacks_after(difference, directories)
        header = {"lacks": lacks, "lacking": able.lacking()}
        changes = _changes(task.run, difference, directories, totals, header)
        save(partial / "manifest", base.manifest if base else None, changes)
        unread = sorted({*difference.scan.unreadable, *built.unreadable})
        point = replace(point_with(totals, unread), lacks=lacks)
        stage_point(partial, point)
        if not able.syncs:
            _flush_by_name(partial)
        syncfs(opened.top)
    at(b"trees", os.fsencode(task.run))
    partial.rename(folder.trees / task.run)
    flush(folder.trees)
    engines = engines_in(difference.scan.changed)
    return point, _result(point, totals, built, _renewed(base, built), engines)


def _begin(task: CopyTask, folder: Folder, base: Base | None) -> tuple[Path, frozenset[bytes]]:
    """Make the folder of the new tree, in place of one that a killed run left; return it, and the
    directories that it has from a pruned tree.
    """
    partial = folder.trees / f"{PARTIAL}{task.run}"
    if partial.exists():
        to_trash(folder, partial)
        reclaim(folder, task.limits.processes)
    spare = take_spare(folder, base, partial) if base is not None else frozenset()
    if not spare:
        partial.mkdir(mode=0o700)
    return partial, spare


class _Opened(NamedTuple):
    """The directories of trees at work."""

    top: int
    """Of the new one: what has its data and its manifest."""
    new: int
    old: int | None
    onto: bool
    """`new` is a snapshot of `old`."""


@contextmanager
def _opened(folder: Folder, partial: Path, base: Base | None, *, there: bool) -> Iterator[_Opened]:
    with ExitStack() as stack:

        def opened(path: Path) -> int:
            fd = os.open(path, DIRECTORY)
            stack.callback(os.close, fd)
            return fd

        top = opened(partial)
        old = opened(folder.data(base.run)) if base is not None else None
        new, onto = _begin_data(top, old, there=there)
        stack.callback(os.close, new)
        yield _Opened(top, new, old, onto)


def _flush_by_name(partial: Path) -> None:
    """Flush what a new tree has beside its data, where syncfs(2) does not."""
    for path in (*(partial / "manifest").iterdir(), *partial.glob("*.json")):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fsync(fd)
        finally:
            os.close(fd)
    for folder in (partial / "manifest", partial):
        flush(folder)


def _begin_data(top: int, old: int | None, *, there: bool) -> tuple[int, bool]:
    """Make the directory of a tree unless it is there; return it, and whether it is a snapshot of
    the old one.
    """
    if there:
        return os.open("data", DIRECTORY, dir_fd=top), False
    onto = False
    if old is not None and os.fstat(old).st_ino == SUBVOLUME_INODE:
        onto = make_snapshot(top, "data", old)
    if not onto and not make_subvolume(top, "data"):
        os.mkdir("data", 0o700, dir_fd=top)
    data = os.open("data", DIRECTORY, dir_fd=top)
    if not onto:
        inherit_nothing(data)
    return data, onto


def _plan(
    task: CopyTask,
    source: int,
    opened: _Opened,
    spare: frozenset[bytes],
    difference: Difference,
    *,
    able: Abilities,
) -> Plan:
    base = difference.base
    before = Encoded({})
    unchanged: dict[bytes, int] = {}
    if base is not None and opened.onto:
        parents = {os.path.dirname(path) for path in difference.scan.changed}
        linked = {entry.directory for entry in difference.scan.linked}
        before = Encoded(base.manifest.blocks(difference.before.keys() | parents | linked))
    elif base is not None:
        before = Encoded(base.manifest.blocks())
        gone = {*difference.scan.changed, *difference.removed}
        unchanged = {path: before.count(path) for path in before if path not in gone}
    return Plan(
        source=source,
        new=opened.new,
        old=opened.old,
        onto=opened.onto,
        scan=difference.scan,
        before=before,
        unchanged=unchanged,
        spare=spare,
        strange=base is not None and base.strange,
        rotten=base.rotten if base is not None else {},
        lenient=task.allow_unreadable,
        pace=Pace(task.limits.bandwidth),
        processes=_processes(task, opened.new),
        able=able,
        renewed=base is not None and base.manifest.lacking != able.lacking(),
        as_files=task.databases_as_files,
    )


def _processes(task: CopyTask, new: int) -> int:
    if os.fstat(new).st_ino == SUBVOLUME_INODE:
        # What they make lies mixed in the leaves of btrfs: with more of them a change touches more
        # of these, and each later snapshot has its own of all that were touched.
        return task.limits.processes
    # Half of them wait for a disk, to read or to write.
    return 2 * task.limits.processes


def _totals_after(plan: Plan, difference: Difference, built: Built) -> Totals:
    """What the tree has, which differs from what the walk saw where the source moved."""
    totals = difference.totals
    for path, listing in built.listings.items():
        seen = plan.now(path)
        if seen.stats is not listing.stats:
            totals = totals - totals_of(seen) + totals_of(listing)
    return totals


def _lacks_after(difference: Difference, directories: Sequence[ChangedDirectory]) -> dict[str, int]:
    """Of how many entries the tree lacks what the manifest has, by kind."""
    found = difference.base.manifest.lacks if difference.base else Counter[str]()
    for one in directories:
        found.update(one.lacks)
    for path in difference.removed:
        found.subtract(count_lacks(difference.before[path].records.values()))
    return {kind: count for kind, count in sorted(found.items()) if count > 0}


def _changes(
    run: str,
    difference: Difference,
    directories: Sequence[ChangedDirectory],
    totals: Totals,
    more: Mapping[str, Any],
) -> Changes:
    base = difference.base
    return Changes(
        digests={one.path: one.digest for one in directories},
        blocks={one.path: one.block for one in directories},
        removed=difference.removed,
        header={
            "run": run,
            "family": (base.manifest.family if base else "") or run,
            "totals": {key: getattr(totals, key) for key in Totals.__slots__},
            **more,
        },
    )


def _renewed(base: Base | None, built: Built) -> list[bytes]:
    """What was recreated, because the older tree is known to have it otherwise than it was."""
    rotten = base.rotten if base is not None else {}
    return [
        os.path.join(path, name)
        for path, names in rotten.items()
        for name in names
        if path in built.listings and built.listings[path].has(name)
    ]


def _result(
    point: RollingPoint,
    totals: Totals,
    built: Built,
    renewed: Sequence[bytes],
    engines: Sequence[bytes],
) -> dict[str, Any]:
    stats = {
        "entries": totals.entries,
        "files": totals.files,
        "directories": totals.directories,
        "bytes": totals.bytes,
        "linked": built.how.linked,
        "copied": built.how.copied,
        "copiedBytes": built.how.copied_bytes,
        "deltas": built.how.deltas,
        "notLinked": built.how.not_linked,
    }
    notes: dict[str, Sequence[bytes]] = {
        "vanished": built.vanished,
        "changedWhileRead": built.moved,
        "databases": built.databases,
        "renewed": renewed,
        "engines": engines,
        "databasesAsFiles": built.as_files,
    }
    lacks = lacks_in_words(point.lacks)
    message = (
        f"{point.stamp}: {totals.files} files, {built.how.linked} entries linked,"
        f" {built.how.copied} copied ({built.how.copied_bytes} bytes){'; ' * bool(lacks)}{lacks}"
    )
    if point.unread is not None:
        message += f"; {point.unread.in_words}"
    found = {key: examples(names) for key, names in notes.items() if names}
    return answer("Copied", message, point=point, stats=stats, notes=found)
