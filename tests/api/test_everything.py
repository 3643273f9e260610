"""What a look at everything finds besides the work that it asks for."""

from __future__ import annotations

import pytest
from tests.support.builders import snapshot
from tests.support.copying import stores
from tests.support.stored import bind, store

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from backstay.observe import metrics
from backstay.reconcile import keys
from backstay.reconcile.resync import Everything

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
    look = Everything(client, SystemClock(), lambda _: None, stores=stores(client)).look
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


@pytest.mark.parametrize(
    ("notes", "taken"),
    [
        ({"accept-size": "data@0001-01-01T00:00:00+14:00"}, TAKEN),
        ({}, "0001-01-01T00:00:00Z"),
    ],
    ids=["an annotation", "a time of no zone"],
)
async def test_what_is_amiss_in_one_place_keeps_no_other_from_being_looked_at(
    client: Client, namespace: str, notes: dict[str, str], taken: str
) -> None:
    for name in ("a-bad", "b-good"):
        spec = {
            "source": {"claims": {"names": ["data"]}},
            "schedule": {"cron": "@daily", "timeZone": "America/New_York"},
            "retention": {"daily": 1},
        }
        mine = {f"{labels.PREFIX}{k}": v for k, v in notes.items()} if name == "a-bad" else {}
        metadata = {"name": name, "namespace": namespace, "annotations": mine}
        await client.create(BACKUP_POLICY, {"metadata": metadata, "spec": spec})
        when = taken if name == "a-bad" else TAKEN
        made = snapshot(f"of-{name}", when, extra={"policy": name}, bound=f"{namespace}-of-{name}")
        await bind(client, await store(client, namespace, made))
    woken: list[Key] = []

    await Everything(client, SystemClock(), woken.append, stores=stores(client)).look()

    for name in ("a-bad", "b-good"):
        assert keys.policy(namespace, name) in woken
        assert keys.retention(namespace, name) in woken
