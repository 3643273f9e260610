"""Snapshots of backup-ns become points of a policy, on a real API server."""

from __future__ import annotations

from pathlib import Path

from tests.support.adoption import (
    P,
    backups,
    condition,
    day_of,
    everything,
    make_policy,
    make_theirs,
    offline,
    prefixed,
    run_pass,
    snapshots,
)
from tests.support.copying import planner
from tests.support.kubectl import Kubectl
from tests.unit.cli.running import FOREIGN

from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.domain.stores.snapshots.carriers import is_good, point_of, record_of
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import (
    BACKUP_POLICY,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys
from backstay.reconcile.policy import PolicyReconciler
from backstay.settings import RollingRoots


async def test_what_the_preview_said_is_what_the_pass_leaves(
    client: Client, namespace: str
) -> None:
    # given points of the last days, one unready, one with a date of its own, malformed ones,
    # two of one day of which the later has the label
    policy = await make_policy(client, namespace)
    await make_theirs(client, namespace, 0, ready=False, daily="2020-01-01")
    for day in (1, 2, 3):
        await make_theirs(client, namespace, day, monthly="2020-13")
    await make_theirs(client, namespace, 40, retain="days", delete_after="2020-02-30")
    await make_theirs(client, namespace, 41, retain="days", delete_after="2020-02-01")
    await make_theirs(client, namespace, 42, retain="days", delete_after="2999-01-01")
    before = await snapshots(client, namespace)
    said = await offline(client, namespace, policy)
    assert {name for name, line in said.items() if line.delete} == {"data-41"}

    await run_pass(client, namespace)

    after = await snapshots(client, namespace)
    assert set(after) == set(before) - {"data-41"}
    for name, snapshot in after.items():
        theirs, line = prefixed(before[name], FOREIGN), said[name]
        wanted = {k: v for k, v in theirs.items() if FOREIGN + k not in line.remove_labels}
        wanted |= {k.removeprefix(FOREIGN): v for k, v in line.set_labels.items()}
        ours = prefixed(snapshot, P)
        backup = ours.pop("backup", None)
        assert ours == wanted | {"policy": "shop", "result": "good"}
        assert prefixed(snapshot, FOREIGN) == theirs
        assert (backup is None) == (name == "data-0")
        marked = labels.MARKED_AT in objects.annotations(snapshot)
        assert marked == (FOREIGN + "delete-after" in line.set_labels)
    reported = await condition(client, namespace)
    assert (reported["status"], reported["reason"]) == ("True", "Adopted")


async def test_what_people_labelled_by_hand_is_kept_as_the_tool_keeps_it(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    # given a point a day, each with its label, and what a person did to them with kubectl
    policy = await make_policy(client, namespace, daily=9, weekly=1, monthly=1)
    days = {day: day_of(day) for day in range(9)}
    for day, date in days.items():
        await make_theirs(client, namespace, day, daily=date.isoformat())
    kubectl = Kubectl(kubeconfig, namespace)
    second = await make_theirs(client, namespace, 3, name="second", type="adhoc")
    year, week, _ = days[3].isocalendar()
    by_hand = {
        objects.name(second): [f"{FOREIGN}daily={days[3]}", f"{FOREIGN}weekly={year}-w{week:02d}"],
        "data-4": [f"{FOREIGN}retain=days", f"{FOREIGN}daily-", "--overwrite"],
        "data-5": [f"{FOREIGN}delete-after=2999-01-01"],
        "data-6": [f"{FOREIGN}daily-"],
        "data-7": [f"{FOREIGN}retain=forever", f"{FOREIGN}daily-", "--overwrite"],
        "data-8": [f"{FOREIGN}retain-", f"{FOREIGN}daily-"],
    }
    for name, changes in by_hand.items():
        done = kubectl("label", "volumesnapshot", name, *changes)
        assert done.ok, done.err
    said = await offline(client, namespace, policy)
    assert said["second"].set_labels[f"{FOREIGN}hold"] == "true"

    await run_pass(client, namespace)

    found = await snapshots(client, namespace)
    assert set(found) == {f"data-{day}" for day in days} | {"second"}
    marked = {n for n, s in found.items() if labels.MARKED_AT in objects.annotations(s)}
    assert marked == set()
    assert {n for n, s in found.items() if labels.HOLD in objects.labels(s)} == {"second"}
    assert prefixed(found["data-8"], P) == {}
    reported = await condition(client, namespace)
    assert "1 held, as backup-ns.sh keeps them" in reported["message"]
    assert "(second)" in reported["message"]

    # when the person gives it up, it is one too many, with its day of grace; and stays so
    assert kubectl("label", "volumesnapshot", "second", f"{labels.HOLD}-").ok
    await run_pass(client, namespace)
    found = await snapshots(client, namespace)
    assert labels.HOLD not in objects.labels(found["second"])
    assert labels.MARKED_AT in objects.annotations(found["second"])
    assert "held" not in (await condition(client, namespace))["message"]


async def test_an_adopted_point_is_kept_recorded_and_shown_as_any_other(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    made = await make_theirs(client, namespace, 1, type="adhoc")

    await run_pass(client, namespace)

    (snapshot,) = (await snapshots(client, namespace)).values()
    assert is_good(point_of(snapshot))
    name = objects.labels(snapshot)[labels.BACKUP]
    assert name.startswith("shop-2")
    assert name.endswith(objects.uid(made)[:5])
    record = record_of(snapshot)
    assert record is not None
    assert (record.claim.name, record.claim.size, record.dumps) == ("data", "1Gi", ())
    content = await client.get(VOLUME_SNAPSHOT_CONTENT, f"{namespace}-1")
    assert dig(content, "spec", "deletionPolicy") == "Retain"
    assert prefixed(content, P) == prefixed(snapshot, P)
    assert (
        objects.annotations(content)[labels.RECORD] == objects.annotations(snapshot)[labels.RECORD]
    )
    (backup,) = (await backups(client, namespace)).values()
    assert objects.name(backup) == name
    assert backup["spec"] == {"policy": "shop", "trigger": "Imported"}
    assert objects.annotations(snapshot)[labels.RUN] == objects.uid(backup)
    status = backup["status"]
    assert (status["phase"], status["size"]) == ("Completed", "1.0Gi")
    assert status["tiers"] == "daily,weekly,monthly"
    (point,) = status["points"]
    assert (point["source"], point["ref"], point["result"]) == ("data", "data-1", "good")


async def test_a_second_pass_writes_nothing(client: Client, namespace: str) -> None:
    await make_policy(client, namespace)
    for day in range(3):
        await make_theirs(client, namespace, day, ready=day > 0)
    await run_pass(client, namespace)
    before = await everything(client, namespace)

    await run_pass(client, namespace)

    assert await everything(client, namespace) == before


async def test_a_snapshot_that_gets_ready_later_gets_its_record_then(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1, ready=False)
    await run_pass(client, namespace)
    assert await backups(client, namespace) == {}
    (snapshot,) = (await snapshots(client, namespace)).values()
    assert not is_good(point_of(snapshot))

    await client.patch(
        VOLUME_SNAPSHOT,
        "data-1",
        namespace,
        {
            "metadata": {"resourceVersion": objects.version(snapshot)},
            "status": {"readyToUse": True},
        },
        subresource="status",
    )
    await run_pass(client, namespace)

    (snapshot,) = (await snapshots(client, namespace)).values()
    assert is_good(point_of(snapshot))
    assert list(await backups(client, namespace)) == [objects.labels(snapshot)[labels.BACKUP]]


async def test_a_label_that_a_person_edited_stands(client: Client, namespace: str) -> None:
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1)
    await run_pass(client, namespace)
    (snapshot,) = (await snapshots(client, namespace)).values()
    edit = {
        "metadata": {
            "resourceVersion": objects.version(snapshot),
            "labels": {labels.POLICY: "elsewhere"},
        }
    }
    edited = await client.patch(VOLUME_SNAPSHOT, "data-1", namespace, edit)

    await run_pass(client, namespace)

    (after,) = (await snapshots(client, namespace)).values()
    assert objects.labels(after) == objects.labels(edited)


async def test_what_was_taken_over_stays_when_adopt_is_left_out(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1)
    await run_pass(client, namespace)
    policy = await client.get(BACKUP_POLICY, "shop", namespace)
    without = {
        "metadata": {"resourceVersion": objects.version(policy)},
        "spec": {"adopt": None},
    }
    await client.patch(BACKUP_POLICY, "shop", namespace, without)
    await make_theirs(client, namespace, 2)

    await run_pass(client, namespace)

    found = await snapshots(client, namespace)
    assert objects.labels(found["data-1"])[labels.POLICY] == "shop"
    assert prefixed(found["data-2"], P) == {}
    assert await condition(client, namespace) == {}


async def test_a_snapshot_of_another_tool_fills_no_slot_of_the_schedule(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    made = await make_theirs(client, namespace, 0)
    await run_pass(client, namespace)
    clock = SystemClock()
    events = EventPoster(client, clock, "test")
    policies = PolicyReconciler(
        client, events, clock, lambda _: None, planner=planner(client, RollingRoots())
    )

    await policies.reconcile(keys.policy(namespace, "shop"))

    status = (await client.get(BACKUP_POLICY, "shop", namespace))["status"]
    assert status["good"] == 1
    assert status["lastSuccess"] == dig(made, "status", "creationTime")
    assert "lastSlot" not in status
    assert "lastRun" not in status
