"""Snapshots as a store: see `domain.stores.base.StorePlan`."""

from __future__ import annotations

from datetime import datetime

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.point import PointResult
from backstay.api.store import SNAPSHOT
from backstay.domain.retention.findings import Looked
from backstay.domain.run.values import Action, Decision, Seen
from backstay.domain.stores.snapshots import finish, groups, take, upkeep
from backstay.domain.stores.snapshots.actions import MarkFailed
from backstay.domain.stores.snapshots.entries import mine as of_run
from backstay.domain.stores.snapshots.seen import seen_of
from backstay.domain.upkeep import Seen as PassSeen


class SnapshotPlan:
    """What a run and a retention pass do for snapshots."""

    name = SNAPSHOT
    instant = True
    conditions = upkeep.CONDITIONS

    def begin(self, seen: Seen, status: BackupStatus) -> BackupStatus:
        """Write down each snapshot by its name before it is asked for."""
        return take.begin(seen, status)

    def judge(self, status: BackupStatus) -> BackupStatus:
        """Fail what a hook failed on, and what belongs together with that."""
        return groups.with_groups_judged(groups.with_hooks_judged(status))

    def follow(self, seen: Seen) -> Decision:
        """Wait for each snapshot to be taken; when the hooks are over, for it to be ready."""
        if seen.status.phase is BackupPhase.SNAPSHOTTING:
            return take.until_taken(seen)
        return finish.finish(seen)

    def give_up(self, status: BackupStatus, why: str) -> BackupStatus:
        """Fail every snapshot that is not decided yet: all are looked at together."""
        return take.without_pending(status, why)

    def deadlines(self, status: BackupStatus) -> tuple[datetime, ...]:
        """Return when a snapshot that is waited for is given up: not taken, or not ready."""
        if status.phase is BackupPhase.SNAPSHOTTING:
            return take.take_deadlines(status)
        return finish.ready_deadlines(status)

    def clean_up(self, status: BackupStatus) -> tuple[Action, ...]:
        """Have the failed snapshots labelled so: they are swept by that label."""
        return tuple(
            MarkFailed(p.ref)
            for p in of_run(status)
            if p.attempt == status.attempt and p.result is PointResult.FAILED and p.ref
        )

    def look(self, seen: PassSeen) -> Looked | None:
        """Judge each snapshot, and return what it needs. Always: one that is left of a policy that
        keeps none any more is swept as well.
        """
        mine = seen_of(seen)
        looked = upkeep.look(mine)
        return Looked(looked.findings, mine.rules, looked.items, looked.wait)
