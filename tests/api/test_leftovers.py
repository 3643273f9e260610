"""What restores leave behind, on a real API server: the test is driver, scheduler and kubelet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.api.test_brakes import make_point
from tests.support.dumping_cluster import Containers

from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import (
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
from backstay.steps.exec_streams import Streams


class Stage:
    """A namespace with a snapshot, and a request to restore it, taken step by step."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        clock = SystemClock()
        streams = Streams(Containers({}, seconds=0))
        self.router = Router(Settings(), clock, client, EventPoster(client, clock), streams)

    async def begin(self) -> None:
        await make_point(self.client, self.namespace, 1)
        snapshot = await self.client.get(VOLUME_SNAPSHOT, "day-1", self.namespace)
        name = f"content-{self.namespace}"
        reference = {"kind": "VolumeSnapshot", "name": "day-1", "namespace": self.namespace}
        content = {
            "metadata": {"name": name},
            "spec": {
                "driver": "csi.example",
                "deletionPolicy": "Retain",
                "source": {"volumeHandle": "volume"},
                "volumeSnapshotRef": {**reference, "uid": objects.uid(snapshot)},
            },
        }
        await self.client.create(VOLUME_SNAPSHOT_CONTENT, content)
        bound = {"boundVolumeSnapshotContentName": name, "restoreSize": "1Gi"}
        await self.show(VOLUME_SNAPSHOT, "day-1", **bound)
        wanted = {"claim": "data", "to": {"newClaim": {"name": "new"}}}
        spec = {"from": {"volumeSnapshot": "day-1"}, "claims": [wanted]}
        metadata = {"name": "back", "namespace": self.namespace}
        await self.client.create(RESTORE_REQUEST, {"metadata": metadata, "spec": spec})
        for _ in range(3):
            await self.step()
        assert await self.claim() is not None

    async def step(self) -> timedelta | None:
        return await self.router.reconcile(keys.restore(self.namespace, "back"))

    async def look_for_leftovers(self) -> None:
        await self.router.reconcile(keys.leftovers())

    async def show(self, resource: Resource, name: str, **status: Any) -> None:
        """Write a status as a controller would."""
        read = await self.client.get(resource, name, self.namespace)
        patch = {"metadata": {"resourceVersion": objects.version(read)}, "status": status}
        await self.client.patch(resource, name, self.namespace, patch, subresource="status")

    async def end_pod(self, phase: str) -> None:
        (pod,) = await self.client.list(POD, self.namespace)
        await self.show(POD, objects.name(pod), phase=phase, message="sha256 differs")

    async def delete_request(self) -> None:
        read = await self.client.get(RESTORE_REQUEST, "back", self.namespace)
        uid = objects.uid(read)
        await self.client.delete(RESTORE_REQUEST, "back", self.namespace, uid=uid)

    async def claim(self) -> Obj | None:
        """The new claim, None too while only its protection keeps it: there is no controller."""
        found = await self.client.find(PERSISTENT_VOLUME_CLAIM, "new", self.namespace)
        return None if dig(found, "metadata", "deletionTimestamp") else found

    async def run_to_the_end(self) -> Obj:
        for _ in range(6):
            await self.step()
        return dict(await self.client.get(RESTORE_REQUEST, "back", self.namespace))


@pytest.fixture
async def stage(client: Client, namespace: str) -> Stage:
    made = Stage(client, namespace)
    await made.begin()
    return made


async def test_a_claim_goes_when_its_request_is_deleted_on_the_way(stage: Stage) -> None:
    await stage.look_for_leftovers()
    assert await stage.claim() is not None, "its request is there"

    await stage.delete_request()
    await stage.look_for_leftovers()

    assert await stage.claim() is None


async def test_a_claim_that_a_pod_uses_stays_when_its_request_is_deleted(stage: Stage) -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "new"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    metadata = {"name": "app", "namespace": stage.namespace}
    await stage.client.create(POD, {"metadata": metadata, "spec": spec})
    await stage.delete_request()

    await stage.look_for_leftovers()
    stays = await stage.claim()
    assert stays is not None
    assert labels.RESTORING not in objects.labels(stays), "it is the user's from now on"


async def test_a_completed_restore_is_never_undone(stage: Stage) -> None:
    await stage.show(PERSISTENT_VOLUME_CLAIM, "new", phase="Bound")
    await stage.end_pod("Succeeded")
    request = await stage.run_to_the_end()
    assert dig(request, "status", "phase") == "Completed"

    await stage.delete_request()
    await stage.look_for_leftovers()

    stays = await stage.claim()
    assert stays is not None
    assert labels.RESTORING not in objects.labels(stays)
    assert await stage.client.list(POD, stage.namespace) == []


async def test_a_restore_that_fails_its_verification_leaves_its_claim_and_no_pod(
    stage: Stage,
) -> None:
    await stage.show(PERSISTENT_VOLUME_CLAIM, "new", phase="Bound")
    await stage.end_pod("Failed")
    request = await stage.run_to_the_end()

    assert dig(request, "status", "phase") == "Failed"
    assert "sha256 differs" in dig(request, "status", "message")
    assert "claim new" in dig(request, "status", "message")
    assert await stage.client.list(POD, stage.namespace) == []
    snapshot = await stage.client.get(VOLUME_SNAPSHOT, "day-1", stage.namespace)
    assert labels.IN_USE not in objects.annotations(snapshot)
    await stage.delete_request()
    await stage.look_for_leftovers()
    assert await stage.claim() is not None, "a person looks at it"


async def test_a_restore_that_fails_before_its_claim_is_bound_leaves_nothing(stage: Stage) -> None:
    read = await stage.client.get(VOLUME_SNAPSHOT, "day-1", stage.namespace)
    await stage.client.delete(VOLUME_SNAPSHOT, "day-1", stage.namespace, uid=objects.uid(read))
    request = await stage.run_to_the_end()

    assert dig(request, "status", "phase") == "Failed"
    assert await stage.claim() is None
    assert await stage.client.list(POD, stage.namespace) == []
