"""Points that somebody else deletes, on a real API server: reported, and kept on record until a
person says that they may be forgotten. What a sweep of ours takes is never reported, whenever it
died.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import record, snapshot
from tests.support.copying import planner, stores
from tests.support.killing import Killed, killing
from tests.support.kubectl import Kubectl
from tests.support.passes import retention_of, until_idle
from tests.support.stored import bind, store

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.content import MIRRORED_NOTES
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    EVENT,
    NAMESPACE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.observe import metrics
from backstay.reconcile import keys
from backstay.reconcile.policy import PolicyReconciler
from backstay.reconcile.resync import Everything
from backstay.settings import RollingRoots

NOW = SystemClock().now().replace(microsecond=0)


def at(age: int) -> datetime:
    return NOW - timedelta(days=age, hours=1)


async def make_policy(client: Client, namespace: str, **spec: Any) -> Obj:
    wanted = {"source": {"claims": {"names": ["data"]}}, "retention": {"daily": 7}, **spec}
    meta = {"name": "shop", "namespace": namespace}
    return await client.create(BACKUP_POLICY, {"metadata": meta, "spec": wanted})


async def make_point(client: Client, namespace: str, age: int, **extra: str) -> None:
    """A good point of so many days ago with its content and its record, as a run leaves them."""
    name, slot = f"shop-{age}", at(age)
    spec = {"policy": "shop", "trigger": "Scheduled", "scheduledFor": format_time(slot)}
    meta = {"name": name, "namespace": namespace}
    run = await client.create(BACKUP, {"metadata": meta, "spec": spec})
    notes = {
        "run": objects.uid(run),
        "record": record(backup=name, slot=slot, namespace=namespace),
    }
    made = snapshot(
        f"data-{age}",
        format_time(slot),
        extra={"backup": name, **extra},
        notes=notes,
        bound=f"{namespace}-{age}",
    )
    stored = await store(client, namespace, made)
    content = await bind(client, stored, policy="Retain")
    mirrored = {
        "labels": objects.labels(stored),
        "annotations": {
            k: v for k, v in objects.annotations(stored).items() if k in MIRRORED_NOTES
        },
    }
    content = await patch(client, VOLUME_SNAPSHOT_CONTENT, content, {"metadata": mirrored})
    handle = {"status": {"snapshotHandle": f"disk-{namespace}-{age}"}}
    await patch(client, VOLUME_SNAPSHOT_CONTENT, content, handle, subresource="status")
    point = {"source": "data", "store": "Snapshot", "attempt": 1, "result": "good"}
    point["ref"] = f"data-{age}"
    point["snapshot"] = {"content": f"{namespace}-{age}"}
    status = {"phase": "Completed", "completedAt": format_time(slot), "points": [point]}
    await patch(client, BACKUP, run, {"status": status}, subresource="status")


async def patch(client: Client, resource: Any, obj: Obj, body: Obj, **how: Any) -> Obj:
    metadata = {**body.get("metadata", {}), "resourceVersion": objects.version(obj)}
    name, namespace = objects.name(obj), objects.namespace(obj) or None
    return await client.patch(resource, name, namespace, {**body, "metadata": metadata}, **how)


async def take(client: Client, namespace: str, age: int) -> None:
    """What `backup-ns delete` does, the content to Delete and then the snapshot, and what its
    controller and the driver do then.
    """
    content = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-{age}")
    await patch(client, VOLUME_SNAPSHOT_CONTENT, content, {"spec": {"deletionPolicy": "Delete"}})
    await delete_snapshot(client, namespace, age)
    await client.delete(
        VOLUME_SNAPSHOT_CONTENT, f"{namespace}-{age}", None, uid=objects.uid(content)
    )


async def delete_snapshot(client: Client, namespace: str, age: int) -> None:
    found = await client.get(VOLUME_SNAPSHOT, f"data-{age}", namespace)
    await client.delete(VOLUME_SNAPSHOT, f"data-{age}", namespace, uid=objects.uid(found))


async def run_passes(client: Client, namespace: str) -> None:
    await until_idle(retention_of(client, SystemClock(), namespace, "shop"))


async def look_at_policy(client: Client, namespace: str) -> Obj:
    """Let the policy be described; return its status."""
    clock = SystemClock()
    events = EventPoster(client, clock, "test")
    plans = planner(client, RollingRoots())
    policies = PolicyReconciler(client, events, clock, lambda _: None, planner=plans)
    await policies.reconcile(keys.policy(namespace, "shop"))
    status: Obj = (await client.get(BACKUP_POLICY, "shop", namespace))["status"]
    return status


async def backups(client: Client, namespace: str) -> dict[str, Obj]:
    return {objects.name(b): b["status"] for b in await client.list(BACKUP, namespace)}


async def phases(client: Client, namespace: str) -> dict[str, str]:
    return {n: status["phase"] for n, status in (await backups(client, namespace)).items()}


async def condition(client: Client, namespace: str) -> Obj | None:
    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    found = dig(policy, "status", "conditions", default=[])
    return next((c for c in found if c["type"] == "PointsMissing"), None)


async def events(client: Client, namespace: str, reason: str) -> list[Obj]:
    return [e for e in await client.list(EVENT, namespace) if e["reason"] == reason]


def shown_missing(namespace: str) -> float | None:
    value: float | None = metrics.REGISTRY.get_sample_value(
        "backstay_missing_points", {"namespace": namespace, "policy": "shop"}
    )
    return value


async def test_what_another_pruner_deletes_is_reported_and_kept_on_record_until_a_person_accepts_it(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    await make_policy(client, namespace)
    for age in range(4):
        await make_point(client, namespace, age)
    await run_passes(client, namespace)
    assert (await look_at_policy(client, namespace))["good"] == 4
    assert await condition(client, namespace) is None

    for age in (0, 2):
        await take(client, namespace, age)
    await run_passes(client, namespace)

    assert await phases(client, namespace) == {
        "shop-0": "Gone",
        "shop-1": "Completed",
        "shop-2": "Gone",
        "shop-3": "Completed",
    }
    gone = (await backups(client, namespace))["shop-0"]
    assert gone["until"] == "gone"
    (point,) = gone["points"]
    assert point["gone"] == "Missing"
    assert f"disk snapshot is disk-{namespace}-0" in point["message"]
    reported = await condition(client, namespace)
    assert reported is not None
    assert (reported["status"], reported["reason"]) == ("True", "NotFound")
    assert "claim data: 2 good points are missing, first data-0: " in reported["message"]
    (event,) = await events(client, namespace, "PointsMissing")
    assert event["type"] == "Warning"
    status = await look_at_policy(client, namespace)
    assert (status["good"], status["series"][0]["newest"]) == (2, format_time(at(1)))
    assert status["lastSuccess"] == format_time(at(1))
    assert shown_missing(namespace) == 2

    # one more goes: it is reported again, and what they were to say for two is no word for three
    program, *command = shlex.split(reported["message"].partition("run: ")[2])
    assert program == "kubectl"
    await take(client, namespace, 3)
    await run_passes(client, namespace)
    assert len(await events(client, namespace, "PointsMissing")) == 2
    assert Kubectl(kubeconfig, "default")(*command).ok
    await run_passes(client, namespace)
    assert len(await backups(client, namespace)) == 4

    reported = await condition(client, namespace)
    assert reported is not None
    _, *command = shlex.split(reported["message"].partition("run: ")[2])
    assert Kubectl(kubeconfig, "default")(*command).ok
    await run_passes(client, namespace)

    assert await phases(client, namespace) == {"shop-1": "Completed"}
    reported = await condition(client, namespace)
    assert reported is not None
    assert (reported["status"], reported["reason"]) == ("False", "NoneMissing")
    await look_at_policy(client, namespace)
    assert shown_missing(namespace) == 0


async def test_a_loss_that_is_reported_costs_no_further_write_and_wakes_no_pass(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    for age in range(3):
        await make_point(client, namespace, age)
    await take(client, namespace, 2)
    woken: list[Any] = []
    everything = Everything(client, SystemClock(), woken.append, stores=stores(client))
    await everything.look()
    assert keys.retention(namespace, "shop") in woken
    await run_passes(client, namespace)
    assert await condition(client, namespace) is not None
    before = await versions(client, namespace)
    woken.clear()

    await everything.look()
    await run_passes(client, namespace)

    assert keys.retention(namespace, "shop") not in woken
    assert await versions(client, namespace) == before


async def versions(client: Client, namespace: str) -> dict[str, str]:
    kinds = (BACKUP_POLICY, BACKUP, VOLUME_SNAPSHOT, EVENT)
    found = [o for kind in kinds for o in await client.list(kind, namespace)]
    return {f"{o['kind']}/{objects.name(o)}": objects.version(o) for o in found}


async def test_a_snapshot_deleted_by_hand_is_reported_with_what_is_left_and_its_record_comes_back(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    for age in (0, 1):
        await make_point(client, namespace, age)
    await run_passes(client, namespace)
    await delete_snapshot(client, namespace, 1)
    await run_passes(client, namespace)
    reported = await condition(client, namespace)
    assert reported is not None
    assert f"{namespace}-1 is left and can be rebound" in reported["message"]
    assert (await phases(client, namespace))["shop-1"] == "Gone"

    # as docs/how-to/rebind-an-orphan.md says: a new pair on the same disk snapshot
    old = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-1")
    made = snapshot("data-1", format_time(at(1)), bound=f"{namespace}-1-rebound")
    made["metadata"]["labels"] = objects.labels(old)
    made["metadata"]["annotations"] = objects.annotations(old)
    stored = await store(client, namespace, made)
    content = await bind(client, stored, policy="Retain")
    handle = {"status": {"snapshotHandle": f"disk-{namespace}-1"}}
    await patch(client, VOLUME_SNAPSHOT_CONTENT, content, handle, subresource="status")
    await client.delete(VOLUME_SNAPSHOT_CONTENT, objects.name(old), None, uid=objects.uid(old))
    await run_passes(client, namespace)

    status = (await backups(client, namespace))["shop-1"]
    assert status["phase"] == "Completed"
    (point,) = status["points"]
    assert point["snapshot"]["content"] == f"{namespace}-1-rebound"
    assert "gone" not in point
    reported = await condition(client, namespace)
    assert reported is not None
    assert reported["status"] == "False"


async def test_a_snapshot_whose_label_was_taken_off_is_not_reported_as_lost(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    for age in (0, 1):
        await make_point(client, namespace, age)
    bare = await client.get(VOLUME_SNAPSHOT, "data-1", namespace)
    await patch(client, VOLUME_SNAPSHOT, bare, {"metadata": {"labels": {labels.POLICY: None}}})

    await run_passes(client, namespace)

    assert (await backups(client, namespace))["shop-1"]["until"] == "kept"
    assert await condition(client, namespace) is None


async def test_a_content_that_somebody_made_delete_is_retain_again_and_reported(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    await make_point(client, namespace, 0)
    await run_passes(client, namespace)
    content = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-0")
    await patch(client, VOLUME_SNAPSHOT_CONTENT, content, {"spec": {"deletionPolicy": "Delete"}})

    await run_passes(client, namespace)

    content = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-0")
    assert content["spec"]["deletionPolicy"] == "Retain"
    (event,) = await events(client, namespace, "DeletionPolicyReset")
    assert event["type"] == "Warning"
    assert f"{namespace}-0" in event["message"]
    assert await condition(client, namespace) is None


@pytest.mark.timeout(180)
async def test_wherever_a_pass_dies_what_it_swept_is_not_reported_and_what_vanished_is(
    client: Client, credentials: Login, namespace: str
) -> None:
    kills, halves, killed = 0, 0, True
    while killed:
        place = f"{namespace}-{kills}"
        await client.create(NAMESPACE, {"metadata": {"name": place}})
        await make_policy(client, place)
        await make_point(client, place, 0)
        await make_point(client, place, 1)
        await make_point(client, place, 5, **{"delete-after": "2020-01-01"})
        await take(client, place, 1)
        clock = SystemClock()
        async with Client(credentials, clock, fence=killing(kills)) as mortal:
            try:
                await until_idle(retention_of(mortal, clock, place, "shop"))
                killed = False
            except Killed:
                pass
        await run_passes(client, place)

        found = await backups(client, place)
        if (left := found.pop("shop-5", None)) is not None:
            # It died on the way of the sweep, and what it left is for a person to decide on.
            assert left["points"][0]["gone"] == "Swept"
            assert left["phase"] == "Completed"
            assert await client.find(VOLUME_SNAPSHOT_CONTENT, f"{place}-5") is not None
            halves += 1
        phases_of = {name: status["phase"] for name, status in found.items()}
        assert phases_of == {"shop-0": "Completed", "shop-1": "Gone"}
        reported = await condition(client, place)
        assert reported is not None
        assert reported["message"].startswith("claim data: 1 good point is missing, first data-1: ")
        assert len(await events(client, place, "PointsMissing")) == 1
        kills += killed
    assert kills > 8
    assert halves <= 1, "only between the DELETE of the snapshot and the write after it"


@pytest.mark.timeout(180)
async def test_wherever_a_pass_dies_what_another_takes_meanwhile_is_reported(
    client: Client, credentials: Login, namespace: str
) -> None:
    """A point is held after its sweep was announced or begun, and then somebody deletes it."""
    kills, killed = 0, True
    while killed:
        place = f"{namespace}-{kills}"
        await client.create(NAMESPACE, {"metadata": {"name": place}})
        await make_policy(client, place)
        await make_point(client, place, 0)
        await make_point(client, place, 5, **{"delete-after": "2020-01-01"})
        clock = SystemClock()
        async with Client(credentials, clock, fence=killing(kills)) as mortal:
            try:
                await until_idle(retention_of(mortal, clock, place, "shop"))
                killed = False
            except Killed:
                pass
        found = await client.find(VOLUME_SNAPSHOT, "data-5", place)
        if found is None:
            break  # From here on the sweep has taken it.
        await patch(client, VOLUME_SNAPSHOT, found, {"metadata": {"labels": {labels.HOLD: "true"}}})
        await run_passes(client, place)
        assert (await phases(client, place))["shop-5"] == "Completed"
        await take(client, place, 5)
        await run_passes(client, place)

        assert (await phases(client, place))["shop-5"] == "Gone"
        assert await condition(client, place) is not None
        kills += killed
    assert kills >= 3
