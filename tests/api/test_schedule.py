"""Schedules on a real API server: many policies at one moment, and an operator that dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.copying import planner
from tests.support.kubectl import Kubectl
from tests.support.schedules import (
    MovedClock,
    make_policies,
    make_snapshot_class,
    make_source,
    next_hour,
    policy_body,
)
from tests.support.waiting import within

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.errors import Conflict, Fatal
from backstay.domain.objects import Obj
from backstay.domain.schedule.slots import offset_of
from backstay.domain.times import parse_time
from backstay.durations import format_duration
from backstay.engine.queue import Key, Queue
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP, BACKUP_POLICY, EVENT, Resource
from backstay.observe import metrics
from backstay.reconcile import keys, policy_gather
from backstay.reconcile.policy import PolicyReconciler
from backstay.settings import RollingRoots

POLICIES = 150
JITTER = timedelta(seconds=5)
AHEAD = timedelta(seconds=3)
"""From the first look to the slot."""


class Rig:
    """A client and a policy reconciler on a clock of their own."""

    def __init__(self, client: Client, clock: MovedClock) -> None:
        self.client = client
        self.clock = clock
        self.started: dict[Key, datetime] = {}
        self.expected = 1
        self.all_started = asyncio.Event()
        self.policies = PolicyReconciler(
            client,
            EventPoster(client, clock, "test"),
            clock,
            self._note,
            planner=planner(client, RollingRoots()),
        )

    def _note(self, key: Key) -> None:
        self.started.setdefault(key, self.clock.now())
        if len(self.started) == self.expected:
            self.all_started.set()

    async def look(self, namespace: str) -> Obj:
        """Reconcile the policy `shop`; return it."""
        await self.policies.reconcile(keys.policy(namespace, "shop"))
        return await self.client.get(BACKUP_POLICY, "shop", namespace)

    async def slots(self, namespace: str) -> list[datetime]:
        """The slots that have a Backup."""
        found = await self.client.list(BACKUP, namespace)
        return sorted(parse_time(b["spec"]["scheduledFor"]) for b in found)


@pytest.fixture
async def rig(credentials: Login, namespace: str) -> AsyncIterator[Rig]:
    clock = MovedClock()
    # As if the API server's clock were moved as well: its client sees no skew.
    async with Client(credentials, SystemClock()) as client:
        await make_snapshot_class(client)
        await make_source(client, namespace)
        yield Rig(client, clock)


async def make_policy(rig: Rig, namespace: str, **schedule: Any) -> datetime:
    """An hourly policy that was looked at once; return its first slot."""
    await make_policies(rig.client, [policy_body(namespace, "shop", **schedule)])
    await rig.look(namespace)
    return next_hour(rig.clock.now())


@asynccontextmanager
async def working(queue: Queue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        queue.stop()
        await task


async def test_policies_of_one_minute_each_start_once_and_not_before_their_share_of_jitter(
    rig: Rig, namespace: str
) -> None:
    # given many policies that are due in the same minute
    jitter = format_duration(JITTER)
    bodies = [policy_body(namespace, f"p-{n}", jitter=jitter) for n in range(POLICIES)]
    policies = await make_policies(rig.client, bodies)
    slot = next_hour(rig.clock.now())
    rig.clock.move_to(slot - AHEAD)
    rig.expected = POLICIES
    # when an operator looks at them all, and lives until the last of them has started
    queue = Queue(rig.policies.reconcile, rig.clock, workers=8)
    async with working(queue), within(120, "the queue to do what is due"):
        for policy in policies:
            queue.add(keys.policy(namespace, objects.name(policy)))
        await rig.all_started.wait()
    # then each has one Backup, of that slot, and not from before its share of the jitter
    backups = await rig.client.list(BACKUP, namespace)
    assert sorted(b["spec"]["policy"] for b in backups) == sorted(map(objects.name, policies))
    assert {parse_time(b["spec"]["scheduledFor"]) for b in backups} == {slot}
    for backup in backups:
        name = backup["spec"]["policy"]
        started = rig.started[keys.backup(namespace, objects.name(backup))]
        assert started >= slot + offset_of(namespace, name, JITTER)
    # and a look at each starts nothing more, and reports when the next one starts
    for policy in policies:
        name = objects.name(policy)
        await rig.policies.reconcile(keys.policy(namespace, name))
        reported = await rig.client.get(BACKUP_POLICY, name, namespace)
        after = slot + timedelta(hours=1) + offset_of(namespace, name, JITTER)
        assert reported["status"]["nextRun"] == after.strftime("%Y-%m-%d %H:%M:%S").removesuffix(
            ":00"
        )
    assert len(await rig.client.list(BACKUP, namespace)) == POLICIES


async def test_an_operator_that_dies_before_the_status_starts_the_slot_once_and_counts_once(
    rig: Rig, namespace: str, credentials: Login
) -> None:
    slot = await make_policy(rig, namespace)
    rig.clock.move_to(slot + timedelta(hours=3, minutes=5))
    dying = Dying(credentials, SystemClock())
    async with dying:
        with pytest.raises(Fatal):
            await Rig(dying, rig.clock).look(namespace)
    hour = timedelta(hours=1)
    assert await rig.slots(namespace) == [slot + 3 * hour]
    before = missed_total(namespace)

    for _ in range(2):
        policy = await rig.look(namespace)

    assert await rig.slots(namespace) == [slot + 3 * hour]
    (entry,) = policy["status"]["missed"]
    assert (entry["reason"], entry["count"]) == ("Coalesced", 3)
    assert parse_time(entry["last"]) == slot + 2 * hour
    assert parse_time(policy["status"]["lastSlot"]) == slot + 3 * hour
    assert missed_total(namespace) - before == 3
    events = await rig.client.list(EVENT, namespace)
    reported = [e["message"] for e in events if e["reason"] == "MissedCoalesced"]
    assert len(reported) == 1


class Dying(Client):
    """A client whose process dies at its first write of a status."""

    async def patch(
        self, resource: Resource, name: str, *_: object, subresource: str | None = None
    ) -> Obj:
        raise Fatal(f"killed at the patch of {resource.plural} {name} {subresource}")


def missed_total(namespace: str) -> float:
    labels = {"namespace": namespace, "policy": "shop", "reason": "Coalesced"}
    return metrics.REGISTRY.get_sample_value("backstay_missed_slots_total", labels) or 0.0


async def test_a_slot_runs_once_though_its_records_are_deleted(rig: Rig, namespace: str) -> None:
    slot = await make_policy(rig, namespace)
    rig.clock.move_to(slot + timedelta(minutes=1))
    await rig.look(namespace)
    (backup,) = await rig.client.list(BACKUP, namespace)
    await rig.client.delete(BACKUP, objects.name(backup), namespace, uid=objects.uid(backup))

    policy = await rig.look(namespace)

    assert await rig.slots(namespace) == []
    assert policy["status"]["missed"] == []


async def test_a_policy_applied_again_runs_no_slot_of_before(rig: Rig, namespace: str) -> None:
    slot = await make_policy(rig, namespace)
    policy = await rig.client.get(BACKUP_POLICY, "shop", namespace)
    await rig.client.delete(BACKUP_POLICY, "shop", namespace, uid=objects.uid(policy))
    # given that by our clock the new one is created after the slot
    rig.clock.move_to(slot - timedelta(hours=1) + timedelta(minutes=1))
    await make_policies(rig.client, [policy_body(namespace, "shop")])

    policy = await rig.look(namespace)

    assert await rig.slots(namespace) == []
    assert parse_time(policy["status"]["resumedAt"]) > slot - timedelta(hours=1)


async def edit(rig: Rig, namespace: str, spec: Obj) -> None:
    policy = await rig.client.get(BACKUP_POLICY, "shop", namespace)
    body = {"metadata": {"resourceVersion": objects.version(policy)}, "spec": spec}
    await rig.client.patch(BACKUP_POLICY, "shop", namespace, body)


async def test_a_schedule_edited_to_a_time_that_is_past_starts_nothing(
    rig: Rig, namespace: str
) -> None:
    # given a policy whose slot was an hour ago, by the schedule that it gets now
    created = await make_policy(rig, namespace, cron="@yearly") - timedelta(hours=1)
    past = created - timedelta(minutes=7)
    await edit(rig, namespace, {"schedule": {"cron": f"{past.minute} {past.hour} * * *"}})

    policy = await rig.look(namespace)

    assert await rig.slots(namespace) == []
    assert policy["status"]["schedule"] == f"{past.minute} {past.hour} * * * UTC"
    tomorrow = past + timedelta(days=1)
    assert policy["status"]["nextRun"] == tomorrow.strftime("%Y-%m-%d %H:%M")


class Racing(Client):
    """A client that somebody else is always faster than."""

    async def patch(
        self, resource: Resource, name: str, namespace: str | None, body: Obj, **kwargs: Any
    ) -> Obj:
        found = await self.get(resource, name, namespace)
        note = {"resourceVersion": objects.version(found), "annotations": {"somebody": "else"}}
        await super().patch(resource, name, namespace, {"metadata": note})
        return await super().patch(resource, name, namespace, body, **kwargs)


async def test_a_status_write_that_lost_a_race_counts_nothing_twice(
    rig: Rig, namespace: str, credentials: Login
) -> None:
    slot = await make_policy(rig, namespace, startingDeadline="1m")
    rig.clock.move_to(slot + timedelta(minutes=30))
    async with Racing(credentials, SystemClock()) as racing:
        with pytest.raises(Conflict):
            await Rig(racing, rig.clock).look(namespace)

    policy = await rig.look(namespace)

    (entry,) = policy["status"]["missed"]
    assert (entry["reason"], entry["count"]) == ("DeadlineExceeded", 1)


async def test_by_a_clock_that_is_a_year_ahead_slots_start_at_the_api_servers_time(
    credentials: Login, rig: Rig, namespace: str
) -> None:
    slot = await make_policy(rig, namespace)
    clock = MovedClock()
    async with Client(credentials, clock) as client:
        ahead = Rig(client, clock)
        clock.move_to(slot + timedelta(days=365, minutes=1))
        policy = await ahead.look(namespace)

        assert await ahead.slots(namespace) == []
        assert "lastSlot" not in policy["status"]
        assert policy["status"]["missed"] == []
        assert policy["status"]["nextRun"] == slot.strftime("%Y-%m-%d %H:%M")
        (ready,) = policy["status"]["conditions"]
        assert (ready["status"], ready["reason"]) == ("True", "ClockSkew")
        assert "ahead of the API server's: slots start by the API server's" in ready["message"]

    rig.clock.move_to(slot + timedelta(minutes=1))
    policy = await rig.look(namespace)

    assert await rig.slots(namespace) == [slot]
    assert policy["status"]["conditions"][0]["reason"] == "Valid"


async def finish_runs(rig: Rig, namespace: str) -> None:
    for run in await rig.client.list(BACKUP, namespace):
        body: Obj = {"metadata": {"resourceVersion": objects.version(run)}}
        body["status"] = {"phase": "Completed"}
        await rig.client.patch(BACKUP, objects.name(run), namespace, body, subresource="status")


async def test_a_slot_that_has_run_hours_before_its_time_runs_again_then_and_only_once(
    rig: Rig, namespace: str, credentials: Login
) -> None:
    # given that operator and API server were 8 hours ahead together for a run
    slot = await make_policy(rig, namespace)
    early = slot + timedelta(hours=8)
    rig.clock.move_to(early + timedelta(minutes=1))
    await rig.look(namespace)
    await finish_runs(rig, namespace)
    # when they are set right, the schedule goes on at once
    rig.clock.move_to(slot + timedelta(minutes=1))
    policy = await rig.look(namespace)
    assert await rig.slots(namespace) == [slot, early]
    assert policy["status"]["early"]["until"] == format_time(early)
    message = policy["status"]["conditions"][0]["message"]
    assert f"slots up to {format_time(early)} have run before their time" in message
    assert {m["reason"] for m in policy["status"]["missed"]} <= {"Clock"}
    # and the slot has its run when its time comes, though an operator dies before the status
    await finish_runs(rig, namespace)
    rig.clock.move_to(early + timedelta(minutes=2))
    dying = Dying(credentials, SystemClock())
    async with dying:
        with pytest.raises(Fatal):
            await Rig(dying, rig.clock).look(namespace)
    for _ in range(2):
        await rig.look(namespace)
    assert await rig.slots(namespace) == [slot, early, early]


async def test_the_api_server_reports_when_suspend_alone_was_written(
    rig: Rig, namespace: str, kubeconfig: Path
) -> None:
    # given a policy whose suspend is switched on and off while no operator looks
    await make_policy(rig, namespace)
    before = await rig.client.get(BACKUP_POLICY, "shop", namespace)
    kubectl = Kubectl(kubeconfig, namespace)
    for suspend in ("true", "false"):
        patch = f'{{"spec": {{"suspend": {suspend}}}}}'
        assert kubectl("patch", "backuppolicy", "shop", "--type=merge", "-p", patch).ok
    # then the next look knows since when the schedule stands
    since = policy_gather.resumed(await rig.client.get(BACKUP_POLICY, "shop", namespace))
    assert policy_gather.resumed(before) is None
    assert since is not None
    rig.clock.move_to(since + timedelta(seconds=1))
    policy = await rig.look(namespace)
    assert parse_time(policy["status"]["resumedAt"]) == since


async def test_what_a_clock_that_was_ahead_has_left_stops_no_schedule(
    rig: Rig, namespace: str
) -> None:
    # given the lastSlot and the record of next year, by an operator that knew no better
    slot = await make_policy(rig, namespace)
    future = slot + timedelta(days=365)
    spec = {"policy": "shop", "trigger": "Imported", "scheduledFor": format_time(future)}
    body: Obj = {"metadata": {"name": "shop-future", "namespace": namespace}, "spec": spec}
    await rig.client.create(BACKUP, body)
    policy = await rig.client.get(BACKUP_POLICY, "shop", namespace)
    patch: Obj = {"metadata": {"resourceVersion": objects.version(policy)}}
    patch["status"] = {"lastSlot": format_time(future)}
    await rig.client.patch(BACKUP_POLICY, "shop", namespace, patch, subresource="status")

    rig.clock.move_to(slot + timedelta(minutes=1))
    policy = await rig.look(namespace)

    assert await rig.slots(namespace) == [slot, future]
    assert policy["status"]["lastSlot"] == format_time(slot)
    ready = policy["status"]["conditions"][0]
    assert ready["status"] == "True"
    assert f"the slot {format_time(future)}, which is over a day ahead" in ready["message"]
    events = await rig.client.list(EVENT, namespace)
    (reported,) = [e for e in events if e["reason"] == "LastSlotIgnored"]
    assert format_time(future) in reported["message"]
