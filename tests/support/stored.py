"""Put objects on a real API server as their controllers would leave them."""

from __future__ import annotations

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT


async def store(client: Client, namespace: str, made: Obj) -> Obj:
    """Create a VolumeSnapshot as its controller would leave it. It is as old as its status says:
    the API server would have it made now.
    """
    metadata = {k: v for k, v in made["metadata"].items() if k in ("name", "labels", "annotations")}
    status = made["status"]
    old = {labels.TAKEN_AT: status["creationTime"], labels.GOOD_SINCE: status["creationTime"]}
    metadata["annotations"] = old | metadata.get("annotations", {})
    stored = await client.create(
        VOLUME_SNAPSHOT, {"metadata": {**metadata, "namespace": namespace}, "spec": made["spec"]}
    )
    version = {"resourceVersion": objects.version(stored)}
    return await client.patch(
        VOLUME_SNAPSHOT,
        objects.name(made),
        namespace,
        {"metadata": version, "status": status},
        subresource="status",
    )


async def bind(client: Client, stored: Obj, *, policy: str = "Delete") -> Obj:
    """Given a stored snapshot, create the content that it says it is bound to, as its controller
    makes it: with no labels, and the deletionPolicy of its class.
    """
    ref = {
        "name": objects.name(stored),
        "namespace": objects.namespace(stored),
        "uid": objects.uid(stored),
    }
    return await client.create(
        VOLUME_SNAPSHOT_CONTENT,
        {
            "metadata": {"name": stored["status"]["boundVolumeSnapshotContentName"]},
            "spec": {
                "driver": "csi.example",
                "deletionPolicy": policy,
                "source": {"volumeHandle": "disk"},
                "volumeSnapshotRef": ref,
            },
        },
    )
