"""Small values with full defaults: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus, Trigger
from backstay.api.common import changed
from backstay.api.dump_status import DumpState, DumpStatus
from backstay.api.dumps import Postgres
from backstay.api.hooks import (
    HookState,
    HookStatus,
    OnError,
    PlannedHook,
    PlannedHooks,
    Session,
    Stage,
)
from backstay.api.plan import PlannedClaim, PlannedDump, PlannedPoint, RunPlan
from backstay.api.point import PointResult, PointStatus, SnapshotStatus
from backstay.api.rolling import PlannedRolling
from backstay.api.store import REPOSITORY, ROLLING, SNAPSHOT
from backstay.api.target import Target, TargetKind
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.annotation import build_record
from backstay.domain.records.record import ClaimRecord, Record
from backstay.domain.run import dumps as run_dumps
from backstay.domain.run.sights import DumpSeen, DumpSight, HookSeen, HookSight
from backstay.domain.run.values import RunStore, Seen
from backstay.domain.sources.places import DumpPlace, HookPlace
from backstay.domain.stores.copies.plan import CopyPlan
from backstay.domain.stores.repository.plan import RepositoryPlan
from backstay.domain.stores.snapshots.plan import SnapshotPlan
from backstay.domain.stores.snapshots.sights import PointSeen, Sight

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
SLOT = datetime(2026, 11, 22, 0, 32, tzinfo=UTC)
SHA = "a" * 64
RUN_UID = "1f0c5a7e-0000-4000-8000-000000000001"
STORES: tuple[RunStore, ...] = (SnapshotPlan(), CopyPlan(), RepositoryPlan())


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def target(name: str = "pg") -> Target:
    return Target(kind=TargetKind.STATEFUL_SET, name=name, container="postgres")


def planned_dump(name: str = "shop", **values: Any) -> PlannedDump:
    defaults: dict[str, Any] = {
        "name": name,
        "postgres": Postgres(databases=(name,)),
        "target": target(),
        "file": f"/data/{name}.dump",
        "max_duration": minutes(60),
        "min_free": 1 << 26,
    }
    return PlannedDump(**defaults | values)


def planned_hook(name: str = "quiet", *, holds: bool = True, **values: Any) -> PlannedHook:
    """A hook before; one that does not hold is a plain command."""
    defaults: dict[str, Any] = {
        "name": name,
        "target": target(),
        "command": ("freeze", name),
        "undo": ("thaw", name) if holds else None,
        "timeout": minutes(0.5),
        "undo_timeout": minutes(0.5),
        "on_error": OnError.FAIL,
        "undo_on_error": OnError.FAIL,
    }
    return PlannedHook(**defaults | values)


def session(name: str = "quiet") -> PlannedHook:
    return planned_hook(name, holds=False, session=Session(command=("psql",)))


def planned_hooks(
    *before: PlannedHook, after: tuple[PlannedHook, ...] = (), max_freeze: float = 1
) -> PlannedHooks:
    return PlannedHooks(before=before, after=after, max_freeze=minutes(max_freeze))


def hook_place(*claims: str, container_id: str = "cri://1", pod: str = "pg-0") -> HookPlace:
    return HookPlace(pod, f"uid-{pod}", "postgres", container_id, claims or ("data",))


def hook_status(
    name: str = "quiet",
    state: HookState = HookState.HELD,
    *,
    stage: Stage = Stage.BEFORE,
    at: HookPlace | None = None,
    attempt: int = 1,
    **values: Any,
) -> HookStatus:
    where = hook_place() if at is None else at
    defaults: dict[str, Any] = {
        "name": name,
        "stage": stage,
        "attempt": attempt,
        "state": state,
        "pod": where.pod,
        "pod_uid": where.pod_uid,
        "container": where.container,
        "container_id": where.container_id,
        "claims": where.claims,
        "started_at": NOW - minutes(0.25),
    }
    return HookStatus(**defaults | values)


def hook_look(sight: HookSight, **values: Any) -> HookSeen:
    """A look at a hook in the container of `hook_place()`."""
    defaults: dict[str, Any] = {"sight": sight, "place": hook_place()}
    return HookSeen(**defaults | values)


def plan(
    *claims: str, dumps: tuple[PlannedDump, ...] = (), retries: int = 2, **values: Any
) -> RunPlan:
    """A plan of claims (default: `data`)."""
    defaults: dict[str, Any] = {
        "zone": "UTC",
        "claims": tuple(
            PlannedClaim(name=c, uid=f"uid-{c}", class_name="fast") for c in claims or ("data",)
        ),
        "dumps": dumps,
        "take_timeout": minutes(10),
        "ready_timeout": minutes(60),
        "retries": retries,
    }
    return with_points(RunPlan(**defaults | values))


def with_points(of: RunPlan, rolling: PlannedRolling | None = None) -> RunPlan:
    """A plan with the points of its claims and of its copies, or of these."""
    copied = rolling or of.rolling
    snapshots = (
        PlannedPoint(source=c.name, store=SNAPSHOT, claim=c.name) for c in of.claims if c.class_name
    )
    copies = (
        PlannedPoint(source=c.series, store=ROLLING, claim=c.claim)
        for c in (copied.copies if copied else ())
    )
    return changed(of, rolling=copied, points=(*snapshots, *copies))


def place(claim: str = "data", container_id: str = "cri://1", pod: str = "pg-0") -> DumpPlace:
    return DumpPlace(
        pod=pod,
        pod_uid=f"uid-{pod}",
        container="postgres",
        container_id=container_id,
        claim=claim,
        path="shop.dump",
    )


NOWHERE = run_dumps.NOWHERE


def dump_status(
    name: str = "shop",
    state: DumpState = DumpState.RUNNING,
    *,
    at: DumpPlace | None = None,
    attempt: int = 1,
    **values: Any,
) -> DumpStatus:
    where = place() if at is None else at
    defaults: dict[str, Any] = {
        "name": name,
        "attempt": attempt,
        "state": state,
        "engine": "postgres",
        "pod": where.pod,
        "pod_uid": where.pod_uid,
        "container": where.container,
        "container_id": where.container_id,
        "claim": where.claim,
        "path": where.path,
        "file": f"/data/{name}.dump",
        "started_at": NOW - minutes(1),
    }
    if state is DumpState.DONE:
        defaults |= {"sha256": SHA, "bytes": 2048, "seconds": 7}
    return DumpStatus(**defaults | values)


def point_status(
    claim: str = "data",
    result: PointResult = PointResult.PENDING,
    *,
    attempt: int = 1,
    **values: Any,
) -> PointStatus:
    defaults: dict[str, Any] = {
        "source": claim,
        "store": SNAPSHOT,
        "attempt": attempt,
        "ref": f"{claim}-{attempt}",
        "result": result,
        "requested_at": NOW - minutes(2),
    }
    disk = {key: values.pop(key) for key in ("content", "handle") if key in values}
    if disk:
        values["snapshot"] = SnapshotStatus(**disk)
    return PointStatus(**defaults | values)


def status(phase: BackupPhase = BackupPhase.PENDING, **values: Any) -> BackupStatus:
    """A status that has begun its first attempt, unless it is Pending or Queued."""
    defaults: dict[str, Any] = {"phase": phase}
    if phase is not BackupPhase.PENDING:
        defaults |= {"plan": plan(), "started_at": NOW - minutes(5)}
    if phase not in (BackupPhase.PENDING, BackupPhase.QUEUED):
        defaults |= {"attempt": 1, "attempted_at": NOW - minutes(4)}
    return BackupStatus(**defaults | values)


def spec(**values: Any) -> BackupSpec:
    defaults: dict[str, Any] = {
        "policy": "shop",
        "trigger": Trigger.SCHEDULED,
        "scheduled_for": SLOT,
    }
    return BackupSpec(**defaults | values)


def seen(of: BackupStatus, **values: Any) -> Seen:
    """A sighting; `points`, `rechecks` and `torn` are of its snapshots, `copy` is of its copy and
    `upload` of its upload.
    """
    snapshots = {k: values.pop(k) for k in ("points", "rechecks", "torn") if k in values}
    sights: dict[str, object] = {SNAPSHOT: Sight(**snapshots)}
    for store, word in ((ROLLING, "copy"), (REPOSITORY, "upload")):
        if word in values:
            sights[store] = values.pop(word)
    defaults: dict[str, Any] = {
        "name": "shop-20261122-0032",
        "uid": RUN_UID,
        "created": NOW - minutes(6),
        "now": NOW,
        "spec": spec(),
        "status": of,
        "sights": sights,
        "stores": STORES,
    }
    return Seen(**defaults | values)


def look(sight: DumpSight, **values: Any) -> DumpSeen:
    """A look at a dump in the container of `place()`."""
    defaults: dict[str, Any] = {"sight": sight, "place": place()}
    return DumpSeen(**defaults | values)


def look_done(sha256: str = SHA) -> DumpSeen:
    return look(
        DumpSight.DONE,
        sha256=sha256,
        bytes=2048,
        seconds=7,
        versions={"server": "17.1", "tool": "17.1"},
        format="custom",
        compression="zstd",
        compressed=True,
        position="binlog.7 at 42",
        server="7301",
        notes=("rows are missing",),
        uid=999,
        gid=998,
    )


PENDING_POINT = PointSeen(exists=True, result=PointResult.PENDING)
TAKEN_POINT = replace(PENDING_POINT, taken=True, taken_at=NOW - minutes(1), content="content-1")
READY_POINT = replace(TAKEN_POINT, ready=True, restore_size=1 << 30)


def record(**values: Any) -> str:
    """The record annotation of a point."""
    claim = ClaimRecord("data", "uid-data", "1Gi", "fast", ("ReadWriteOnce",), "Filesystem")
    defaults: dict[str, Any] = {
        "policy": "shop",
        "backup": "shop-20261122-0032",
        "slot": SLOT,
        "zone": "UTC",
        "attempt": 1,
        "namespace": "team",
        "namespace_uid": "uid-team",
        "claim": claim,
    }
    return build_record(Record(**defaults | values))


def snapshot(
    name: str,
    taken: str,
    *,
    result: str | None = "good",
    extra: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
    ready: bool = True,
    bound: str | None = None,
    **metadata: Any,
) -> Obj:
    """A VolumeSnapshot of claim `data` and policy `shop` as the API server returns it.

    `extra` and `notes` are further labels and annotations by their short names.
    """
    values = {"pvc": "data", "policy": "shop", "backup": "b", "type": "cronjob"}
    values |= {"retain": "daily_weekly_monthly", **(extra or {})}
    if result is not None:
        values["result"] = result
    written = {"run": f"run-{name}", **(notes or {})}
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": taken,
            "labels": {labels.PREFIX + k: v for k, v in values.items()},
            "annotations": {labels.PREFIX + k: v for k, v in written.items()},
            **metadata,
        },
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": {
            "creationTime": taken,
            "readyToUse": ready,
            "boundVolumeSnapshotContentName": bound or f"content-{name}",
        },
    }


def content(of: Obj, *, policy: str = "Delete", **notes: str) -> Obj:
    """The content bound to a snapshot, as its controller made it."""
    name = of["metadata"]["name"]
    return {
        "metadata": {
            "name": of["status"]["boundVolumeSnapshotContentName"],
            "uid": f"uid-content-{name}",
            "resourceVersion": "1",
            "labels": {labels.SWEPT: notes.pop("swept")} if "swept" in notes else {},
            "annotations": {labels.PREFIX + k: v for k, v in notes.items()},
        },
        "spec": {
            "deletionPolicy": policy,
            "driver": "csi.example",
            "volumeSnapshotRef": {
                "name": name,
                "namespace": of["metadata"]["namespace"],
                "uid": of["metadata"]["uid"],
            },
        },
        "status": {"snapshotHandle": f"handle-{name}", "readyToUse": True},
    }
