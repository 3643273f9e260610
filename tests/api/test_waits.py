"""What a run, a restore or a Job waits for is in its message, on a real API server.

No controller and no driver answers here, so each wait is as silent as it can be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from tests.support.dumping_cluster import take
from tests.support.schedules import MovedClock, make_snapshot_class, make_source, policy_body

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.errors import BackstayError, Conflict, DataError, Transient
from backstay.domain.objects import Obj, dig
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    EVENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)
from backstay.main import Router
from backstay.reconcile import keys
from backstay.settings import Settings
from backstay.steps.agent_jobs import AgentImage, AgentJobs
from backstay.steps.exec_streams import Streams

NAME = "shop"
QUIET = 21
"""Seconds after which a silence is reported."""
TAKE_TIMEOUT = 600
GRACE = 120


@dataclass
class Rig:
    """An operator that does one key at a time, on a clock that a test moves."""

    client: Client
    namespace: str
    clock: MovedClock
    router: Router

    async def look(self, *looks: Key) -> None:
        for key in looks:
            await self.router.reconcile(key)

    async def message(self, kind: Resource, *looks: Key) -> str:
        """Look at keys, then return what the object of NAME says."""
        await self.look(*looks)
        found = await self.client.get(kind, NAME, self.namespace)
        return str(dig(found, "status", "message", default=""))

    async def warn(self, of: Obj, reason: str, message: str) -> None:
        """Post a warning as a controller does."""
        now = format_time(self.clock.now())
        meta = {"name": f"{objects.name(of)}.{reason.lower()}", "namespace": self.namespace}
        about = {
            "kind": of["kind"],
            "namespace": self.namespace,
            "name": objects.name(of),
            "uid": objects.uid(of),
        }
        said = {"type": "Warning", "reason": reason, "message": message}
        times = {"firstTimestamp": now, "lastTimestamp": now, "count": 1}
        body = {"metadata": meta, "involvedObject": about, **said, **times}
        await self.client.create(EVENT, body)

    def pass_time(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))

    @property
    def backup(self) -> Key:
        return keys.backup(self.namespace, NAME)

    @property
    def restore(self) -> Key:
        return keys.restore(self.namespace, NAME)


@pytest.fixture
async def rig(client: Client, credentials: Login, namespace: str) -> AsyncIterator[Rig]:
    await make_snapshot_class(client)
    await make_source(client, namespace, "data")
    await client.create(BACKUP_POLICY, policy_body(namespace, NAME))
    clock = MovedClock()
    streams = Streams(Exec(credentials))
    events = EventPoster(client, clock, "test")
    router = Router(Settings(agent_image="agent"), clock, client, events, streams)
    router.wire(lambda _: None)
    yield Rig(client, namespace, clock, router)
    await streams.close()


async def patch_status(client: Client, kind: Resource, obj: Obj, status: Obj) -> Obj:
    body = {"metadata": {"resourceVersion": objects.version(obj)}, "status": status}
    namespace = objects.namespace(obj) or None
    return await client.patch(kind, objects.name(obj), namespace, body, subresource="status")


async def ask(rig: Rig) -> Obj:
    """Let a run go on until it has asked for its snapshot; return that."""
    meta = {"name": NAME, "namespace": rig.namespace}
    await rig.client.create(BACKUP, {"metadata": meta, "spec": {"policy": NAME}})
    await rig.look(rig.backup, keys.ADMISSION, rig.backup)
    (snapshot,) = await rig.client.list(VOLUME_SNAPSHOT, rig.namespace)
    return snapshot


async def test_a_snapshot_controller_that_does_not_run_is_named(rig: Rig) -> None:
    snapshot = await ask(rig)

    assert await rig.message(BACKUP, rig.backup) == ""
    rig.pass_time(QUIET)
    assert await rig.message(BACKUP, rig.backup) == (
        f"claim data: VolumeSnapshot {objects.name(snapshot)} has no status after 20 s: is the "
        "snapshot controller running?"
    )


async def test_a_sidecar_that_does_not_run_is_named_and_the_drivers_error_reported_at_once(
    rig: Rig,
) -> None:
    snapshot = await ask(rig)
    name = f"snapcontent-{objects.uid(snapshot)}"
    ref = {"name": objects.name(snapshot), "namespace": rig.namespace}
    spec = {
        "deletionPolicy": "Retain",
        "driver": "csi.example.com",
        "source": {"volumeHandle": "v"},
        "volumeSnapshotRef": ref | {"uid": objects.uid(snapshot)},
    }
    content = await rig.client.create(
        VOLUME_SNAPSHOT_CONTENT, {"metadata": {"name": name}, "spec": spec}
    )
    bound = {"boundVolumeSnapshotContentName": name, "readyToUse": False}
    await patch_status(rig.client, VOLUME_SNAPSHOT, snapshot, bound)

    await rig.look(rig.backup)
    rig.pass_time(QUIET)
    silent = await rig.message(BACKUP, rig.backup)
    error = {"error": {"message": "backend busy: rate limited"}}
    await patch_status(rig.client, VOLUME_SNAPSHOT_CONTENT, content, error)
    reported = await rig.message(BACKUP, rig.backup)

    assert "the csi-snapshotter sidecar of driver csi.example.com has not answered" in silent
    assert reported == "claim data: backend busy: rate limited"


async def fail_looks(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
) -> None:
    """Let each read of a VolumeSnapshot fail from now on."""
    find = rig.client.find

    async def refuse(kind: Resource, name: str, namespace: str | None = None) -> Obj | None:
        if kind is VOLUME_SNAPSHOT:
            raise error()
        return await find(kind, name, namespace)

    monkeypatch.setattr(rig.client, "find", refuse)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: DataError("its status is odd"), "its status is odd"),
        (lambda: Conflict("it changed"), "it changed"),
        (lambda: KeyError("handle"), "KeyError: 'handle'"),
    ],
    ids=["data", "race", "defect"],
)
async def test_a_run_whose_looks_fail_holds_its_permits_no_longer_than_its_deadline(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], words: str
) -> None:
    policy = await rig.client.get(BACKUP_POLICY, NAME, rig.namespace)
    patch: Obj = {"metadata": {"resourceVersion": objects.version(policy)}, "spec": {"retries": 0}}
    await rig.client.patch(BACKUP_POLICY, NAME, rig.namespace, patch)
    await ask(rig)
    await fail_looks(rig, monkeypatch, error)

    with pytest.raises(type(error())) as raised:
        await rig.look(rig.backup)
    held = await rig.client.get(BACKUP, NAME, rig.namespace)
    rig.pass_time(TAKE_TIMEOUT + GRACE + 1)
    await rig.look(rig.backup)
    ended = await rig.client.get(BACKUP, NAME, rig.namespace)

    assert dig(held, "status", "phase") == "Snapshotting"
    if not isinstance(raised.value, Conflict):  # a lost race is normal
        assert dig(held, "status", "message") == words
    if isinstance(raised.value, BackstayError):
        assert raised.value.within is not None
        assert raised.value.within <= timedelta(seconds=TAKE_TIMEOUT + 1)
    assert dig(ended, "status", "phase") == "Failed"
    assert words in dig(ended, "status", "message")
    assert not dig(ended, "status", "pools")


async def waiting_restore(rig: Rig) -> tuple[Obj, Obj]:
    """A request whose claim and verify pod were made; return them, Pending both."""
    snapshot: Obj = {
        "metadata": {
            "name": "point",
            "namespace": rig.namespace,
            "labels": {labels.PVC: "data"},
        },
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    await take(rig.client, rig.clock, await rig.client.create(VOLUME_SNAPSHOT, snapshot))
    new = {"newClaim": {"name": "new"}}
    spec = {"from": {"volumeSnapshot": "point"}, "claims": [{"claim": "data", "to": new}]}
    meta = {"name": NAME, "namespace": rig.namespace}
    await rig.client.create(RESTORE_REQUEST, {"metadata": meta, "spec": spec})
    await rig.look(rig.restore, rig.restore, rig.restore)
    claim = await rig.client.get(PERSISTENT_VOLUME_CLAIM, "new", rig.namespace)
    (pod,) = await rig.client.list(POD, rig.namespace)
    assert dig(claim, "status", "phase") == "Pending"
    return claim, pod


async def test_a_claim_that_is_not_bound_says_why_as_its_events_do(rig: Rig) -> None:
    claim, _ = await waiting_restore(rig)
    await rig.warn(claim, "ProvisioningFailed", "rpc error: pool is full")

    assert await rig.message(RESTORE_REQUEST, rig.restore) == "data is being restored"
    rig.pass_time(QUIET)

    reported = await rig.message(RESTORE_REQUEST, rig.restore)
    assert reported == "claim new: ProvisioningFailed: rpc error: pool is full"


async def test_a_claim_of_which_nobody_says_anything_names_who_should(rig: Rig) -> None:
    _, pod = await waiting_restore(rig)
    rig.pass_time(QUIET)

    reported = await rig.message(RESTORE_REQUEST, rig.restore)

    assert reported.startswith(
        f"claim new: Pod {objects.name(pod)} has no node yet: is the scheduler"
    )
    assert "it is not bound after 20 s, and no Event says why: is the provisioner" in reported


async def test_a_verify_pod_that_cannot_mount_says_why_as_its_events_do(rig: Rig) -> None:
    _, pod = await waiting_restore(rig)
    await rig.warn(pod, "FailedMount", "MountVolume failed: no such device")
    rig.pass_time(QUIET)

    reported = await rig.message(RESTORE_REQUEST, rig.restore)

    assert reported == "claim new: FailedMount: MountVolume failed: no such device"


async def test_a_restore_whose_look_fails_says_so_and_in_ready_as_well(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting_restore(rig)
    await fail_looks(rig, monkeypatch, lambda: Transient("get VolumeSnapshot: forbidden"))
    with pytest.raises(Transient):
        await rig.look(rig.restore)
    monkeypatch.undo()

    found = await rig.client.get(RESTORE_REQUEST, NAME, rig.namespace)
    assert dig(found, "status", "message") == "get VolumeSnapshot: forbidden"
    (ready,) = dig(found, "status", "conditions")
    assert (ready["reason"], ready["message"]) == ("Waiting", "get VolumeSnapshot: forbidden")


class Later(Client):
    """A client that takes the server's clock for a minute ahead."""

    @property
    def server_date(self) -> datetime | None:
        now = super().server_date
        return now + timedelta(minutes=1) if now else None


async def test_a_job_without_pods_says_why_as_its_events_do_and_is_stalled(
    rig: Rig, credentials: Login
) -> None:
    container = {"name": "agent", "image": "agent"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    meta = {"name": "copy-1", "namespace": rig.namespace, "annotations": {labels.RUN: "run"}}
    job = await rig.client.create(JOB, {"metadata": meta, "spec": {"template": template}})
    image = AgentImage("agent", "Never")
    young = await AgentJobs(rig.client, image).look(rig.namespace, "copy-1", "run")
    await rig.warn(job, "FailedCreate", "pods is forbidden: exceeded quota: few")

    async with Later(credentials, SystemClock()) as later:
        old = await AgentJobs(later, image).look(rig.namespace, "copy-1", "run")

    assert (young.stalled, young.message) == (False, "no Pod was made for it yet")
    assert (old.stalled, old.started) == (True, False)
    assert old.message == "FailedCreate: pods is forbidden: exceeded quota: few"
    # The nodes of other tests run whatever Jobs there are.
    await rig.client.delete(
        JOB, "copy-1", rig.namespace, uid=objects.uid(job), propagation="Background"
    )
