"""A world in memory for one run: container, dump files, hooks, snapshots, a driver, and time.

It answers as the real ones do: a dump's state is judged as dumps/scripts/common.sh does, hooks
behave as in hooks.sh (tests/support/hook_world.py), snapshots are made and labelled as
stores/snapshots/objects.py does. A write is one call; a process may die before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from tests.support.builders import NOW, RUN_UID, SLOT, STORES, spec
from tests.support.hook_world import HookFate, HookWorld
from tests.support.run_things import DumpFate, File, Owner, Snapshot, SnapshotFate, point_seen

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState, DumpStatus
from backstay.api.hooks import PlannedHook
from backstay.api.plan import PlannedDump, RunPlan
from backstay.api.point import PointResult
from backstay.api.store import SNAPSHOT
from backstay.domain.errors import Conflict, Transient
from backstay.domain.run import hooks
from backstay.domain.run.sights import (
    DumpPlace,
    DumpSeen,
    DumpSight,
    HookPlace,
    HookSeen,
    HookSight,
)
from backstay.domain.run.status import current_dump, dump_entry, dumps_on
from backstay.domain.run.values import (
    Action,
    CancelDump,
    Decision,
    FreeRecord,
    KeepRecord,
    ReleaseHook,
    Seen,
    StartDump,
    StartHook,
    StoreAction,
    with_seen,
)
from backstay.domain.stores.snapshots.actions import (
    CreateSnapshot,
    LabelContent,
    MarkFailed,
    MarkGood,
)
from backstay.domain.stores.snapshots.sights import PointSeen, Sight

Write = Callable[[], None]
REFUSAL = "exceeded quota: snapshots"
RIVAL = -1
"""The attempt of a file that another run wrote."""


class World:
    """See the module. `homes`: the claim of each dump's file."""

    def __init__(
        self,
        plan: RunPlan,
        homes: dict[str, str],
        dump_fates: list[DumpFate] | None = None,
        snapshot_fates: list[SnapshotFate] | None = None,
        hook_fates: list[HookFate] | None = None,
    ) -> None:
        self.now = NOW
        self.status = BackupStatus()
        self.snapshots: dict[str, Snapshot] = {}
        self.pod_runs = True
        self.quota = True
        """False: the API server refuses snapshots."""
        self.claims_recreated = False
        self.kept = False
        self.deleting = False
        self.hooks = HookWorld(self._later, hook_fates or [])
        self._plan = plan
        self._homes = homes
        self._dump_fates: Iterator[DumpFate] = iter(dump_fates or ())
        self._snapshot_fates: Iterator[SnapshotFate] = iter(snapshot_fates or ())
        self._files = {name: File() for name in homes}
        self._container = 1
        self._streams: set[tuple[str, int]] = set()
        self._counter = itertools.count()
        self._agenda: list[tuple[datetime, int, Write]] = []

    # ---- time and faults ------------------------------------------------------------------

    def pass_time(self, span: timedelta) -> None:
        """Let time pass; what is due happens in order."""
        end = self.now + span
        while self._agenda and min(self._agenda)[0] <= end:
            item = min(self._agenda)
            self._agenda.remove(item)
            self.now = max(self.now, item[0])
            item[2]()
        self.now = end

    @property
    def holding(self) -> list[PlannedHook]:
        """The hooks of the plan that hold something over the snapshot."""
        return [h for h in (self._plan.hooks.before if self._plan.hooks else ()) if h.holds]

    @property
    def gone(self) -> bool:
        """Whether the Backup was deleted, and nothing keeps it."""
        return self.deleting and not self.kept

    def kill_process(self) -> None:
        self._streams.clear()
        self.hooks.streams.clear()

    def restart_container(self) -> None:
        self._container += 1
        self.kill_dumps()
        self.hooks.restart_container()

    def kill_dumps(self) -> None:
        """The dumps' processes die without a word."""
        for file in self._files.values():
            if file.owner:
                file.owner.alive = False

    def overwrite(self) -> None:
        """Another run dumps into every file that is not locked."""
        for file in self._files.values():
            if not (file.owner and file.owner.alive):
                file.replaced = file.done[0] if file.done else 0
                file.done = (RIVAL, self._sha())

    def delete_snapshots(self) -> None:
        for snapshot in self.snapshots.values():
            snapshot.live = False

    def dumps_of(self, claim: str) -> set[str]:
        """The dumps whose files lie on a claim."""
        return {name for name, home in self._homes.items() if home == claim}

    def taken_snapshots(self) -> list[Snapshot]:
        """The snapshots that the run waits for and that are taken."""
        names = [p.ref or "" for p in self.status.points if p.result is PointResult.PENDING]
        found = [self.snapshots[n] for n in names if n in self.snapshots]
        return [s for s in found if s.live and s.taken_at is not None]

    def _later(self, seconds: int | None, what: Write) -> None:
        if seconds is not None:
            due = self.now + timedelta(seconds=seconds)
            self._agenda.append((due, next(self._counter), what))

    def _sha(self) -> str:
        return f"{next(self._counter):064x}"

    # ---- gather ---------------------------------------------------------------------------

    def look(self) -> Seen:
        status = self.status
        seen = Seen(
            name="shop-20261122-0032",
            uid=RUN_UID,
            created=SLOT,
            now=self.now,
            spec=spec(),
            status=status,
            kept=self.kept,
            deleting=self.deleting,
            stores=STORES,
        )
        match status.phase:
            case BackupPhase.PENDING:
                return with_seen(seen, plan=self._plan)
            case BackupPhase.DUMPING:
                return with_seen(seen, dump=self._see_dump())
            case BackupPhase.SNAPSHOTTING if found := hooks.turn(status, deleting=self.deleting):
                return with_seen(seen, hook=self._see_hook(found))
            case BackupPhase.SNAPSHOTTING | BackupPhase.UPLOADING:
                return self._see_points(seen)
        return seen

    def _see_dump(self) -> DumpSeen | None:
        dump = current_dump(self.status)
        if dump is None:
            return None
        entry = dump_entry(self.status, dump.name)
        if not self.pod_runs:
            return DumpSeen(DumpSight.UNREACHABLE, message="no running pod")
        place = self._place(dump.name)
        if entry is None or entry.attempt < self.status.attempt:
            return DumpSeen(DumpSight.NONE, place)
        if entry.container_id != place.container_id:
            return DumpSeen(DumpSight.UNREACHABLE, place)
        return self._judge(dump.name, self.status.attempt)

    def _see_hook(self, found: hooks.Turn) -> HookSeen:
        if not self.pod_runs:
            return HookSeen(HookSight.UNREACHABLE, message="no running pod")
        place = HookPlace("pg-0", "uid-pg-0", "postgres", f"cri://{self._container}", ())
        if found.entry is None or not found.entry.container_id:
            return HookSeen(HookSight.NONE, place)
        return self.hooks.look(self.status.attempt, found.stage, found.hook, place)

    def _place(self, dump: str) -> DumpPlace:
        claim, container = self._homes[dump], f"cri://{self._container}"
        return DumpPlace("pg-0", "uid-pg-0", "postgres", container, claim, f"{dump}.dump")

    def _judge(self, dump: str, attempt: int) -> DumpSeen:
        """As `judge` in dumps/scripts/common.sh."""
        file, owner = self._files[dump], self._files[dump].owner
        done = file.done[0] if file.done else 0
        higher = max(done, file.failed or 0, owner.attempt if owner else 0) > attempt
        if file.failed == attempt:
            sight = DumpSight.FAILED
        elif done == attempt:
            sight = DumpSight.DONE
        elif higher or (done == RIVAL and file.replaced >= attempt):
            sight = DumpSight.SUPERSEDED
        elif owner and owner.alive:
            sight = DumpSight.RUNNING if owner.attempt == attempt else DumpSight.BUSY
        elif owner and owner.attempt == attempt:
            sight = DumpSight.INTERRUPTED
        else:
            sight = DumpSight.NONE
        sha = file.done[1] if file.done and sight is DumpSight.DONE else None
        lives = (dump, attempt) in self._streams
        return DumpSeen(
            sight, self._place(dump), lives, bytes=1, sha256=sha, seconds=1, message=sight.value
        )

    def _see_points(self, seen: Seen) -> Seen:
        points: dict[str, PointSeen] = {}
        rechecks: dict[str, DumpSeen] = {}
        for entry in self.status.points:
            if entry.result is not PointResult.PENDING:
                continue
            found = self.snapshots.get(entry.ref or "")
            point = points[entry.source] = point_seen(found, claim_gone=self.claims_recreated)
            if not point.taken or entry.taken_at is not None:
                continue
            for dump in dumps_on(self.status, entry.source):
                if dump.state is DumpState.DONE:
                    rechecks[dump.name] = (
                        self._judge(dump.name, self.status.attempt)
                        if self.pod_runs
                        else DumpSeen(DumpSight.UNREACHABLE)
                    )
        return with_seen(seen, sights={SNAPSHOT: Sight(points, rechecks)})

    # ---- apply ----------------------------------------------------------------------------

    def writes(self, decision: Decision) -> list[Write]:
        """The single writes that carry out a decision, in order."""
        found: list[Write] = []
        for action in decision.actions:
            found += self._writes_of(action)
        if decision.status.dump() != self.status.dump():
            found.append(lambda: self._write_status(decision.status))
        return found

    def _writes_of(self, action: Action) -> list[Write]:
        match action:
            case StartDump(dump, place, attempt):
                return [lambda: self._start(dump, place, attempt)]
            case CancelDump(dump, _, attempt):
                return [lambda: self._cancel(dump, attempt)]
            case StartHook(hook, stage, _, attempt):
                freeze = self._plan.hooks.max_freeze if self._plan.hooks else timedelta(0)
                return [lambda: self._reach(lambda: self.hooks.start(attempt, stage, hook, freeze))]
            case ReleaseHook(hook, _, attempt):
                return [lambda: self._reach(lambda: self.hooks.release(attempt, hook))]
            case KeepRecord() | FreeRecord():
                return [lambda: setattr(self, "kept", isinstance(action, KeepRecord))]
            case CreateSnapshot() | LabelContent() | MarkGood() | MarkFailed():
                return self._writes_on_points(action)
            case StoreAction():
                raise AssertionError("a run of snapshots makes no copies")

    def _writes_on_points(
        self, action: CreateSnapshot | LabelContent | MarkGood | MarkFailed
    ) -> list[Write]:
        match action:
            case CreateSnapshot(claim, name, _, dumps):
                return [lambda: self._create(claim, name, dumps)]
            case LabelContent(claim):
                return [lambda: self._label(claim)]
            case MarkGood(claim):
                return [lambda: self._retain(claim), lambda: self._mark_good(claim)]
            case MarkFailed(name):
                return [lambda: self._mark_failed(name)]

    def _reach(self, what: Write) -> None:
        if self.pod_runs:
            what()

    def _write_status(self, status: BackupStatus) -> None:
        # Through the wire form, as the API server keeps it: whole seconds.
        self.status = BackupStatus.model_validate(status.dump())

    def report(self, message: str) -> Write:
        """The write that shows people why an action was refused."""
        return lambda: self._write_status(changed(self.status, message=message))

    def _start(self, dump: PlannedDump, place: DumpPlace, attempt: int) -> None:
        key, file = (dump.name, attempt), self._files[dump.name]
        if key in self._streams or not self.pod_runs or place != self._place(dump.name):
            return
        if self._judge(dump.name, attempt).sight not in (DumpSight.NONE, DumpSight.INTERRUPTED):
            return
        self._streams.add(key)
        owner = file.owner = Owner(attempt)
        fate = next(self._dump_fates, DumpFate())

        def end() -> None:
            self._streams.discard(key)
            if owner.alive:
                owner.alive = False
                if fate.passes:
                    file.done, file.failed = (attempt, self._sha()), None
                else:
                    file.failed = attempt

        self._later(fate.seconds, end)

    def _cancel(self, dump: PlannedDump, attempt: int) -> None:
        file = self._files[dump.name]
        if file.owner and file.owner.alive and file.owner.attempt == attempt and self.pod_runs:
            file.owner.alive, file.failed = False, attempt

    def _create(self, claim: str, name: str, dumps: tuple[DumpStatus, ...]) -> None:
        if self.claims_recreated:
            raise Conflict("the claim went away")
        if name in self.snapshots and self.snapshots[name].live:
            return
        if not self.quota:
            raise Transient(REFUSAL)
        fate = next(self._snapshot_fates, SnapshotFate())
        new = self.snapshots[name] = Snapshot(claim, dumps, fate.error)

        def take() -> None:
            new.taken_at = self.now
            new.inside = {
                dump: file.done[1]
                for dump, file in self._files.items()
                if self._homes[dump] == claim and file.done
            }
            new.frozen = self.hooks.frozen()
            self._later(fate.ready, ready)

        def ready() -> None:
            new.ready = True

        self._later(fate.taken, take)

    def _snapshot_of(self, claim: str) -> Snapshot:
        entry = next((p for p in self.status.points if p.source == claim), None)
        found = self.snapshots.get(entry.ref or "") if entry else None
        if found is None or not found.live:
            raise Conflict("the snapshot went away")
        return found

    def _label(self, claim: str) -> None:
        """One patch of a content as read: nobody else has patched it in the same round."""
        found = self._snapshot_of(claim)
        assert not found.labelled, "labelled already, or twice in a round"
        assert not self.hooks.frozen() or not self.pod_runs, "labelled while something is frozen"
        found.labelled = found.retained = True

    def _retain(self, claim: str) -> None:
        found = self._snapshot_of(claim)
        found.labelled = found.retained = True

    def _mark_good(self, claim: str) -> None:
        self._snapshot_of(claim).result = PointResult.GOOD

    def _mark_failed(self, name: str) -> None:
        found = self.snapshots.get(name)
        if found is not None and found.live and found.result is PointResult.PENDING:
            found.result = PointResult.FAILED
            found.labelled = found.labelled or found.taken_at is not None
