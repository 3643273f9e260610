"""The verb copy: a new point of a source.

gather (the lock, what is there, a walk) -> decide (unchanged, refused, what is copied) -> build a
tree beside the others -> publish it by a rename, and then its point. A kill at any place leaves
either nothing that counts or a whole tree that the next command publishes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backstay.agent.checks import check_size, check_source
from backstay.agent.difference import Base, Difference, compare
from backstay.agent.exclude import compile_excludes
from backstay.agent.identity import identity_of
from backstay.agent.layout import Folder, locked, make_folder
from backstay.agent.listing import Totals
from backstay.agent.manifest import Damaged, Manifest
from backstay.agent.paths import DIRECTORY, open_allowed
from backstay.agent.results import answer
from backstay.agent.scan import Walk, scan
from backstay.agent.store import Points, finish, is_whole, write_point
from backstay.agent.tasks import CopyTask
from backstay.agent.trash import reclaim
from backstay.domain import labels
from backstay.domain.labels import DATABASES_AS_FILES
from backstay.domain.retention import tiers_for_new
from backstay.domain.rolling import STAMP_FORMAT, RollingPoint, point_of, point_uid
from backstay.domain.rolling_clock import made_at


def copy(task: CopyTask, now: datetime) -> dict[str, Any]:
    """Given a task and now, make its point and return the result.

    Raise UserError where a person must act, DataError where it failed, Transient where it may
    work later.
    """
    with locked(task.where, exclusive=True) as identity:
        folder = make_folder(task.where.path, task.series)
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
        self._check_size(difference.totals)
        if base is not None and not difference.scan.changed:
            return self._publish_unchanged(base)
        # Here, because an unchanged source is walked in a second, and imports take time.
        from backstay.agent.tree import make_tree  # noqa: PLC0415

        point, told = make_tree(
            self.task,
            self.folder,
            source,
            difference,
            self._point_of_built,
        )
        write_point(self.folder, point)
        return told

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
        return Base(newest.tree, manifest, self._is_strange(newest))

    def _is_strange(self, point: RollingPoint) -> bool:
        """Whether a point is known to be of another source than there is now."""
        ours = self.identity_of_source
        return bool(ours and point.source) and not {*ours} & {*point.source}

    def _check_size(self, totals: Totals) -> None:
        newest = self.points.newest_of_a_run
        strange = newest is not None and self._is_strange(newest)
        check_size(self.task, totals, newest, strange=strange)

    def _walk(self, source: int, destination: int, base: Base | None) -> Difference:
        there = os.fstat(destination)
        walk = Walk(
            source=source,
            known=base.manifest.digests if base and not base.strange else {},
            excluded=compile_excludes(self.task.exclude),
            forbidden=(there.st_dev, there.st_ino),
        )
        found = scan(walk, self.task.limits.processes)
        return compare(found, base)

    def _publish_unchanged(self, base: Base) -> dict[str, Any]:
        point = self._point(base.run, base.manifest.totals)
        write_point(self.folder, point)
        return answer("Unchanged", f"{point.stamp} is the tree of {base.run}", point=point)

    def _point_of_built(self, totals: Totals) -> RollingPoint:
        # Again: a copy may take hours, in which a source can lose what the walk saw.
        self._check_size(totals)
        return self._point(self.task.run, totals)

    def _point(self, tree: str, totals: Totals) -> RollingPoint:
        before = self.points.newest
        made = made_at(
            os.environ.get("NODE_NAME", self.task.series.holder),
            self.now,
            self.task.expected,
            before.moment if before else None,
        )
        taken = made.moment.astimezone(UTC).replace(microsecond=0)
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
        )
        # As for snapshots: good and its tiers are one write.
        known = [point_of(p) for p in self.points.found]
        tiers = tiers_for_new(known, point_of(point), self.task.rules, made.moment)
        good = {**point.labels, **tiers, labels.RESULT: labels.Result.GOOD.value}
        return replace(point, labels={key: str(value) for key, value in good.items()})
