"""Times, names and claims that are not ours, on a real API server: they lose nothing."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import record, snapshot
from tests.support.dumping_cluster import take
from tests.support.kubectl import Kubectl
from tests.support.operated import Operated
from tests.support.passes import retention_of, until_idle
from tests.support.schedules import (
    MovedClock,
    make_policies,
    make_snapshot_class,
    make_source,
    policy_body,
)
from tests.support.stored import bind, store

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.record import ClaimRecord
from backstay.domain.times import parse_time
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys

TIMES = [
    "1970-01-01T00:00:00Z",
    "1754-08-30T22:43:41Z",
    "2024-06-01T08:00:00Z",
    "2031-01-01T00:00:00Z",
    None,
]


@pytest.fixture
async def operated(client: Client, credentials: Login, namespace: str) -> AsyncIterator[Operated]:
    await make_snapshot_class(client)
    await make_source(client, namespace, "data")
    await make_policies(client, [policy_body(namespace, "shop")])
    async with Client(credentials, SystemClock()) as watched:
        yield Operated(watched, credentials, MovedClock(), namespace)


@pytest.mark.parametrize("reported", TIMES)
async def test_an_ad_hoc_point_is_kept_for_its_days_whatever_the_driver_says(
    operated: Operated, client: Client, namespace: str, reported: str | None
) -> None:
    spec = {"policy": "shop", "keepDays": 90}
    await client.create(BACKUP, {"metadata": {"name": "one", "namespace": namespace}, "spec": spec})
    key = keys.backup(namespace, "one")
    for step in (key, keys.ADMISSION, key):
        await operated.reconcile(step)
    (asked,) = await client.list(VOLUME_SNAPSHOT, namespace)
    await take(client, operated.clock, asked, reported)

    for step in (key, key, keys.retention(namespace, "shop"), keys.sweeps()):
        await operated.reconcile(step)

    run = await client.get(BACKUP, "one", namespace)
    assert dig(run, "status", "phase") == "Completed"
    (kept,) = await client.list(VOLUME_SNAPSHOT, namespace)
    taken = parse_time(objects.annotations(kept)[labels.TAKEN_AT])
    made = parse_time(dig(kept, "metadata", "creationTimestamp"))
    assert timedelta(0) <= taken - made < timedelta(minutes=5)
    dated = (taken + timedelta(days=90)).date().isoformat()
    assert objects.labels(kept)[labels.DELETE_AFTER] == dated
    assert dig(run, "status", "until") == f"until {dated[5:]}"
    # and its content says the same, should the snapshot be lost
    bound = dig(kept, "status", "boundVolumeSnapshotContentName")
    mirrored = objects.annotations(await client.get(VOLUME_SNAPSHOT_CONTENT, bound))
    for note in (labels.TAKEN_AT, labels.GOOD_SINCE):
        assert mirrored[note] == objects.annotations(kept)[note]


# ---- a claim that was recreated --------------------------------------------------------------


async def make_points(client: Client, namespace: str, uid: str, *days: int) -> None:
    """Good points of so many days ago, whose record names this claim."""
    for day in days:
        at = format_time(SystemClock().now() - timedelta(days=day, minutes=5))
        claim = ClaimRecord("data", uid, "10Gi", "fast", ("ReadWriteOnce",), "Filesystem")
        made = snapshot(
            f"d{day}", at, notes={"record": record(claim=claim)}, bound=f"{namespace}-{day}"
        )
        stored = await store(client, namespace, made)
        await bind(client, stored, policy="Retain")


async def make_keeping(client: Client, namespace: str, **retention: int) -> None:
    spec = {"source": {"claims": {"names": ["data"]}}, "retention": retention}
    await client.create(
        BACKUP_POLICY, {"metadata": {"name": "shop", "namespace": namespace}, "spec": spec}
    )


async def run_passes(client: Client, namespace: str) -> None:
    await until_idle(retention_of(client, SystemClock(), namespace, "shop"))


async def marked(client: Client, namespace: str) -> set[str]:
    found = await client.list(VOLUME_SNAPSHOT, namespace)
    return {objects.name(s) for s in found if labels.MARKED_AT in objects.annotations(s)}


async def condition(client: Client, namespace: str, kind: str) -> dict[str, Any]:
    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    found: list[dict[str, Any]] = dig(policy, "status", "conditions", default=[])
    return next((c for c in found if c["type"] == kind), {})


async def test_points_of_a_claim_recreated_mark_none_of_the_one_before_until_a_person_says_so(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    await make_keeping(client, namespace, last=3)
    await make_points(client, namespace, "uid-a", 9, 8)
    await make_points(client, namespace, "uid-b", 3, 2, 1, 0)

    await run_passes(client, namespace)

    assert await marked(client, namespace) == {"d3"}
    reported = await condition(client, namespace, "ClaimReplaced")
    assert (reported["status"], reported["reason"]) == ("True", "Replaced")
    assert "claim data is another one than that of 2 older points" in reported["message"]
    program, *command = shlex.split(reported["message"].partition("run: ")[2].partition(". If")[0])
    assert program == "kubectl"

    answer = Kubectl(kubeconfig, "default")(*command)
    assert answer.ok, answer.err
    await run_passes(client, namespace)

    assert await marked(client, namespace) == {"d3", "d8", "d9"}
    assert (await condition(client, namespace, "ClaimReplaced"))["status"] == "False"


# ---- who needs a snapshot --------------------------------------------------------------------


async def test_a_claim_that_waits_for_a_due_snapshot_keeps_it_until_it_is_gone(
    client: Client, namespace: str
) -> None:
    await make_keeping(client, namespace, last=1)
    await make_points(client, namespace, "uid-a", 9, 0)
    waiting = await client.create(PERSISTENT_VOLUME_CLAIM, claim_from("d9", namespace))
    due = await client.get(VOLUME_SNAPSHOT, "d9", namespace)
    await label(client, due, {labels.DELETE_AFTER: "2026-01-01"})

    await run_passes(client, namespace)
    assert await client.find(VOLUME_SNAPSHOT, "d9", namespace) is not None

    await client.delete(PERSISTENT_VOLUME_CLAIM, "aside", namespace, uid=objects.uid(waiting))
    await run_passes(client, namespace)
    assert await client.find(VOLUME_SNAPSHOT, "d9", namespace) is None


def claim_from(name: str, namespace: str) -> Obj:
    """A claim that waits for its first consumer."""
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}
    return {
        "metadata": {"name": "aside", "namespace": namespace, "finalizers": []},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "dataSource": source,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


async def label(client: Client, obj: Obj, values: dict[str, str]) -> None:
    patch = {"metadata": {"resourceVersion": objects.version(obj), "labels": values}}
    await client.patch(VOLUME_SNAPSHOT, objects.name(obj), objects.namespace(obj), patch)


async def test_a_point_whose_content_is_gone_keeps_an_older_one_from_going(
    client: Client, namespace: str
) -> None:
    await make_keeping(client, namespace, last=1)
    await make_points(client, namespace, "uid-a", 9, 5, 0)
    gone = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-0")
    await client.delete(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-0", None, uid=objects.uid(gone))

    await run_passes(client, namespace)

    assert await marked(client, namespace) == {"d9"}


async def test_many_dates_of_the_past_wait_for_a_person(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    await make_keeping(client, namespace, last=9)
    await make_points(client, namespace, "uid-a", 9, 8, 7, 6, 5, 0)
    kubectl = Kubectl(kubeconfig, namespace)
    assert kubectl("label", "volumesnapshot", "--all", "backstay.dev/delete-after=2026-01-01").ok

    await run_passes(client, namespace)

    assert len(await client.list(VOLUME_SNAPSHOT, namespace)) == 6
    held = await condition(client, namespace, "RetentionHeld")
    assert "claim data: 5 of 6 points would be marked or swept at once" in held["message"]
    _, *command = shlex.split(held["message"].partition("run: ")[2])
    assert kubectl(*command).ok
    await run_passes(client, namespace)
    (left,) = await client.list(VOLUME_SNAPSHOT, namespace)
    assert objects.name(left) == "d0"
