"""The look at everything, and what it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.api.test_brakes import make_point, make_policy, make_series
from tests.support.contents import bind
from tests.support.copying import stores
from tests.support.passes import retention_of, until_idle
from tests.support.schedules import MovedClock, next_hour

from backstay.domain import labels, objects, upkeep
from backstay.domain.objects import Obj
from backstay.domain.stores.snapshots.seen import seen_of as snapshots_seen
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)
from backstay.reconcile import keys, passes
from backstay.reconcile.gathering import gather, gather_all
from backstay.reconcile.rebuild import RebuildReconciler
from backstay.reconcile.resync import Everything

CLOCK = SystemClock()


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


async def test_a_look_that_finds_nothing_to_do_is_one_list_per_kind(
    client: Client, counted: Client, requests: Counter[str], namespace: str
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
        "list backuprepositories": 1,
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
