"""What a retention pass writes, and what it reports of itself."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from tests.api.test_brakes import make_point, make_policy, make_series
from tests.support.contents import bind
from tests.support.passes import retention_of, retention_reconciler, until_idle
from tests.support.schedules import PatientClock

from backstay.domain import labels, objects
from backstay.domain.errors import Transient
from backstay.domain.objects import Obj
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP_POLICY,
    EVENT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)
from backstay.reconcile import keys

CLOCK = SystemClock()


async def test_a_pass_writes_each_snapshot_and_each_content_once(
    client: Client, counted: Client, requests: Counter[str], namespace: str
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
