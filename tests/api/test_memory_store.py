"""A store of a third kind, registered in one line, is driven by what there is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.memory_store import MEMORY, Memory, MemoryStore
from tests.support.operated import Operated
from tests.support.schedules import MovedClock, make_source, policy_body

from backstay.domain import labels
from backstay.domain.errors import Transient
from backstay.domain.objects import Obj
from backstay.domain.restore.sights import Fill
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    RESTORE_REQUEST,
)
from backstay.reconcile import keys


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def store(memory: Memory) -> MemoryStore:
    return MemoryStore(memory)


@pytest.fixture
async def operated(
    client: Client, credentials: Login, namespace: str, store: MemoryStore
) -> Operated:
    await make_source(client, namespace)
    policy = policy_body(namespace, "shop")
    policy["spec"] |= {"retention": {"daily": 3}}
    await client.create(BACKUP_POLICY, policy)
    return Operated(
        client,
        credentials,
        MovedClock(),
        namespace,
        registry=lambda _: (store,),
    )


async def ask(operated: Operated, name: str) -> None:
    spec = {"policy": "shop", "trigger": "AdHoc", "keepDays": 1}
    body = {"metadata": {"name": name, "namespace": operated.namespace}, "spec": spec}
    await operated.client.create(BACKUP, body)
    await step(operated, name)
    await operated.reconcile(keys.ADMISSION)


async def step(operated: Operated, name: str) -> Obj:
    await operated.reconcile(keys.backup(operated.namespace, name))
    stored: Obj = await operated.client.get(BACKUP, name, operated.namespace)
    return stored


async def run(operated: Operated, name: str) -> Obj:
    await ask(operated, name)
    for _ in range(5):
        status: Obj = (await step(operated, name))["status"]
        if status["phase"] == "Completed":
            return status
    raise AssertionError(f"{name} is {status['phase']}: {status.get('message')}")


async def test_a_run_makes_its_points_and_a_policy_counts_them(
    operated: Operated, memory: Memory
) -> None:
    status = await run(operated, "first")

    (planned,), (point,) = status["plan"]["points"], status["points"]
    assert planned == {"source": "data", "store": MEMORY, "claim": "data", "keepDays": 1}
    assert (point["source"], point["store"], point["result"]) == ("data", MEMORY, "good")
    place = operated.namespace, "shop"
    assert list(memory.points[place]) == [point["ref"]]
    assert keys.retention(*place) in operated.asked

    await operated.reconcile(keys.policy(*place))
    policy: Obj = (await operated.client.get(BACKUP_POLICY, "shop", operated.namespace))["status"]
    (series,) = policy["series"]
    assert (series["source"], series["store"], series["good"]) == ("data", MEMORY, 1)


async def test_what_keeps_it_from_a_point_is_reported_and_waited_for(
    operated: Operated, memory: Memory
) -> None:
    memory.full = True
    await ask(operated, "first")

    with pytest.raises(Transient, match="the memory is full"):
        await step(operated, "first")

    stored: Obj = await operated.client.get(BACKUP, "first", operated.namespace)
    assert stored["status"]["message"] == "the memory is full"
    memory.full = False
    await step(operated, "first")
    assert (await step(operated, "first"))["status"]["phase"] == "Completed"


async def test_what_fails_for_longer_than_it_may_fails_the_point(
    operated: Operated, memory: Memory
) -> None:
    memory.full = True
    await ask(operated, "first")
    operated.clock.move_to(operated.clock.now() + timedelta(minutes=10))

    status: Obj = (await step(operated, "first"))["status"]

    assert (status["phase"], status["points"][0]["result"]) == ("Queued", "failed")
    assert status["message"] == "attempt 1 failed: memory data: the memory is full"


async def test_its_points_are_judged_by_the_rules_of_the_policy_and_records_follow(
    operated: Operated, memory: Memory
) -> None:
    status = await run(operated, "first")
    (point,), place = status["points"], (operated.namespace, "shop")
    carried = memory.points[place][point["ref"]].labels
    assert carried[labels.RETAIN] == "days"

    await operated.reconcile(keys.retention(*place))

    shown: Obj = await operated.client.get(BACKUP, "first", operated.namespace)
    assert shown["status"]["until"] == f"until {carried[labels.DELETE_AFTER][5:]}"
    operated.clock.move_to(operated.clock.now() + timedelta(days=4))
    await run(operated, "second")
    for _ in range(4):
        await operated.reconcile(keys.retention(*place))
    assert list(memory.points[place]) == ["second-data-1"]
    assert await operated.client.find(BACKUP, "first", operated.namespace) is None
    assert await operated.client.find(BACKUP, "second", operated.namespace) is not None


async def test_a_restore_fills_a_new_claim_from_it(operated: Operated, store: MemoryStore) -> None:
    await run(operated, "first")
    wanted = {"claim": "data", "to": {"newClaim": {"name": "back"}}}
    body = {
        "metadata": {"name": "back", "namespace": operated.namespace},
        "spec": {"from": {"backup": "first"}, "claims": [wanted]},
    }
    await operated.client.create(RESTORE_REQUEST, body)

    async def look(times: int) -> Obj:
        for _ in range(times):
            await operated.reconcile(keys.restore(operated.namespace, "back"))
        found = await operated.client.get(RESTORE_REQUEST, "back", operated.namespace)
        status: Obj = found["status"]
        return status

    status = await look(5)

    (item,) = status["items"]
    assert (item["store"], item["target"], status["phase"]) == (MEMORY, "NewClaim", "Restoring")
    claim = await operated.client.get(PERSISTENT_VOLUME_CLAIM, "back", operated.namespace)
    assert claim["spec"]["storageClassName"] == "fast"
    store.restores.outcome = Fill(begun=True, done=True, says="all of it is there")

    status = await look(3)

    assert (status["phase"], status["message"]) == ("Completed", "claim back: all of it is there")
    assert store.restores.did == ["hold", "fill", "stop", "release"]
