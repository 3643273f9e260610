"""Contents of snapshots as a driver and a sweep leave them."""

from __future__ import annotations

from backstay.domain import labels, objects
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

DATE = "2020-01-01"


async def bind(client: Client, namespace: str, snapshot: str) -> str:
    """Make the content of a snapshot as a driver would; return its name."""
    read = await client.get(VOLUME_SNAPSHOT, snapshot, namespace)
    name = f"content-{snapshot}-{namespace}"
    ref = {"namespace": namespace, "name": snapshot, "uid": objects.uid(read)}
    await make_content(client, name, ref, handle=name)
    status = {
        "metadata": {"resourceVersion": objects.version(read)},
        "status": {"boundVolumeSnapshotContentName": name},
    }
    await client.patch(VOLUME_SNAPSHOT, snapshot, namespace, status, subresource="status")
    return name


async def make_content(
    client: Client, name: str, ref: dict[str, str], *, handle: str, **notes: str
) -> None:
    swept = {labels.SWEPT: notes.pop("swept")} if "swept" in notes else {}
    body = {
        "metadata": {
            "name": name,
            "labels": {labels.DELETE_AFTER: DATE, **swept},
            "annotations": {labels.PREFIX + k: v for k, v in notes.items()},
        },
        "spec": {
            "driver": "csi.example",
            "deletionPolicy": "Delete",
            "source": {"snapshotHandle": handle},
            "volumeSnapshotRef": ref,
        },
    }
    await client.create(VOLUME_SNAPSHOT_CONTENT, body)
