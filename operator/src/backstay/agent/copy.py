"""The verb copy: a new point of a source.

gather (the lock, what is there, a walk) -> decide (unchanged, refused, what is copied) -> build a
tree beside the others -> publish it by a rename, and then its point. A kill at any place leaves
either nothing that counts or a whole tree that the next command publishes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backstay.agent.build import Built, build, dress_directories
from backstay.agent.checks import check_room, check_size, check_source
from backstay.agent.exclude import compile_excludes
from backstay.agent.layout import PARTIAL, Folder, flush, locked, make_folder
from backstay.agent.linux import SUBVOLUME_INODE, make_snapshot, make_subvolume, syncfs
from backstay.agent.listing import Listing, Totals, totals_of
from backstay.agent.manifest import Changes, Damaged, Manifest, save
from backstay.agent.paths import DIRECTORY, open_allowed
from backstay.agent.results import answer, examples
from backstay.agent.rsync import copy_deferred
from backstay.agent.scan import Scan, Walk, scan
from backstay.agent.spot import Plan
from backstay.agent.store import Points, finish, read_points, stage_point, write_point
from backstay.agent.tasks import CopyTask
from backstay.agent.trash import reclaim, remove_tree
from backstay.domain import labels
from backstay.domain.retention import tiers_for_new
from backstay.domain.rolling import STAMP_FORMAT, RollingPoint, point_of, point_uid


@dataclass(frozen=True, slots=True)
class Base:
    """The tree that a new one goes on from."""

    run: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Difference:
    """What a walk found, against the base."""

    scan: Scan
    before: dict[bytes, Listing]
    """The base's listings of directories that changed or went."""
    removed: tuple[bytes, ...]
    totals: Totals


def copy(task: CopyTask, now: datetime) -> dict[str, Any]:
    """Given a task and now, make its point and return the result.

    Raise UserError where a person must act, DataError where it failed, Transient where it may
    work later.
    """
    _be_gentle(task)
    with locked(task.where, exclusive=True) as identity:
        folder = make_folder(task.where.path, task.series)
        finish(folder)
        reclaim(folder, task.limits.processes)
        points = read_points(folder)
        done = points.by_run(task.run)
        if done is not None:
            return answer("AlreadyPublished", f"{done.stamp} is that run's point", point=done)
        return _Copy(task, now, identity, folder, points).run()


def _be_gentle(task: CopyTask) -> None:
    limits = task.limits
    if limits.io_class:
        words = ["-c", "3"] if limits.io_class == "idle" else ["-c", "2", "-n"]
        words += [] if limits.io_class == "idle" else [str(limits.io_priority)]
        subprocess.run(["ionice", *words, "-p", str(os.getpid())], check=True)


@dataclass(slots=True)
class _Copy:
    task: CopyTask
    now: datetime
    identity: str
    folder: Folder
    points: Points

    def run(self) -> dict[str, Any]:
        source = open_allowed(self.task.root, self.task.path, "source")
        destination = os.open(self.task.where.path, DIRECTORY)
        try:
            check_source(self.task, source, destination)
            base = self._base()
            try:
                return self._go_on_from(base, source, destination)
            except Damaged:
                if base is None:
                    raise
            # Whatever is wrong with the base: without it everything comes from the source.
            return self._go_on_from(None, source, destination)
        finally:
            os.close(source)
            os.close(destination)

    def _go_on_from(self, base: Base | None, source: int, destination: int) -> dict[str, Any]:
        difference = self._walk(source, destination, base)
        check_size(self.task, difference.totals, self.points.newest)
        if base is not None and not difference.scan.changed:
            return self._publish_unchanged(base)
        return self._publish_tree(source, base, difference)

    def _base(self) -> Base | None:
        """The newest point's tree; None where there is none or its manifest is damaged."""
        newest = self.points.newest
        if newest is None or not self.folder.data(newest.tree).is_dir():
            return None
        try:
            return Base(newest.tree, Manifest.load(self.folder.manifest(newest.tree)))
        except Damaged:
            return None

    def _walk(self, source: int, destination: int, base: Base | None) -> Difference:
        there = os.fstat(destination)
        walk = Walk(
            source=source,
            known=base.manifest.digests if base else {},
            excluded=compile_excludes(self.task.exclude),
            forbidden=(there.st_dev, there.st_ino),
        )
        found = scan(walk, self.task.limits.processes)
        return compare(found, base.manifest if base else None)

    def _publish_unchanged(self, base: Base) -> dict[str, Any]:
        point = self._point(base.run, base.manifest.totals)
        write_point(self.folder, point)
        return answer("Unchanged", f"{point.stamp} is the tree of {base.run}", point=point)

    def _publish_tree(
        self, source: int, base: Base | None, difference: Difference
    ) -> dict[str, Any]:
        partial = self.folder.trees / f"{PARTIAL}{self.task.run}"
        if partial.exists():
            remove_tree(os.fsencode(partial), self.task.limits.processes)
        partial.mkdir(mode=0o700)
        top = os.open(partial, DIRECTORY)
        old = os.open(self.folder.data(base.run), DIRECTORY) if base is not None else None
        new = -1
        try:
            new, onto = _begin_data(top, old)
            plan = _plan(self.task, (source, new, old), onto, base, difference)
            check_room(self.task, plan)
            built = build(plan)
            copy_deferred(plan, built, self.task.limits.bandwidth)
            dress_directories(plan, built)
            totals = _totals_after(difference, built)
            changes = _changes(self.task.run, difference, built, totals)
            save(partial / "manifest", base.manifest if base else None, changes)
            point = self._point(self.task.run, totals)
            stage_point(partial, point)
            syncfs(top)
        finally:
            for fd in (top, old, new):
                if fd is not None and fd >= 0:
                    os.close(fd)
        partial.rename(self.folder.trees / self.task.run)
        flush(self.folder.trees)
        write_point(self.folder, point)
        return _told(point, totals, built)

    def _point(self, tree: str, totals: Totals) -> RollingPoint:
        taken = self.now.astimezone(UTC).replace(microsecond=0)
        while (self.folder.points / f"{taken.strftime(STAMP_FORMAT)}.json").exists():
            taken += timedelta(seconds=1)
        stamp = taken.strftime(STAMP_FORMAT)
        point = RollingPoint(
            uid=point_uid(self.identity, self.task.series, self.task.run, stamp),
            stamp=stamp,
            run=self.task.run,
            tree=tree,
            taken=taken,
            series=self.task.series,
            labels=self.task.labels,
            annotations=self.task.annotations,
            entries=totals.entries,
            files=totals.files,
            size=totals.bytes,
            record=self.task.record,
        )
        # As for snapshots: good and its tiers are one write.
        known = [point_of(p) for p in self.points.found]
        tiers = tiers_for_new(known, point_of(point), self.task.rules, self.now)
        good = {**point.labels, **tiers, labels.RESULT: labels.Result.GOOD.value}
        return replace(point, labels={key: str(value) for key, value in good.items()})


def compare(found: Scan, manifest: Manifest | None) -> Difference:
    """Given a walk and the base's manifest (None: there is none), return the difference."""
    if manifest is None:
        _drop_vanished(found, {})
        totals = sum((totals_of(one) for one in found.changed.values()), Totals())
        return Difference(found, {}, (), totals)
    parents = {os.path.dirname(path) for path in found.vanished}
    before = manifest.listings(found.changed.keys() | parents)
    _drop_vanished(found, before)
    removed = _removed(found, before, manifest)
    before |= manifest.listings(removed)
    relevant = {*found.changed, *removed}
    totals = manifest.totals
    for path, listing in before.items():
        if path in relevant:
            totals -= totals_of(listing)
    totals = sum((totals_of(one) for one in found.changed.values()), totals)
    return Difference(found, before, removed, totals)


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


def _begin_data(top: int, old: int | None) -> tuple[int, bool]:
    """Make the directory of a tree; return it, and whether it is a snapshot of the old one."""
    onto = False
    if old is not None and os.fstat(old).st_ino == SUBVOLUME_INODE:
        onto = make_snapshot(top, "data", old)
    if not onto and not make_subvolume(top, "data"):
        os.mkdir("data", 0o700, dir_fd=top)
    return os.open("data", DIRECTORY, dir_fd=top), onto


def _plan(
    task: CopyTask,
    directories: tuple[int, int, int | None],
    onto: bool,
    base: Base | None,
    difference: Difference,
) -> Plan:
    source, new, old = directories
    before = difference.before
    unchanged: frozenset[bytes] = frozenset()
    if base is not None and onto:
        parents = {os.path.dirname(path) for path in difference.scan.changed}
        linked = {entry.directory for entry in difference.scan.linked}
        before = {**before, **base.manifest.listings((parents | linked) - before.keys())}
    elif base is not None:
        before = base.manifest.listings()
        gone = {*difference.scan.changed, *difference.removed}
        unchanged = frozenset(base.manifest.digests.keys() - gone)
    return Plan(
        source=source,
        new=new,
        old=old,
        onto=onto,
        scan=difference.scan,
        before=before,
        unchanged=unchanged,
        defer=task.limits.bandwidth > 0,
        processes=task.limits.processes,
    )


def _totals_after(difference: Difference, built: Built) -> Totals:
    """What the tree has, which differs from what the walk saw where the source moved."""
    totals = difference.totals
    for path, listing in built.listings.items():
        seen = difference.scan.changed.get(path)
        if seen is not None:
            totals = totals - totals_of(seen) + totals_of(listing)
    return totals


def _changes(run: str, difference: Difference, built: Built, totals: Totals) -> Changes:
    return Changes(
        digests={path: listing.digest for path, listing in built.listings.items()},
        blocks={path: listing.encode() for path, listing in built.listings.items()},
        removed=difference.removed,
        header={
            "run": run,
            "totals": {key: getattr(totals, key) for key in Totals.__slots__},
        },
    )


def _told(point: RollingPoint, totals: Totals, built: Built) -> dict[str, Any]:
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
    }
    message = (
        f"{point.stamp}: {totals.files} files, {built.how.linked} entries linked,"
        f" {built.how.copied} copied ({built.how.copied_bytes} bytes)"
    )
    found = {key: examples(names) for key, names in notes.items() if names}
    return answer("Copied", message, point=point, stats=stats, notes=found)
