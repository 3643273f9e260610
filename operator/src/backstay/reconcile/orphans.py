"""Show how many orphans there are."""

from __future__ import annotations

from backstay.domain import objects
from backstay.domain.stores.snapshots.orphans import Census, per_namespace
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT
from backstay.observe import metrics


async def count_orphans(client: Client, census: Census) -> None:
    """Given what a look at everything saw, show how many orphans there are.

    Each suspect is asked for by name: a snapshot that only lost our label is no loss.
    """
    lost = []
    for suspect in census.suspects():
        # Of this name there may be another one by now: the uid says which.
        snapshot = await client.find(VOLUME_SNAPSHOT, suspect.name, suspect.namespace)
        if snapshot is None or objects.uid(snapshot) != suspect.uid:
            lost.append(suspect)
    metrics.on_orphans(per_namespace(lost))
