"""Read the artifacts of one policy."""

from __future__ import annotations

from backstay.domain import labels, naming
from backstay.domain.carriers import identity
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT


async def policy_snapshots(client: Client, namespace: str, policy: str) -> list[Obj]:
    """Given a policy's address, return its snapshots, whether the policy exists or not."""
    selector = f"{labels.POLICY}={naming.label_value(policy)}"
    found = await client.list(VOLUME_SNAPSHOT, namespace, labels=selector)
    return [s for s in found if identity(s, labels.POLICY) == policy]
