"""Read the artifacts of one policy: its snapshots, and the contents behind them."""

from __future__ import annotations

from backstay.domain import labels, naming, objects
from backstay.domain.carriers import identity
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT


async def policy_snapshots(client: Client, namespace: str, policy: str) -> list[Obj]:
    """Given a policy's address, return its snapshots, whether the policy exists or not."""
    selector = f"{labels.POLICY}={naming.label_value(policy)}"
    found = await client.list(VOLUME_SNAPSHOT, namespace, labels=selector)
    return [s for s in found if identity(s, labels.POLICY) == policy]


async def policy_contents(client: Client, namespace: str, policy: str) -> list[Obj]:
    """Given a policy's address, return the contents that carry its labels."""
    selector = f"{labels.POLICY}={naming.label_value(policy)}"
    found = await client.list(VOLUME_SNAPSHOT_CONTENT, labels=selector)
    return [
        c
        for c in found
        if identity(c, labels.POLICY) == policy
        and dig(c, "spec", "volumeSnapshotRef", "namespace") == namespace
    ]


async def contents_of_handle(client: Client, content: Obj) -> list[Obj]:
    """Given a content, return all others of the same driver and handle."""
    driver, handle = dig(content, "spec", "driver"), handle_of(content)
    others = await client.list(VOLUME_SNAPSHOT_CONTENT)
    return [
        c
        for c in others
        if objects.uid(c) != objects.uid(content)
        and dig(c, "spec", "driver") == driver
        and handle_of(c) == handle
    ]


def handle_of(content: Obj) -> str:
    """Given a content, return the driver's handle of its snapshot, "" before the cut."""
    given = dig(content, "spec", "source", "snapshotHandle")
    return str(dig(content, "status", "snapshotHandle", default=given or ""))
