"""Many runs at once, admitted on a real API server; exec and the driver are stood in for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.builders import plan, status
from tests.support.copying import stores
from tests.support.dumping_cluster import Containers, add_databases, backup_of, taking_snapshots
from tests.support.waiting import within

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed, format_time
from backstay.api.dump_status import NOTE_MAX, NOTES_MAX
from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.records.annotation import parse_record
from backstay.domain.run.concurrency import HOLDING, Limits
from backstay.engine.queue import Key, Queue
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP, NAMESPACE, VOLUME_SNAPSHOT
from backstay.main import Router
from backstay.reconcile import keys
from backstay.reconcile.concurrency import Admitter
from backstay.settings import Settings
from backstay.steps.exec_streams import Streams
from backstay.steps.status import write_status
from backstay.targets.turns import RestoreTurns

NODES = ("n1", "n2", "n3", "n4", "n5")
SETTINGS = Settings(pool_global=16, pool_node=3, pool_driver=20)


@contextlib.asynccontextmanager
async def operator(client: Client, namespace: str, containers: Containers) -> AsyncIterator[None]:
    """An operator without its watches: it gets every unfinished run again and again."""
    clock = SystemClock()
    streams = Streams(containers)
    router = Router(SETTINGS, clock, client, EventPoster(client, clock), streams)
    queue = Queue(router.reconcile, clock, workers=SETTINGS.workers)
    router.wire(queue.add)

    stopping = asyncio.Event()

    async def report() -> None:
        while not stopping.is_set():
            for obj in await client.list(BACKUP, namespace):
                queue.add(keys.backup(namespace, objects.name(obj)))
            await asyncio.sleep(0.3)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(queue.run())
        tasks.create_task(report())
        try:
            yield
        finally:
            # Not cancelled: a request that is while its connection is made (Python 3.11, TLS)
            # leaves a socket that nothing closes, and a later test of this worker pays for it.
            stopping.set()
            queue.stop()
            await streams.close()


class Answers(Containers):
    """Containers whose dumps end with other facts, as foreign tools, or tenants, have them."""

    def __init__(self, nodes: dict[str, str], **facts: Any) -> None:
        super().__init__(nodes, seconds=0)
        self._facts = facts

    def _state(self, key: tuple[str, str, str]) -> Obj:
        found = super()._state(key)
        return found | self._facts if found["state"] == "done" else found


def statuses(backups: Iterable[Obj]) -> list[BackupStatus]:
    return [BackupStatus.model_validate(b.get("status") or {}) for b in backups]


def check_pools(found: list[BackupStatus]) -> None:
    taken = Counter(pool for s in found if s.phase in HOLDING for pool in s.pools)
    for pool, count in taken.items():
        limit = {"global": SETTINGS.pool_global, "driver/csi.example": SETTINGS.pool_driver}
        assert count <= limit.get(pool, SETTINGS.pool_node), taken
    assert all(not s.pools for s in found if s.phase not in HOLDING)


async def until_completed(client: Client, namespace: str, count: int) -> list[BackupStatus]:
    """Wait until so many runs are Completed; the pools are counted again and again."""
    async with within(240, f"{count} runs to be Completed"):
        while True:
            found = statuses(await client.list(BACKUP, namespace))
            check_pools(found)
            assert BackupPhase.FAILED not in {s.phase for s in found}, found
            if sum(s.phase is BackupPhase.COMPLETED for s in found) >= count:
                return found
            await asyncio.sleep(0.2)


async def test_50_dumps_at_once_keep_to_the_pools_and_none_is_starved_across_a_restart(
    client: Client, namespace: str
) -> None:
    nodes = await add_databases(client, namespace, [NODES[n % 5] for n in range(50)])
    # None ends before nodes dump side by side.
    containers = Containers(nodes, seconds=0.5, together=SETTINGS.pool_node + 1)
    for number in range(50):
        await client.create(BACKUP, backup_of(namespace, f"db-{number}"))

    async with taking_snapshots(client, SystemClock(), namespace):
        async with operator(client, namespace, containers):
            await until_completed(client, namespace, 10)
        async with operator(client, namespace, containers):
            found = await until_completed(client, namespace, 50)

    assert [s.attempt for s in found] == [1] * 50
    assert sorted(containers.started) == sorted(nodes), "each is dumped once"
    assert containers.most[""] <= SETTINGS.pool_global
    assert containers.most[""] > SETTINGS.pool_node, "nodes dump side by side"
    assert all(containers.most[node] <= SETTINGS.pool_node for node in NODES)
    assert len(await client.list(VOLUME_SNAPSHOT, namespace)) == 50


async def test_a_scheduled_run_and_one_by_hand_of_one_claim_go_one_after_the_other(
    client: Client, namespace: str
) -> None:
    nodes = await add_databases(client, namespace, ["n1"])
    containers = Containers(nodes, seconds=1)
    slot = format_time(SystemClock().now())
    for name, trigger in (
        ("scheduled", {"trigger": "Scheduled", "scheduledFor": slot}),
        ("by-hand", {"trigger": "AdHoc"}),
    ):
        made = backup_of(namespace, "db-0")
        made["metadata"]["name"] = name
        made["spec"] |= trigger
        await client.create(BACKUP, made)

    taking = taking_snapshots(client, SystemClock(), namespace)
    async with taking, operator(client, namespace, containers):
        found = await until_completed(client, namespace, 2)

    assert containers.most[""] == 1
    one, other = sorted(found, key=lambda s: s.attempted_at or s.dumps[0].started_at)
    assert one.points[0].taken_at is not None
    assert other.dumps[0].started_at >= one.points[0].taken_at


async def test_a_long_version_of_a_tool_is_no_reason_to_fail(
    client: Client, namespace: str
) -> None:
    versions = {"server": "8.0", "tool": "mysqldump " + "x" * 124}
    containers = Answers(await add_databases(client, namespace, ["n1"]), versions=versions)
    await client.create(BACKUP, backup_of(namespace, "db-0"))

    taking = taking_snapshots(client, SystemClock(), namespace)
    async with taking, operator(client, namespace, containers):
        (found,) = await until_completed(client, namespace, 1)

    assert len((found.dumps[0].versions or {})["tool"]) == 128


async def test_what_a_dump_lacks_is_on_the_backup_and_on_the_snapshot(
    client: Client, namespace: str
) -> None:
    notes = ["rows are missing", *["x" * 600] * 20]
    containers = Answers(await add_databases(client, namespace, ["n1"]), notes=notes)
    await client.create(BACKUP, backup_of(namespace, "db-0"))

    taking = taking_snapshots(client, SystemClock(), namespace)
    async with taking, operator(client, namespace, containers):
        (found,) = await until_completed(client, namespace, 1)

    (dump,) = found.dumps
    assert dump.notes == ("rows are missing", *["x" * NOTE_MAX] * (NOTES_MAX - 1))
    assert found.message == f"dump {dump.name}: rows are missing ({NOTES_MAX - 1} more)"
    (snapshot,) = await client.list(VOLUME_SNAPSHOT, namespace)
    (recorded,) = parse_record(objects.annotations(snapshot)[labels.RECORD]).dumps
    assert recorded.notes == (f"{NOTES_MAX} notes: see {dump.path}.json",), "for want of room"


async def test_a_run_whose_status_is_refused_fails_with_the_reason_and_holds_nothing(
    client: Client, namespace: str
) -> None:
    containers = Answers(await add_databases(client, namespace, ["n1"]), format="f" * 33)
    await client.create(BACKUP, backup_of(namespace, "db-0"))

    async with operator(client, namespace, containers), within(90, "the run to end"):
        while True:
            (found,) = statuses(await client.list(BACKUP, namespace))
            if found.phase.final:
                break
            await asyncio.sleep(0.2)

    assert found.phase is BackupPhase.FAILED
    assert "status.dumps[0].format: Too long" in (found.message or "")
    assert (found.pools, found.points) == ((), ())


@pytest.mark.parametrize(
    ("broken", "reported"),
    [
        (
            {"startedAt": "9999-12-31T23:59:59Z"},
            "it cannot be started: OverflowError: date value out of range",
        ),
        ({"plan": {"zone": "No/Where"}}, "it cannot be started: "),
    ],
    ids=["a defect", "an error of ours"],
)
async def test_a_run_that_can_never_start_ends_and_the_others_start(
    client: Client, namespace: str, broken: Obj, reported: str
) -> None:
    begun = queued("old", zone="Asia/Tokyo"), queued("new", zone="Asia/Tokyo")
    for name, of in zip(("a-broken", "b-good"), begun, strict=True):
        made = backup_of(namespace, "shop")
        made["metadata"]["name"] = name
        stored = await client.create(BACKUP, made)
        await write_status(client, BACKUP, stored, of)
    stored = await client.get(BACKUP, "a-broken", namespace)
    patch = {"metadata": {"resourceVersion": objects.version(stored)}, "status": broken}
    await client.patch(BACKUP, "a-broken", namespace, patch, subresource="status")
    woken: list[Key] = []
    clock = SystemClock()
    events = EventPoster(client, clock)
    turns = RestoreTurns(client, "backstay")
    limits = Limits(1000, 1000, 1000)
    admitter = Admitter(
        client, events, clock, limits, woken.append, stores=stores(client), turns=turns
    )

    await admitter.reconcile(keys.ADMISSION)

    failed, good = statuses(await client.list(BACKUP, namespace))
    assert (failed.phase, good.phase) == (BackupPhase.FAILED, BackupPhase.SNAPSHOTTING)
    assert (failed.message or "").startswith(reported)
    assert failed.completed_at is not None
    assert {keys.backup(namespace, "b-good"), keys.policy(namespace, "shop")} <= set(woken)


async def make_queued(client: Client, namespace: str, name: str, pool: str) -> None:
    made = backup_of(namespace, "shop")
    made["metadata"]["name"] = name
    stored = await client.create(BACKUP, made)
    await write_status(client, BACKUP, stored, queued(name, pools=(pool,)))


async def test_two_runs_that_never_end_leave_a_permit_to_another_namespace_and_are_named(
    client: Client, namespace: str
) -> None:
    pool, other = f"node/{namespace}", f"{namespace}-other"
    await client.create(NAMESPACE, {"metadata": {"name": other}})
    for name in ("hog-1", "hog-2"):
        await make_queued(client, namespace, name, pool)
    clock = Ahead()
    admitter = Admitter(
        client,
        EventPoster(client, clock),
        clock,
        Limits(1000, 2, 1000),
        lambda _: None,
        stores=stores(client),
        turns=RestoreTurns(client, "backstay"),
    )
    await admitter.reconcile(keys.ADMISSION)
    # By name as well: within one second, and across two, the first made is the first in line.
    await make_queued(client, other, "next", pool)
    await make_queued(client, other, "victim", pool)
    clock.by = timedelta(minutes=5)

    await admitter.reconcile(keys.ADMISSION)

    found = {
        objects.name(b): BackupStatus.model_validate(b["status"])
        for place in (namespace, other)
        for b in await client.list(BACKUP, place)
    }
    assert {name: s.phase.value for name, s in found.items()} == {
        "hog-1": "Snapshotting",
        "hog-2": "Queued",
        "next": "Snapshotting",
        "victim": "Queued",
    }
    assert f"{namespace}/hog-1 since " in (found["hog-2"].message or "")
    reported = found["victim"].message or ""
    assert "a run of other namespaces since " in reported
    assert "hog" not in reported, "names of other namespaces are not shown"


class Still(SystemClock):
    """A clock on which only what a test says takes time."""

    at = 1.0

    def monotonic(self) -> float:
        return self.at


class Slow(Client):
    """Its writes take a minute each."""

    still: Still

    async def patch(self, *args: Any, **more: Any) -> Obj:
        self.still.at += 60
        return await super().patch(*args, **more)


async def test_runs_start_at_the_same_pace_however_long_an_api_server_takes_to_write(
    client: Client, credentials: Login, namespace: str
) -> None:
    clock = Still()
    async with Slow(credentials, SystemClock()) as slow:
        slow.still = clock
        limits = Limits(1000, 2, 1000)
        turns = RestoreTurns(client, "backstay")
        events = EventPoster(client, clock)
        admitter = Admitter(
            slow, events, clock, limits, lambda _: None, stores=stores(client), turns=turns
        )
        for name in ("first", "second"):
            await make_queued(client, namespace, name, f"node/{name}-{namespace}")

            await admitter.reconcile(keys.ADMISSION)

            found = await client.get(BACKUP, name, namespace)
            assert found["status"]["phase"] == BackupPhase.SNAPSHOTTING


class Ahead(SystemClock):
    """A clock that the test puts forward."""

    by = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.by

    def monotonic(self) -> float:
        return super().monotonic() + self.by.total_seconds()


def queued(claim: str, **values: Any) -> BackupStatus:
    """A run that waits for its turn."""
    mine = changed(plan(claim), **values)
    return status(BackupPhase.QUEUED, plan=mine, attempt=0, attempted_at=None, pools=())
