"""The pod that verifies a restored claim, found by a name that anybody may have taken."""

from __future__ import annotations

import pytest

from backstay.api.common import format_time
from backstay.domain import labels, naming, objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import (
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    Resource,
)
from backstay.reconcile import keys
from backstay.reconcile.restore import RestoreReconciler
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import AgentImage
from backstay.stores.snapshots.restore import SnapshotRestores
from backstay.targets.registry import targets_of
from backstay.targets.turns import RestoreTurns

CLOCK = SystemClock()


def reconciler(client: Client) -> RestoreReconciler:
    return RestoreReconciler(
        client,
        EventPoster(client, CLOCK),
        CLOCK,
        lambda _: None,
        stores={"Snapshot": SnapshotRestores(client, CLOCK, AgentImage("", ""))},
        targets=targets_of(client, RollingRoots()),
        turns=RestoreTurns(client, "backstay"),
    )


async def make_request(client: Client, namespace: str) -> Obj:
    """A request whose claim was made and is bound: the pod comes next."""
    meta = {"name": "one", "namespace": namespace}
    source = {"source": {"persistentVolumeClaimName": "data"}}
    snapshot = await client.create(VOLUME_SNAPSHOT, {"metadata": meta, "spec": source})
    spec = {
        "from": {"volumeSnapshot": "one"},
        "claims": [{"claim": "data", "to": {"newClaim": {"name": "aside"}}}],
    }
    request = await client.create(RESTORE_REQUEST, {"metadata": meta, "spec": spec})
    note = {labels.RESTORE_REQUEST: objects.uid(request)}
    claim = await client.create(
        PERSISTENT_VOLUME_CLAIM,
        {
            "metadata": {"name": "aside", "namespace": namespace, "annotations": note},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    await set_status(client, PERSISTENT_VOLUME_CLAIM, claim, {"phase": "Bound"})
    entry = {
        "source": "data",
        "store": "Snapshot",
        "ref": "one",
        "uid": objects.uid(snapshot),
        "target": "NewClaim",
        "claim": "aside",
        "claimUid": objects.uid(claim),
        "into": "aside",
        "claimedAt": format_time(CLOCK.now()),
    }
    status = {
        "phase": "Verifying",
        "startedAt": format_time(CLOCK.now()),
        "items": [entry],
        "into": "aside",
    }
    return await set_status(client, RESTORE_REQUEST, request, status)


async def set_status(client: Client, resource: Resource, obj: Obj, status: Obj) -> Obj:
    body = {"metadata": {"resourceVersion": objects.version(obj)}, "status": status}
    return await client.patch(
        resource,
        objects.name(obj),
        objects.namespace(obj),
        body,
        subresource="status",
    )


async def make_pod(client: Client, request: Obj, owner: str) -> Obj:
    namespace = objects.namespace(request)
    reference = {
        "apiVersion": RESTORE_REQUEST.api_version,
        "kind": RESTORE_REQUEST.kind,
        "name": objects.name(request),
        "uid": owner,
    }
    pod = await client.create(
        POD,
        {
            "metadata": {
                "name": naming.verify_pod_name(objects.uid(request), "data"),
                "namespace": namespace,
                "ownerReferences": [reference],
            },
            "spec": {"containers": [{"name": "verify", "image": "none"}]},
        },
    )
    return await set_status(client, POD, pod, {"phase": "Succeeded"})


@pytest.mark.parametrize("mine", [True, False])
async def test_only_the_pod_of_this_request_verifies_its_claim_and_is_deleted(
    client: Client, namespace: str, *, mine: bool
) -> None:
    request = await make_request(client, namespace)
    pod = await make_pod(client, request, objects.uid(request) if mine else "of-another")
    restores, key = reconciler(client), keys.restore(namespace, "one")

    for _ in range(2):
        await restores.reconcile(key)

    status = (await client.get(RESTORE_REQUEST, "one", namespace))["status"]
    found = await client.find(POD, objects.name(pod), namespace)
    if mine:
        assert (status["phase"], found) == ("Completed", None)
    else:
        assert status["phase"] == "Failed"
        assert "made by somebody else" in status["message"]
        assert found is not None
