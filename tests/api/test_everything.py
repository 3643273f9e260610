"""What a look at everything finds besides the work that it asks for."""

from __future__ import annotations

from tests.support.builders import snapshot
from tests.support.stored import bind, store

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from backstay.observe import metrics
from backstay.reconcile.everything import Everything

TAKEN = "2026-11-22T00:32:00Z"


def shown(namespace: str) -> float | None:
    value: float | None = metrics.REGISTRY.get_sample_value(
        "backstay_orphans", {"namespace": namespace}
    )
    return value


async def make(client: Client, namespace: str, name: str) -> Obj:
    """A snapshot of ours with its content, labels mirrored."""
    stored = await store(client, namespace, snapshot(name, TAKEN, bound=f"{namespace}-{name}"))
    content = await bind(client, stored, policy="Retain")
    mirrored = {
        "metadata": {
            "resourceVersion": objects.version(content),
            "labels": objects.labels(stored),
        }
    }
    await client.patch(VOLUME_SNAPSHOT_CONTENT, objects.name(content), None, mirrored)
    return stored


async def test_orphans_are_counted_by_namespace(client: Client, namespace: str) -> None:
    look = Everything(client, SystemClock(), lambda _: None).look
    for name in ("kept", "lost", "gone", "bare"):
        stored = await make(client, namespace, name)
        if name in ("lost", "gone"):
            await client.delete(VOLUME_SNAPSHOT, name, namespace, uid=objects.uid(stored))
    # a snapshot that only lost our label is none
    bare = {
        "metadata": {
            "resourceVersion": objects.version(stored),
            "labels": {labels.POLICY: None},
        }
    }
    await client.patch(VOLUME_SNAPSHOT, "bare", namespace, bare)

    await look()
    assert shown(namespace) == 2

    for name in ("lost", "gone"):
        content = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-{name}")
        await client.delete(
            VOLUME_SNAPSHOT_CONTENT, objects.name(content), None, uid=objects.uid(content)
        )
    await look()
    assert shown(namespace) is None
