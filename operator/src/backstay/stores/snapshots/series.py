"""Read the artifacts of one policy."""

from __future__ import annotations

from backstay.domain import labels, naming
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.carriers import identity
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT


async def policy_snapshots(client: Client, namespace: str, policy: str) -> list[Obj]:
    """Given a policy's address, return its snapshots, whether the policy exists or not."""
    selector = f"{labels.POLICY}={naming.label_value(policy)}"
    found = await client.list(VOLUME_SNAPSHOT, namespace, labels=selector)
    # A name that is too long is a hash in the label: the annotation says whose it is.
    return [s for s in found if identity(s, labels.POLICY) == policy]


async def policy_contents(client: Client, namespace: str, policy: str) -> list[Obj]:
    """Given a policy's address, return the contents that carry its labels. It looks at those of
    the whole cluster: for what is rare.
    """
    selector = f"{labels.POLICY}={naming.label_value(policy)}"
    found = await client.list(VOLUME_SNAPSHOT_CONTENT, labels=selector)
    # Contents have no namespace, and policies of many namespaces may have one name.
    return [
        c
        for c in found
        if identity(c, labels.POLICY) == policy
        and dig(c, "spec", "volumeSnapshotRef", "namespace") == namespace
    ]
