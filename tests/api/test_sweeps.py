"""The ends of sweeps: what is finished, and what is left alone."""

from __future__ import annotations

from collections import Counter

from tests.api.test_brakes import make_lost_content, make_point, make_policy
from tests.support.contents import DATE, bind, make_content
from tests.support.copying import stores
from tests.support.passes import retention_of, until_idle

from backstay.domain import objects
from backstay.domain.objects import dig
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from backstay.reconcile import keys
from backstay.reconcile.resync import Everything
from backstay.reconcile.sweeps import SweepReconciler

CLOCK = SystemClock()


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
    client: Client, counted: Client, requests: Counter[str], namespace: str
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
