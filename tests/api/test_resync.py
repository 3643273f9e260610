"""The look at everything, the passes that it asks for, and the ends of sweeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.api.test_brakes import make_lost_content, make_point, make_policy, make_series
from tests.support.copying import stores
from tests.support.passes import retention_of, retention_reconciler, until_idle
from tests.support.schedules import MovedClock, PatientClock, next_hour

from backstay.domain import labels, objects, upkeep
from backstay.domain.errors import Transient
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.seen import seen_of as snapshots_seen
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    EVENT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)
from backstay.reconcile import keys, passes
from backstay.reconcile.gathering import gather, gather_all
from backstay.reconcile.rebuild import RebuildReconciler
from backstay.reconcile.resync import Everything
from backstay.reconcile.sweeps import SweepReconciler

CLOCK = SystemClock()
DATE = "2020-01-01"
Requests = Counter[str]


@pytest.fixture
def requests() -> Requests:
    return Counter()


@pytest.fixture
async def counted(credentials: Login, requests: Requests) -> AsyncIterator[Client]:
    """Return a client whose requests are counted."""

    def count(verb: str, plural: str, *_: object) -> None:
        requests[f"{verb} {plural}"] += 1

    async with Client(credentials, CLOCK, on_request=count) as client:
        yield client


async def look(client: Client, namespace: str) -> list[Key]:
    """The keys of one namespace that the resync enqueues."""
    found: list[Key] = []
    await Everything(client, CLOCK, found.append, stores=stores(client)).look()
    return [key for key in found if key.namespace == namespace]


async def pages(client: Client, resource: Resource, labels: str | None = None) -> int:
    """How many requests one LIST of all that the server has takes."""
    return len([page async for page in client.pages(resource, labels=labels)])


async def rebuild(client: Client, namespace: str) -> None:
    """Recreate the records of the policy: there are none."""
    events = EventPoster(client, CLOCK, "test")
    reconciler = RebuildReconciler(client, events, CLOCK, lambda _: None)
    await reconciler.reconcile(keys.rebuild(namespace, "shop"))


async def bind(client: Client, namespace: str, snapshot: str) -> str:
    """Make the content of a snapshot as a driver would; return its name."""
    read = await client.get(VOLUME_SNAPSHOT, snapshot, namespace)
    name = f"content-{snapshot}-{namespace}"
    ref = {"namespace": namespace, "name": snapshot, "uid": objects.uid(read)}
    await make_content(client, name, ref, handle=name)
    status = {
        "metadata": {"resourceVersion": objects.version(read)},
        "status": {"boundVolumeSnapshotContentName": name},
    }
    await client.patch(VOLUME_SNAPSHOT, snapshot, namespace, status, subresource="status")
    return name


async def make_content(
    client: Client, name: str, ref: dict[str, str], *, handle: str, **notes: str
) -> None:
    swept = {labels.SWEPT: notes.pop("swept")} if "swept" in notes else {}
    body = {
        "metadata": {
            "name": name,
            "labels": {labels.DELETE_AFTER: DATE, **swept},
            "annotations": {labels.PREFIX + k: v for k, v in notes.items()},
        },
        "spec": {
            "driver": "csi.example",
            "deletionPolicy": "Delete",
            "source": {"snapshotHandle": handle},
            "volumeSnapshotRef": ref,
        },
    }
    await client.create(VOLUME_SNAPSHOT_CONTENT, body)


async def test_a_look_that_finds_nothing_to_do_is_one_list_per_kind(
    client: Client, counted: Client, requests: Requests, namespace: str
) -> None:
    await make_policy(client, namespace)
    await rebuild(client, namespace)  # which every new policy asks for
    for day in range(2):
        await make_point(client, namespace, day)
        await bind(client, namespace, f"day-{day}")
    assert keys.retention(namespace, "shop") in await look(client, namespace)
    await until_idle(retention_of(client, CLOCK, namespace, "shop"))

    found = await look(counted, namespace)

    assert found == [keys.policy(namespace, "shop")]
    # A lost content, which only other tests of this server leave, is asked for by name.
    del requests["get volumesnapshots"]
    assert requests == {
        "list backuppolicies": await pages(client, BACKUP_POLICY),
        "list volumesnapshots": await pages(client, VOLUME_SNAPSHOT, labels=labels.POLICY),
        "list backups": await pages(client, BACKUP),
        "list restorerequests": 1,
        "list volumesnapshotcontents": await pages(client, VOLUME_SNAPSHOT_CONTENT),
    }


async def test_what_was_idle_is_planned_again_only_when_something_changes_or_a_date_passes(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_policy(client, namespace)
    for day in range(2):
        await make_point(client, namespace, day)
        await bind(client, namespace, f"day-{day}")
    await until_idle(retention_of(client, CLOCK, namespace, "shop"))
    planned = []
    plan = upkeep.plan

    def noted(seen: upkeep.Seen, stores: Sequence[upkeep.KeptStore]) -> upkeep.Plan:
        planned.append(objects.namespace(seen.policy or {}))
        return plan(seen, stores)

    monkeypatch.setattr(upkeep, "plan", noted)
    clock = MovedClock()
    clock.move_to(next_hour(clock.now()))
    found: list[Key] = []
    everything = Everything(client, clock, found.append, stores=stores(client))

    async def asks() -> bool:
        found.clear()
        await everything.look()
        return keys.retention(namespace, "shop") in found

    assert [await asks() for _ in range(3)] == [False] * 3
    assert planned.count(namespace) == 1

    tomorrow = (clock.now() + timedelta(days=1)).date().isoformat()
    await label_by_hand(client, namespace, "day-1", {labels.DELETE_AFTER: tomorrow})
    assert await asks()
    await until_idle(retention_of(client, CLOCK, namespace, "shop"))
    assert not await asks()

    clock.move_to(clock.now() + timedelta(days=2))
    assert await asks()


async def label_by_hand(client: Client, namespace: str, name: str, changes: Obj) -> None:
    """Label a snapshot as kubectl does."""
    stored = await client.get(VOLUME_SNAPSHOT, name, namespace)
    metadata = {"resourceVersion": objects.version(stored), "labels": changes}
    await client.patch(VOLUME_SNAPSHOT, name, namespace, {"metadata": metadata})


async def test_both_forms_of_gathering_see_the_same(client: Client, namespace: str) -> None:
    await make_series(client, namespace)
    await bind(client, namespace, "day-0")
    place = namespace, "shop"

    alone = await gather(client, CLOCK, place)
    world = await gather_all(client)
    together = passes.seen(world, place, alone.now)

    assert (alone.spec, alone.status) == (together.spec, together.status)
    assert alone.snapshots, "there is something to compare"
    for mine, theirs in zip(alone.snapshots, together.snapshots, strict=True):
        assert without_managed_fields(mine) == theirs
    assert {n: without_managed_fields(c) for n, c in alone.contents.items()} == together.contents
    assert (alone.runs, alone.requests) == (together.runs, together.requests)
    one, every = snapshots_seen(alone), snapshots_seen(together)
    assert (one.rules, one.running, one.requests) == (every.rules, every.running, every.requests)
    assert (one.finished, one.conditions) == (every.finished, every.conditions)


def without_managed_fields(obj: Obj) -> Obj:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": metadata}


async def test_a_pass_writes_each_snapshot_and_each_content_once(
    client: Client, counted: Client, requests: Requests, namespace: str
) -> None:
    await make_policy(client, namespace)
    for day in range(3):
        await make_point(client, namespace, day)
        await bind(client, namespace, f"day-{day}")
    key = keys.retention(namespace, "shop")
    asked: list[Key] = []
    reconciler = retention_reconciler(counted, CLOCK, asked.append)

    assert await reconciler.reconcile(key) is None

    writes = {what: n for what, n in requests.items() if what.split()[0] not in ("get", "list")}
    assert writes == {"patch volumesnapshots": 1, "patch volumesnapshotcontents": 3}
    assert asked == [keys.policy(namespace, "shop")]
    content = await client.get(VOLUME_SNAPSHOT_CONTENT, f"content-day-2-{namespace}")
    snapshot = await client.get(VOLUME_SNAPSHOT, "day-2", namespace)
    assert labels.DELETE_AFTER in objects.labels(snapshot)
    assert objects.labels(content) == objects.labels(snapshot)
    assert content["spec"]["deletionPolicy"] == "Retain"


class Failing(Client):
    """A client whose patches of one object fail."""

    victim = ""

    async def patch(self, resource: Resource, name: str, *args: Any, **kwargs: Any) -> Obj:
        if name == self.victim:
            raise Transient("it fails")
        return await super().patch(resource, name, *args, **kwargs)


async def test_an_item_that_fails_is_reported_and_the_others_are_written(
    client: Client, credentials: Login, namespace: str
) -> None:
    await make_policy(client, namespace)
    for day in range(4):
        await make_point(client, namespace, day)
        await bind(client, namespace, f"day-{day}")
    async with Failing(credentials, CLOCK) as failing:
        failing.victim = "day-2"
        reconciler = retention_reconciler(failing, CLOCK)

        with pytest.raises(Transient, match="day-2: it fails"):
            await reconciler.reconcile(keys.retention(namespace, "shop"))

    for day in range(4):
        name = f"content-day-{day}-{namespace}"
        content = await client.get(VOLUME_SNAPSHOT_CONTENT, name)
        # Within one item the order holds: a content never says more than its snapshot.
        assert (labels.RESULT in objects.labels(content)) is (day != 2)


async def test_a_pass_that_goes_on_failing_is_reported_on_the_policy_once_a_day(
    client: Client, credentials: Login, namespace: str
) -> None:
    await make_policy(client, namespace)
    for day in range(4):
        await make_point(client, namespace, day)
        await bind(client, namespace, f"day-{day}")
    clock = PatientClock()
    async with Failing(credentials, CLOCK) as failing:
        failing.victim = "day-2"
        reconciler = retention_reconciler(failing, clock)
        counts = []
        for minutes in (0, 4, 2, 30):
            clock.ahead += timedelta(minutes=minutes)
            with pytest.raises(Transient, match="day-2: it fails"):
                await reconciler.reconcile(keys.retention(namespace, "shop"))
            reported = await client.list(EVENT, namespace, fields="reason=RetentionFailing")
            counts.append(len(reported))

    assert counts == [0, 0, 1, 1]
    assert "day-2: it fails" in reported[0]["message"]
    assert reported[0]["type"] == "Warning"


async def test_a_due_point_is_swept_to_its_end_without_any_record(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    await make_point(client, namespace, 0)
    await make_point(client, namespace, 1, "2020-01-01")
    content = await bind(client, namespace, "day-1")

    await until_idle(retention_of(client, CLOCK, namespace, "shop"))

    assert await client.find(VOLUME_SNAPSHOT, "day-1", namespace) is None
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, content) is None


async def test_a_sweep_that_nobody_remembers_is_found_by_the_look(
    client: Client, namespace: str
) -> None:
    lost = await make_lost_content(client, namespace)
    found: list[Key] = []

    await Everything(client, CLOCK, found.append, stores=stores(client)).look()

    assert keys.sweeps() in found
    await SweepReconciler(client, CLOCK).reconcile(keys.sweeps())
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, lost) is None


async def test_only_a_content_with_its_own_proof_and_no_snapshot_is_finished(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    await make_point(client, namespace, 0)
    there = await client.get(VOLUME_SNAPSHOT, "day-0", namespace)
    gone = {"namespace": namespace, "name": "gone", "uid": "uid-gone"}
    mine = {"namespace": namespace, "name": "day-0", "uid": objects.uid(there)}
    await make_content(client, f"none-{namespace}", gone, handle="none")
    others = {
        "other": f"uid-other.{DATE}",
        "another-date": "uid-gone.2020-01-02",
        "no-date": "uid-gone",
    }
    for name, swept in others.items():
        await make_content(client, f"{name}-{namespace}", gone, handle=name, swept=swept)
    await make_content(client, f"meant-{namespace}", gone, handle="meant", sweep="uid-gone")
    await make_content(
        client, f"there-{namespace}", mine, handle="there", swept=f"{mine['uid']}.{DATE}"
    )

    await SweepReconciler(client, CLOCK).reconcile(keys.sweeps())

    for name in ("none", *others, "meant", "there"):
        found = await client.find(VOLUME_SNAPSHOT_CONTENT, f"{name}-{namespace}")
        assert dig(found, "spec", "deletionPolicy") == "Delete", name


async def test_a_disk_that_another_content_has_stays(
    client: Client, counted: Client, requests: Requests, namespace: str
) -> None:
    gone = {"namespace": namespace, "name": "gone", "uid": "uid-gone"}
    twin = {"namespace": namespace, "name": "twin", "uid": "uid-twin"}
    swept, kept = f"swept-{namespace}", f"kept-{namespace}"
    await make_content(client, swept, gone, handle=namespace, swept=f"uid-gone.{DATE}")
    await make_content(client, kept, twin, handle=namespace)

    await SweepReconciler(counted, CLOCK).reconcile(keys.sweeps())

    assert await client.find(VOLUME_SNAPSHOT_CONTENT, swept) is None
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, kept) is not None
    # It said Delete, which would have taken the disk: it was made Retain before it went.
    assert requests["patch volumesnapshotcontents"] == 1


async def test_a_brake_is_reported_once_when_it_begins_and_once_when_it_ends(
    client: Client, namespace: str
) -> None:
    await make_series(client, namespace)
    passes = retention_of(client, CLOCK, namespace, "shop")
    for _ in range(2):
        await until_idle(passes)
    assert await reported(client, namespace) == [("RetentionHeld", "Warning")]

    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    message = next(c["message"] for c in policy["status"]["conditions"])
    value = message.partition(f"{labels.RELEASE_RETENTION}=")[2].split()[0]
    patch = {
        "metadata": {
            "resourceVersion": objects.version(policy),
            "annotations": {labels.RELEASE_RETENTION: value},
        }
    }
    await client.patch(BACKUP_POLICY, "shop", namespace, patch)
    for _ in range(2):
        await until_idle(passes)

    assert await reported(client, namespace) == [
        ("RetentionHeld", "Warning"),
        ("RetentionHeldOver", "Normal"),
    ]


async def reported(client: Client, namespace: str) -> list[tuple[str, str]]:
    return sorted((e["reason"], e["type"]) for e in await client.list(EVENT, namespace))


class DyingAtStatus(Client):
    """A client of a process that ends before it writes any status."""

    async def patch(self, *args: Any, subresource: str | None = None, **kwargs: Any) -> Obj:
        if subresource == "status":
            raise Transient("killed right here")
        return await super().patch(*args, subresource=subresource, **kwargs)


async def test_a_process_that_dies_between_the_event_and_its_status_has_reported(
    client: Client, credentials: Login, namespace: str
) -> None:
    await make_series(client, namespace)
    key = keys.retention(namespace, "shop")
    async with DyingAtStatus(credentials, CLOCK) as dying:
        with pytest.raises(Transient, match="killed right here"):
            await retention_reconciler(dying, CLOCK).reconcile(key)
    assert await reported(client, namespace) == [("RetentionHeld", "Warning")]

    await until_idle(retention_of(client, CLOCK, namespace, "shop"))

    assert await reported(client, namespace) == [("RetentionHeld", "Warning")]
