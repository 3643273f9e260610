"""The verb copy: a new point of a source.

gather (the lock, what is there, a walk) -> decide (unchanged, refused, what is copied) -> build a
tree beside the others -> publish it by a rename, and then its point. A kill at any place leaves
either nothing that counts or a whole tree that the next command publishes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backstay.agent.destination.layout import PARTIAL, Folder, folder_of, locked
from backstay.agent.destination.manifest import Damaged, Manifest
from backstay.agent.destination.points import Points, finish, is_whole, write_point
from backstay.agent.destination.rot import add_tree, read_rot, rotten_in
from backstay.agent.destination.trash import reclaim
from backstay.agent.fs.failures import writing_to
from backstay.agent.fs.identity import identity_of
from backstay.agent.fs.listing import Totals
from backstay.agent.fs.paths import DIRECTORY, open_allowed
from backstay.agent.results import answer, examples
from backstay.agent.tasks import CopyTask
from backstay.agent.tree.difference import NOTHING, Base, Difference, compare
from backstay.agent.tree.exclude import compile_excludes
from backstay.agent.tree.preflight import check_size, check_source
from backstay.agent.tree.scan import Walk, scan
from backstay.domain import labels
from backstay.domain.labels import DATABASES_AS_FILES
from backstay.domain.retention.judge import tiers_for_new
from backstay.domain.stores.copies.dates import made_at
from backstay.domain.stores.copies.points import STAMP_FORMAT, RollingPoint, point_of, point_uid
from backstay.domain.stores.copies.unreadable import Unread


def copy(task: CopyTask, now: datetime) -> dict[str, Any]:
    """Given a task and now, make its point and return the result.

    Raise UserError where a person must act, DataError where it failed, Transient where it may
    work later.
    """
    destination = writing_to("spec.rolling.destination", task.where.path)
    with destination, locked(task.where, task.series, exclusive=True, make=True) as identity:
        folder = folder_of(task.where.path, task.series)
        points = finish(folder)
        reclaim(folder, task.limits.processes)
        done = points.by_run(task.run)
        if done is not None and (folder.trees / done.tree).exists():
            return answer("AlreadyPublished", f"{done.stamp} is that run's point", point=done)
        return _Copy(task, now, identity, folder, points).run()


@dataclass(slots=True)
class _Copy:
    task: CopyTask
    now: datetime
    identity: str
    folder: Folder
    points: Points
    identity_of_source: tuple[str, ...] = ()
    unread: Totals = NOTHING
    """What earlier trees had where the source cannot be read now."""

    def run(self) -> dict[str, Any]:
        source = open_allowed(self.task.root, self.task.path, "spec.source")
        destination = os.open(self.task.where.path, DIRECTORY)
        try:
            check_source(self.task, source, destination)
            self.identity_of_source = self.task.identity
            if self.task.series.kind == "hostPath" and not self.task.identity:
                self.identity_of_source = identity_of(source)
            ways = self._ways()
            while True:
                try:
                    return self._go_on_from(ways.pop(0), source, destination)
                except Damaged:
                    if not ways:
                        raise
        finally:
            os.close(source)
            os.close(destination)

    def _ways(self) -> list[Base | None]:
        """What to go on from, the next where the last one is damaged: without a base everything
        comes from the source.
        """
        base = self._base()
        if base is None:
            return [None]
        # Twice: a spare goes with the tree that began with it.
        return [base, base, None] if self.folder.spare(base.run).exists() else [base, None]

    def _go_on_from(self, base: Base | None, source: int, destination: int) -> dict[str, Any]:
        difference = self._walk(source, destination, base)
        self.unread = self._unread(difference)
        self._check_size(difference.totals)
        if base is not None and not difference.scan.changed:
            return self._publish_unchanged(base, [*difference.scan.unreadable])
        # Here, because an unchanged source is walked in a second, and imports take time.
        from backstay.agent.tree.create import make_tree  # noqa: PLC0415

        point, reported = make_tree(
            self.task,
            self.folder,
            source,
            difference,
            self._point_of_built,
        )
        write_point(self.folder, point)
        return reported

    def _base(self) -> Base | None:
        """The tree of the point that was made last and has one; None where there is none or its
        manifest is damaged. One whose databases were taken as files that change says nothing of
        what they are now.
        """
        exact = (p for p in reversed(self.points.found) if DATABASES_AS_FILES not in p.annotations)
        newest = next((p for p in exact if is_whole(self.folder, p)), None)
        if newest is None:
            return None
        try:
            manifest = Manifest.load(self.folder.manifest(newest.tree))
        except Damaged:
            return None
        rotten = self._rotten_in(newest.tree, manifest)
        if rotten is None:
            return None
        return Base(newest.tree, manifest, self._is_strange(newest), rotten)

    def _rotten_in(self, tree: str, manifest: Manifest) -> dict[bytes, frozenset[bytes]] | None:
        """By directory, what is known not to be what was copied; None: so much that nothing of this
        tree is to be linked on.
        """
        known = read_rot(self.folder)
        if tree in known.more:
            return None
        if not known.trees:
            return {}
        found: dict[bytes, frozenset[bytes]] = {}
        keys = set()
        for path, name, key in rotten_in(self.folder, tree, manifest.listings(), known.trees):
            found[path] = found.get(path, frozenset()) | {name}
            keys.add(key)
        # A copy that was under way when it was found has linked it on.
        add_tree(self.task.where, self.folder, tree, keys)
        return found

    def _is_strange(self, point: RollingPoint) -> bool:
        """Whether a point is known to be of another source than there is now."""
        ours = self.identity_of_source
        return bool(ours and point.source) and not {*ours} & {*point.source}

    def _unread(self, difference: Difference) -> Totals:
        """What the base has there, or, as that may lack it already, what the newest point says."""
        newest = self.points.newest_of_a_run
        if not difference.scan.unreadable or newest is None or newest.unread is None:
            return difference.unread
        was, now = newest.unread, difference.unread
        entries, size = max(now.entries, was.entries), max(now.bytes, was.size)
        return Totals(entries=entries, bytes=size)

    def _check_size(self, totals: Totals) -> None:
        totals += self.unread
        newest = self.points.newest_of_a_run
        strange = newest is not None and self._is_strange(newest)
        check_size(self.task, totals, newest, strange=strange)

    def _walk(self, source: int, destination: int, base: Base | None) -> Difference:
        places = os.fstat(destination), os.stat(self.folder.path)
        walk = Walk(
            source=source,
            known=_known(base),
            excluded=compile_excludes(self.task.exclude),
            forbidden={(place.st_dev, place.st_ino) for place in places},
            lenient=self.task.allow_unreadable,
        )
        found = scan(walk, self.task.limits.processes)
        return compare(found, base)

    def _publish_unchanged(self, base: Base, unreadable: Sequence[bytes]) -> dict[str, Any]:
        self._check_dumps(self.folder.data(base.run))
        point = self._point(base.run, base.manifest.totals, unreadable)
        point = replace(point, lacks=dict(base.manifest.lacks))
        write_point(self.folder, point)
        lacks = f"; {point.unread.in_words}" if point.unread else ""
        return answer("Unchanged", f"{point.stamp} is the tree of {base.run}{lacks}", point=point)

    def _point_of_built(self, totals: Totals, unreadable: Sequence[bytes]) -> RollingPoint:
        # Again: a copy may take hours, in which a source can lose what the walk saw.
        self._check_size(totals)
        self._check_dumps(self.folder.trees / f"{PARTIAL}{self.task.run}" / "data")
        return self._point(self.task.run, totals, unreadable)

    def _check_dumps(self, data: Path) -> None:
        """Read the dumps in a tree that is to be published."""
        if self.task.dumps:
            from backstay.agent.tree.dumps import check_dumps  # noqa: PLC0415 - as above

            check_dumps(data, self.task.dumps)

    def _point(self, tree: str, totals: Totals, unreadable: Sequence[bytes]) -> RollingPoint:
        before = self.points.newest
        made = made_at(
            os.environ.get("NODE_NAME", self.task.series.holder),
            self.now,
            self.task.expected,
            before.moment if before else None,
        )
        taken = (self.task.taken or made.moment).astimezone(UTC).replace(microsecond=0)
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
            seq=before.seq + 1 if before else 1,
            source=self.identity_of_source,
            clock=made.clock,
            unread=self._as_unread(unreadable),
        )
        # As for snapshots: good and its tiers are one write.
        known = [point_of(p) for p in self.points.found]
        tiers = tiers_for_new(known, point_of(point), self.task.rules, made.moment)
        good = {**point.labels, **tiers, labels.RESULT: labels.Result.GOOD.value}
        return replace(point, labels={key: str(value) for key, value in good.items()})

    def _as_unread(self, unreadable: Sequence[bytes]) -> Unread | None:
        if not unreadable:
            return None
        shown = tuple(examples(unreadable)["examples"])
        return Unread(len(unreadable), shown, self.unread.entries, self.unread.bytes)


def _known(base: Base | None) -> Mapping[bytes, bytes]:
    """Digests of the directories that may be taken for unchanged."""
    if base is None or base.strange:
        return {}
    if not base.rotten:
        return base.manifest.digests
    return {path: one for path, one in base.manifest.digests.items() if path not in base.rotten}
