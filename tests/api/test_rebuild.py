"""Records come back from the artifacts of a policy, on a real API server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.builders import SHA, record, snapshot
from tests.support.copying import planner
from tests.support.killing import Killed, killing
from tests.support.kubectl import Kubectl
from tests.support.passes import retention_of, until_idle
from tests.support.schedules import MovedClock
from tests.support.stored import bind, store

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj, dig
from backstay.domain.records.rebuild import is_asked
from backstay.domain.records.record import DumpRecord
from backstay.engine.queue import Key
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
from backstay.reconcile import keys
from backstay.reconcile.policy import PolicyReconciler
from backstay.reconcile.rebuild import RebuildReconciler
from backstay.settings import RollingRoots

DUMP: Final = DumpRecord("shop", "postgres", "/data/shop.dump", "shop.dump", SHA, 2048, 999, 998)
SLOTS: Final = [datetime(2026, 11, day, 0, 32, tzinfo=UTC) for day in (20, 21, 22)]


async def make_policy(client: Client, namespace: str, **spec: Any) -> Obj:
    wanted = {"source": {"claims": {"names": ["data"]}}, "retention": {"daily": 7}, **spec}
    return await client.create(
        BACKUP_POLICY, {"metadata": {"name": "shop", "namespace": namespace}, "spec": wanted}
    )


def backup_of(slot: datetime) -> str:
    return f"shop-{slot:%Y%m%d-%H%M}"


async def make_point(client: Client, namespace: str, slot: datetime, **values: Any) -> Obj:
    """A good point of the run of a slot, with its content; the run's Backup is not there."""
    name = backup_of(slot)
    made = snapshot(
        f"data-{name}",
        format_time(slot + timedelta(seconds=5)),
        extra={"backup": name, **values},
        notes={"record": record(backup=name, slot=slot, namespace=namespace, dumps=(DUMP,))},
        bound=f"{namespace}-{name}",
    )
    made["status"]["restoreSize"] = "1Gi"
    stored = await store(client, namespace, made)
    await bind(client, stored, policy="Retain")
    return stored


async def rebuild(client: Client, namespace: str) -> list[Key]:
    """The work of the policy's rebuild key until it ends, as the queue would repeat it."""
    asked: list[Key] = []
    clock = SystemClock()
    reconciler = RebuildReconciler(client, EventPoster(client, clock, "test"), clock, asked.append)
    for _ in range(10):
        try:
            await reconciler.reconcile(keys.rebuild(namespace, "shop"))
        except Conflict:
            continue
        return asked
    raise AssertionError("the rebuild never came to an end")


async def run_pass(client: Client, namespace: str) -> None:
    await until_idle(retention_of(client, SystemClock(), namespace, "shop"))


async def backups(client: Client, namespace: str) -> dict[str, Obj]:
    return {objects.name(b): b for b in await client.list(BACKUP, namespace)}


async def test_a_policy_that_is_created_over_artifacts_gets_their_records(
    client: Client, namespace: str
) -> None:
    for slot in SLOTS:
        await make_point(client, namespace, slot)
    policy = await make_policy(client, namespace)
    assert is_asked(policy)

    asked = await rebuild(client, namespace)

    assert asked == [keys.policy(namespace, "shop"), keys.retention(namespace, "shop")]
    found = await backups(client, namespace)
    assert set(found) == {backup_of(slot) for slot in SLOTS}
    one = found[backup_of(SLOTS[0])]
    assert one["spec"] == {
        "policy": "shop",
        "trigger": "Imported",
        "scheduledFor": "2026-11-20T00:32:00Z",
    }
    assert one["status"]["phase"] == "Completed"
    assert one["status"]["dumps"][0]["sha256"] == SHA
    # the artifacts point at their records, and the pass shows what keeps them
    for made in await client.list(VOLUME_SNAPSHOT, namespace):
        run = found[objects.labels(made)[labels.BACKUP]]
        assert objects.annotations(made)[labels.RUN] == objects.uid(run)
    await run_pass(client, namespace)
    shown = (await backups(client, namespace))[backup_of(SLOTS[0])]["status"]
    assert shown["tiers"] == "daily"
    assert shown["until"].startswith("daily until ")
    # and it is done
    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    assert not is_asked(policy)


async def test_records_that_are_deleted_come_back_when_the_annotation_asks_and_not_before(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    await make_policy(client, namespace)
    await rebuild(client, namespace)
    for slot in SLOTS:
        await make_point(client, namespace, slot)
    await rebuild(client, namespace)
    assert await backups(client, namespace) == {}
    kubectl = Kubectl(kubeconfig, namespace)
    for _ in range(2):
        command = ("annotate", "backuppolicy", "shop", "backstay.dev/rebuild=true")
        answer = kubectl(*command)
        assert answer.ok, answer.err

        await rebuild(client, namespace)

        assert set(await backups(client, namespace)) == {backup_of(slot) for slot in SLOTS}
        policy = await client.get(BACKUP_POLICY, "shop", namespace)
        assert labels.REBUILD not in objects.annotations(policy)
        await run_pass(client, namespace)
        assert kubectl("delete", "backups.backstay.dev", "--all").ok
        await rebuild(client, namespace)
        await run_pass(client, namespace)
        assert await backups(client, namespace) == {}


async def test_a_rebuild_with_nothing_to_do_writes_nothing(client: Client, namespace: str) -> None:
    await make_point(client, namespace, SLOTS[0])
    await make_policy(client, namespace)
    await rebuild(client, namespace)
    await run_pass(client, namespace)
    before = await versions(client, namespace)

    await rebuild(client, namespace)
    await run_pass(client, namespace)

    assert await versions(client, namespace) == before


async def versions(client: Client, namespace: str) -> dict[str, str]:
    kinds = (BACKUP_POLICY, BACKUP, VOLUME_SNAPSHOT)
    found = [o for kind in kinds for o in await client.list(kind, namespace)]
    return {f"{o['kind']}/{objects.name(o)}": objects.version(o) for o in found}


async def test_a_content_that_outlived_its_snapshot_has_its_record_too(
    client: Client, namespace: str
) -> None:
    point = await make_point(client, namespace, SLOTS[0])
    await make_policy(client, namespace, retention={"daily": 1})
    await run_pass(client, namespace)
    await client.delete(VOLUME_SNAPSHOT, objects.name(point), namespace, uid=objects.uid(point))

    await rebuild(client, namespace)
    await run_pass(client, namespace)

    (one,) = (await backups(client, namespace)).values()
    (entry,) = one["status"]["points"]
    content = await client.get(VOLUME_SNAPSHOT_CONTENT, entry["snapshot"]["content"])
    assert objects.annotations(content)[labels.RUN] == objects.uid(one)
    assert (entry["ref"], entry["until"]) == (objects.name(point), "gone")


async def test_a_slot_that_a_rebuilt_record_names_is_done(client: Client, namespace: str) -> None:
    # given the record of a slot that comes only after the policy was made
    now = SystemClock().now()
    slot = now.replace(hour=0, minute=32, second=0, microsecond=0)
    slot += timedelta(days=int(slot <= now))
    point = await make_point(client, namespace, slot)
    await make_policy(client, namespace, schedule={"cron": "32 0 * * *"})
    await rebuild(client, namespace)
    # and only the record: the artifact names no slot any more
    version = {
        "resourceVersion": objects.version(
            await client.get(VOLUME_SNAPSHOT, objects.name(point), namespace)
        )
    }
    await client.patch(
        VOLUME_SNAPSHOT,
        objects.name(point),
        namespace,
        {"metadata": {**version, "annotations": {labels.RECORD: None}}},
    )
    clock = MovedClock()
    clock.move_to(slot + timedelta(minutes=1))
    events = EventPoster(client, clock, "test")
    policies = PolicyReconciler(
        client, events, clock, lambda _: None, planner=planner(client, RollingRoots())
    )

    await policies.reconcile(keys.policy(namespace, "shop"))

    status = (await client.get(BACKUP_POLICY, "shop", namespace))["status"]
    assert status["nextRun"] == f"{slot + timedelta(days=1):%Y-%m-%d %H:%M}"


async def test_a_name_that_another_run_has_taken_is_reported_and_keeps_no_other_record_away(
    client: Client, namespace: str
) -> None:
    for slot in SLOTS[:2]:
        await make_point(client, namespace, slot)
    spec = {"policy": "other"}
    body = {"metadata": {"name": backup_of(SLOTS[0]), "namespace": namespace}, "spec": spec}
    theirs = await client.create(BACKUP, body)
    policy = await make_policy(client, namespace)

    await rebuild(client, namespace)

    found = await backups(client, namespace)
    assert set(found) == {backup_of(slot) for slot in SLOTS[:2]}
    assert objects.version(found[backup_of(SLOTS[0])]) == objects.version(theirs)
    (event,) = [
        e
        for e in await client.list(EVENT, namespace)
        if dig(e, "involvedObject", "uid") == objects.uid(policy)
    ]
    assert (event["reason"], event["type"]) == ("Rebuilt", "Warning")
    assert f"Backup {backup_of(SLOTS[0])} is there and is another run's" in event["message"]


@pytest.mark.timeout(120)
async def test_killed_before_any_write_the_next_one_ends_the_same(
    client: Client, credentials: Login, namespace: str
) -> None:
    async def world(place: str) -> None:
        await client.create(NAMESPACE, {"metadata": {"name": place}})
        for slot in SLOTS[:2]:
            await make_point(client, place, slot)
        policy = await make_policy(client, place)
        body = {
            "metadata": {
                "resourceVersion": objects.version(policy),
                "annotations": {labels.REBUILD: "true"},
            }
        }
        await client.patch(BACKUP_POLICY, "shop", place, body)

    kills, killed = 0, True
    while killed:
        place = f"{namespace}-{kills}"
        await world(place)
        async with Client(credentials, SystemClock(), fence=killing(kills)) as mortal:
            try:
                await rebuild(mortal, place)
                killed = False
            except Killed:
                pass

        await rebuild(client, place)

        found = await backups(client, place)
        assert set(found) == {backup_of(slot) for slot in SLOTS[:2]}
        assert all(dig(b, "status", "phase") == "Completed" for b in found.values())
        pointing = {
            objects.annotations(s)[labels.RUN] for s in await client.list(VOLUME_SNAPSHOT, place)
        }
        assert pointing == {objects.uid(b) for b in found.values()}
        policy = await client.get(BACKUP_POLICY, "shop", place)
        assert not is_asked(policy)
        kills += killed
    # a Backup, its status and the pointer of each of two; the policy's status, the Event, the end
    assert kills == 9
