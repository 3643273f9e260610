"""The brakes of a retention pass on a real API server, driven as the operator drives it."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.copying import planner
from tests.support.kubectl import Kubectl
from tests.support.passes import retention_of, until_idle

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP_POLICY, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from backstay.reconcile import keys
from backstay.reconcile.policy import PolicyReconciler

DAYS = 8


async def make_series(client: Client, namespace: str) -> None:
    """A policy that keeps the last two, and a good point of each of the last days."""
    await make_policy(client, namespace)
    for day in range(DAYS):
        await make_point(client, namespace, day)


async def make_policy(client: Client, namespace: str) -> None:
    spec = {"source": {"claims": {"names": ["data"]}}, "retention": {"last": 2}}
    await client.create(
        BACKUP_POLICY, {"metadata": {"name": "shop", "namespace": namespace}, "spec": spec}
    )


async def make_point(client: Client, namespace: str, day: int, dated: str | None = None) -> None:
    carried = {
        labels.POLICY: "shop",
        labels.PVC: "data",
        labels.RESULT: "good",
        labels.RETAIN: "daily_weekly_monthly",
    }
    if dated is not None:
        carried[labels.DELETE_AFTER] = dated
    taken = format_time(SystemClock().now() - timedelta(days=day, minutes=5))
    body = {
        "metadata": {
            "name": f"day-{day}",
            "namespace": namespace,
            "labels": carried,
            "annotations": {labels.TAKEN_AT: taken, labels.GOOD_SINCE: taken},
        },
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    made = await client.create(VOLUME_SNAPSHOT, body)
    status = {
        "metadata": {"resourceVersion": objects.version(made)},
        "status": {"creationTime": taken, "readyToUse": True},
    }
    await client.patch(VOLUME_SNAPSHOT, f"day-{day}", namespace, status, subresource="status")


class Off(SystemClock):
    """Our clock, as much off as it says."""

    by = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.by


async def run_passes(client: Client, namespace: str) -> None:
    await until_idle(retention_of(client, SystemClock(), namespace, "shop"))


async def marked(client: Client, namespace: str) -> set[str]:
    return {
        objects.name(s)
        for s in await client.list(VOLUME_SNAPSHOT, namespace)
        if labels.MARKED_AT in objects.annotations(s)
    }


async def condition(client: Client, namespace: str) -> dict[str, Any] | None:
    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    found: list[dict[str, Any]] = policy.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == "RetentionHeld"), None)


async def test_a_mass_mark_is_held_until_the_command_of_its_message_is_run(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    await make_series(client, namespace)

    await run_passes(client, namespace)

    assert await marked(client, namespace) == set()
    held = await condition(client, namespace)
    assert held is not None
    assert (held["status"], held["reason"]) == ("True", "MassMark")
    assert held["message"].startswith("claim data: 6 of 8 points would be marked at once; ")
    program, *command = shlex.split(held["message"].partition("run: ")[2])
    assert program == "kubectl"

    answer = Kubectl(kubeconfig, "default")(*command)
    assert answer.ok, answer.err
    await run_passes(client, namespace)

    assert await marked(client, namespace) == {f"day-{day}" for day in range(2, DAYS)}
    released = await condition(client, namespace)
    assert released is not None
    assert (released["status"], released["reason"]) == ("False", "NotHeld")


async def test_the_policy_reconciler_and_the_retention_pass_keep_each_others_conditions(
    client: Client, namespace: str
) -> None:
    await make_series(client, namespace)
    clock = SystemClock()
    events = EventPoster(client, clock, "test")
    policies = PolicyReconciler(client, events, clock, lambda _: None, planner=planner(client))

    for _ in range(2):
        await run_passes(client, namespace)
        await policies.reconcile(keys.policy(namespace, "shop"))

    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    assert sorted(c["type"] for c in policy["status"]["conditions"]) == ["Ready", "RetentionHeld"]
    before = objects.version(policy)
    await run_passes(client, namespace)
    await policies.reconcile(keys.policy(namespace, "shop"))
    assert await version(client, namespace) == before


async def test_a_policy_that_is_not_held_gets_no_condition(client: Client, namespace: str) -> None:
    await make_policy(client, namespace)
    for day in range(3):
        await make_point(client, namespace, day)

    await run_passes(client, namespace)

    assert await marked(client, namespace) == {"day-2"}
    assert await condition(client, namespace) is None


@pytest.mark.parametrize("seconds", [90, -90])
async def test_nothing_is_marked_or_swept_until_the_clocks_agree(
    credentials: Login, namespace: str, seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Off()
    clock.by = timedelta(seconds=seconds)
    async with Client(credentials, clock) as client:
        await make_policy(client, namespace)
        for day in range(4):
            await make_point(client, namespace, day, "2020-01-01" if day == 3 else None)
        lost = await make_lost_content(client, namespace)
        passes = retention_of(client, clock, namespace, "shop")

        with caplog.at_level("INFO", logger="backstay.reconcile.retention"):
            await until_idle(passes)
            await until_idle(passes)

            assert await marked(client, namespace) == set()
            assert await names(client, namespace) == {f"day-{day}" for day in range(4)}
            assert await client.find(VOLUME_SNAPSHOT_CONTENT, lost) is not None
            held = await condition(client, namespace)
            assert held is not None
            assert (held["status"], held["reason"]) == ("True", "ClockSkew")

            clock.by = timedelta(0)
            await until_idle(passes)

        reported = [r.message for r in caplog.records if "clock" in r.message]
        assert [text.partition(" (")[0] for text in reported] == [
            held["message"],
            "the clock is to be believed again: retention goes on",
        ]
        assert await marked(client, namespace) == {"day-2"}
        assert await names(client, namespace) == {"day-0", "day-1", "day-2"}
        assert await client.find(VOLUME_SNAPSHOT_CONTENT, lost) is None
        released = await condition(client, namespace)
        assert released is not None
        assert released["status"] == "False"


async def make_lost_content(client: Client, namespace: str) -> str:
    """A content whose snapshot a sweep has deleted already."""
    name = f"lost-{namespace}"
    ref = {"namespace": namespace, "name": "gone", "uid": "uid-gone"}
    body = {
        "metadata": {
            "name": name,
            "labels": {
                labels.POLICY: "shop",
                labels.PVC: "data",
                labels.DELETE_AFTER: "2020-01-01",
                labels.SWEPT: "uid-gone.2020-01-01",
            },
        },
        "spec": {
            "driver": "csi.example",
            "deletionPolicy": "Retain",
            "source": {"snapshotHandle": name},
            "volumeSnapshotRef": ref,
        },
    }
    await client.create(VOLUME_SNAPSHOT_CONTENT, body)
    return name


async def names(client: Client, namespace: str) -> set[str]:
    return {objects.name(s) for s in await client.list(VOLUME_SNAPSHOT, namespace)}


async def version(client: Client, namespace: str) -> str:
    policy: Obj = await client.get(BACKUP_POLICY, "shop", namespace)
    return objects.version(policy)
