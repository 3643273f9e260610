"""What proves that a sweep took a snapshot, on a real API server: our own DELETE, and nothing
that was written before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from tests.faults.retention.stage import Stage, check_orphan
from tests.faults.retention.test_rivals import first_write
from tests.faults.retention.world import Made, World
from tests.support import lives
from tests.support.fault_proxy import Call, FaultProxy, Moment, Point
from tests.support.passes import retention_reconciler
from tests.support.waiting import within

from backstay.domain import labels, objects
from backstay.domain.errors import BackstayError
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import login
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Resource
from backstay.reconcile import keys
from backstay.reconcile.retention import RetentionReconciler

CLOCK = SystemClock()
OTHERS = "example.dev/waits"
"""A finalizer of somebody else."""
POINTS = (
    Made("newest", 0),
    Made("second", 1),
    Made("third", 2),
    Made("expired", 20, marked=3),
)


@contextlib.asynccontextmanager
async def settled(stage: Stage) -> AsyncIterator[tuple[World, FaultProxy]]:
    """A world whose only work is the sweep of `expired`, and a way to it."""
    world = World.new(stage.client)
    await world.make(POINTS, in_use=False)
    async with stage.proxy() as proxy:
        life = stage.start(world, proxy)
        died = proxy.kill_at(
            first_write(world, "expired"), Moment.BEFORE, partial(lives.kill, life)
        )
        assert await lives.ended(life) == lives.KILLED
        assert died.is_set()
    async with stage.proxy() as proxy:
        yield world, proxy


async def patch(
    client: Client, resource: Resource, name: str, namespace: str | None, **changes: Any
) -> Obj:
    """A person, or another controller, patches the metadata of an object."""
    found = await client.get(resource, name, namespace)
    body = {"metadata": {"resourceVersion": objects.version(found), **changes}}
    return await client.patch(resource, name, namespace, body)


async def delete_by_hand(stage: Stage, world: World) -> None:
    found = await stage.client.get(VOLUME_SNAPSHOT, "expired", world.namespace)
    await stage.client.delete(VOLUME_SNAPSHOT, "expired", world.namespace, uid=objects.uid(found))
    await stage.disks.settled()
    assert await stage.client.find(VOLUME_SNAPSHOT, "expired", world.namespace) is None


async def check_kept(stage: Stage, world: World) -> None:
    await stage.finish(world)
    await check_orphan(stage, world, "expired")
    await stage.disks.settled()
    assert world.content_name("expired") not in stage.disks.deleted.get(world.namespace, [])


async def check_swept(stage: Stage, world: World) -> None:
    await stage.finish(world)
    await stage.disks.settled()
    assert world.content_name("expired") in stage.disks.deleted[world.namespace]
    content = world.content_name("expired")
    assert await stage.client.find(VOLUME_SNAPSHOT_CONTENT, content) is None


@contextlib.asynccontextmanager
async def retention(stage: Stage, proxy: FaultProxy) -> AsyncIterator[RetentionReconciler]:
    """Retention in this process, behind a proxy."""
    config = proxy.write_kubeconfig(stage.folder / "kubeconfig")
    async with Client(await login(config), CLOCK) as client:
        yield retention_reconciler(client, CLOCK)


# ---- a sweep that was about to begin, and a person who thought better of it ---------------------


@pytest.mark.parametrize("earlier", [True, False], ids=["of an earlier version", "of this one"])
@pytest.mark.parametrize(
    ("mind", "passes"),
    [
        ({}, False),
        ({labels.HOLD: "true"}, False),
        ({labels.HOLD: "true", labels.DELETE_AFTER: None}, False),
        ({labels.DELETE_AFTER: None}, False),
        ({labels.HOLD: "true"}, True),
    ],
    ids=["at once", "held", "held and undated", "undated", "held, with a pass in between"],
)
async def test_a_snapshot_deleted_by_hand_after_a_sweep_died_before_its_delete_is_an_orphan(
    stage: Stage, earlier: bool, mind: dict[str, str | None], passes: bool
) -> None:
    async with settled(stage) as (world, _):
        if earlier:
            snapshot = await stage.client.get(VOLUME_SNAPSHOT, "expired", world.namespace)
            intent = {labels.SWEEP: objects.uid(snapshot)}
            await patch(
                stage.client,
                VOLUME_SNAPSHOT_CONTENT,
                world.content_name("expired"),
                None,
                annotations=intent,
            )
        if mind:
            await patch(stage.client, VOLUME_SNAPSHOT, "expired", world.namespace, labels=mind)
        if passes:
            await stage.finish(world)
        await delete_by_hand(stage, world)
        await check_kept(stage, world)


# ---- a DELETE of ours, and what may come between it and its proof -------------------------------


async def test_a_cancelled_pass_writes_the_proof_of_what_it_has_deleted(stage: Stage) -> None:
    """As at each rollout of the operator."""
    async with settled(stage) as (world, proxy), retention(stage, proxy) as reconciler:
        hold = proxy.hold_at(first_write(world, "expired"), Moment.COMMITTED)
        key = keys.retention(world.namespace, world.policy)
        running = asyncio.create_task(reconciler.reconcile(key))
        async with within(180, "the snapshot to be deleted"):
            await hold.reached.wait()
        running.cancel()
        hold.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        await check_swept(stage, world)


def bump(stage: Stage, world: World) -> Any:
    """As the snapshot controller does when a snapshot goes."""
    note = {"snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes"}
    content = world.content_name("expired")
    return patch(stage.client, VOLUME_SNAPSHOT_CONTENT, content, None, annotations=note)


def hold_content(stage: Stage, world: World) -> Any:
    """A person labels the content."""
    held = {labels.HOLD: "true"}
    content = world.content_name("expired")
    return patch(stage.client, VOLUME_SNAPSHOT_CONTENT, content, None, labels=held)


@pytest.mark.parametrize(("meddle", "check"), [(bump, check_swept), (hold_content, check_kept)])
async def test_a_content_that_changes_before_the_proof_is_read_again(
    stage: Stage, meddle: Callable[[Stage, World], Any], check: Callable[[Stage, World], Any]
) -> None:
    async with settled(stage) as (world, proxy):
        proof = Call("patch", "volumesnapshotcontents", "", "", world.content_name("expired"))
        hold = proxy.hold_at(Point(proof))
        life = stage.start(world, proxy)
        async with within(180, "the process to come to the proof"):
            await hold.reached.wait()
        await stage.disks.settled()
        await meddle(stage, world)
        hold.go_on.set()
        assert await lives.ended(life) == 0
        assert Point(proof) in proxy.refused
        await check(stage, world)


@pytest.mark.parametrize(
    ("lingers", "mind", "check"),
    [
        (True, {}, check_swept),
        (True, {labels.HOLD: "true"}, check_kept),
        (False, {}, check_kept),
    ],
    ids=["seen going", "seen going, and held", "gone"],
)
async def test_a_delete_without_an_answer_proves_what_is_seen_going_while_it_is_due(
    stage: Stage,
    lingers: bool,
    mind: dict[str, str],
    check: Callable[[Stage, World], Any],
) -> None:
    async with settled(stage) as (world, proxy), retention(stage, proxy) as reconciler:
        where = VOLUME_SNAPSHOT, "expired", world.namespace
        if lingers:
            await patch(stage.client, *where, finalizers=[OTHERS])

        async def lose_the_answer() -> None:
            if mind:
                await patch(stage.client, *where, labels=mind)
            if not lingers:
                await stage.disks.settled()
            proxy.sever()
            asyncio.get_running_loop().call_later(0.1, proxy.mend)

        proxy.at(first_write(world, "expired"), Moment.COMMITTED, lose_the_answer)
        with contextlib.suppress(BackstayError):
            await reconciler.reconcile(keys.retention(world.namespace, world.policy))
        content = await stage.client.get(VOLUME_SNAPSHOT_CONTENT, world.content_name("expired"))
        assert (labels.SWEPT in objects.labels(content)) is (check is check_swept)
        if lingers:
            going = await stage.client.get(*where)
            assert dig(going, "metadata", "deletionTimestamp")
            if mind:
                await reconciler.reconcile(keys.retention(world.namespace, world.policy))
            await patch(stage.client, *where, finalizers=None)
        await check(stage, world)


async def test_a_hold_on_a_content_whose_snapshot_a_sweep_took_keeps_the_disk(
    stage: Stage,
) -> None:
    async with settled(stage) as (world, proxy):
        to_delete = Call("patch", "volumesnapshotcontents", "", "", world.content_name("expired"))
        life = stage.start(world, proxy)
        died = proxy.kill_at(Point(to_delete, 2), Moment.BEFORE, partial(lives.kill, life))
        assert await lives.ended(life) == lives.KILLED
        assert died.is_set()
        await hold_content(stage, world)

        await stage.finish(world)

        content = await stage.client.get(VOLUME_SNAPSHOT_CONTENT, world.content_name("expired"))
        assert dig(content, "spec", "deletionPolicy") == "Retain"
        await patch(
            stage.client, VOLUME_SNAPSHOT_CONTENT, objects.name(content), None,
            labels={labels.HOLD: None},
        )  # fmt: skip
        await check_swept(stage, world)
