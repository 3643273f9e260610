"""Snapshots of backup-ns become points of a policy, on a real API server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.killing import Killed, killing
from tests.support.kubectl import Kubectl
from tests.support.passes import retention_of, until_idle
from tests.support.stored import bind, store
from tests.unit.cli.running import FOREIGN, foreign

from backstay.api.common import format_time
from backstay.domain import labels, objects, preview
from backstay.domain.carriers import is_good, point_of, record_of, rules_of
from backstay.domain.errors import Conflict, Transient
from backstay.domain.objects import Obj, dig
from backstay.domain.preview import Preview
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    CRON_JOB,
    NAMESPACE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys
from backstay.reconcile.policy import PolicyReconciler
from backstay.reconcile.retention import RetentionReconciler
from backstay.reconcile.runs import parse_policy_spec

P: Final = labels.PREFIX
ADOPT: Final = {"labelPrefix": "backup-ns.sh"}
PRUNE: Final = ["/bin/bash", "-c", "/app/retain.sh && /app/mark-and-delete.sh"]


async def make_policy(
    client: Client, namespace: str, name: str = "shop", *, adopt: bool = True, **retention: int
) -> Obj:
    spec: Obj = {
        "schedule": {"cron": "32 0 * * *", "timeZone": "Europe/Vienna"},
        "source": {"claims": {"names": ["data"]}},
        "retention": retention or {"daily": 2, "weekly": 2, "monthly": 2},
    }
    if adopt:
        spec["adopt"] = ADOPT
    return await client.create(
        BACKUP_POLICY, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )


async def make_theirs(
    client: Client, namespace: str, days: int, *, ready: bool = True, **carried: Any
) -> Obj:
    """A snapshot of backup-ns so many days old, bound to a content that nobody labelled."""
    taken = SystemClock().now() - timedelta(days=days, minutes=5)
    made = foreign(f"data-{days}", format_time(taken), ready=ready, **carried)
    made["status"] |= {
        "boundVolumeSnapshotContentName": f"{namespace}-{days}",
        "restoreSize": "1Gi",
    }
    stored = await store(client, namespace, made)
    await bind(client, stored)
    return stored


async def make_cronjob(client: Client, namespace: str, name: str, *command: str) -> Obj:
    container = {"name": name, "image": "ghcr.io/allaboutapps/backup-ns:v0.3.0"}
    pod = {"restartPolicy": "Never", "containers": [{**container, "command": list(command)}]}
    spec = {
        "schedule": "36 11 * * *",
        "jobTemplate": {"spec": {"template": {"spec": pod}}},
    }
    return await client.create(
        CRON_JOB, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )


async def remove_cronjob(client: Client, job: Obj) -> None:
    await client.delete(CRON_JOB, objects.name(job), objects.namespace(job), uid=objects.uid(job))


async def run_pass(client: Client, namespace: str, policy: str = "shop") -> None:
    await until_idle(retention_of(client, SystemClock(), namespace, policy))


async def snapshots(client: Client, namespace: str) -> dict[str, Obj]:
    return {objects.name(s): s for s in await client.list(VOLUME_SNAPSHOT, namespace)}


async def backups(client: Client, namespace: str) -> dict[str, Obj]:
    return {objects.name(b): b for b in await client.list(BACKUP, namespace)}


async def condition(client: Client, namespace: str, policy: str = "shop") -> dict[str, Any]:
    found = await client.get(BACKUP_POLICY, policy, namespace)
    conditions = dig(found, "status", "conditions", default=[])
    return next((c for c in conditions if c["type"] == "Adopted"), {})


async def offline(client: Client, namespace: str, policy: Obj) -> dict[str, Preview]:
    """What `kubectl backstay retention --label-prefix backup-ns.sh` says of the namespace."""
    rules = rules_of(parse_policy_spec(policy))
    found = await client.list(VOLUME_SNAPSHOT, namespace)
    lines = preview.of_adopted(found, rules, SystemClock().now(), FOREIGN)
    return {line.name: line for line in lines}


def prefixed(obj: Obj, prefix: str) -> dict[str, str]:
    return {
        k.removeprefix(prefix): v for k, v in objects.labels(obj).items() if k.startswith(prefix)
    }


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
    told = await condition(client, namespace)
    assert (told["status"], told["reason"]) == ("True", "Adopted")


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
    assert (point["claim"], point["snapshot"], point["result"]) == ("data", "data-1", "good")


async def test_a_second_pass_writes_nothing(client: Client, namespace: str) -> None:
    await make_policy(client, namespace)
    for day in range(3):
        await make_theirs(client, namespace, day, ready=day > 0)
    await run_pass(client, namespace)
    before = await everything(client, namespace)

    await run_pass(client, namespace)

    assert await everything(client, namespace) == before


async def everything(client: Client, namespace: str) -> dict[str, str]:
    """Every object of ours by kind and name, with its resourceVersion."""
    found = [
        *await client.list(VOLUME_SNAPSHOT, namespace),
        *await client.list(BACKUP, namespace),
        *await client.list(BACKUP_POLICY, namespace),
        *(
            c
            for c in await client.list(VOLUME_SNAPSHOT_CONTENT)
            if dig(c, "spec", "volumeSnapshotRef", "namespace") == namespace
        ),
    ]
    return {f"{o['kind']}/{objects.name(o)}": objects.version(o) for o in found}


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


async def test_nothing_is_adopted_while_a_pruner_runs_anywhere(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace)
    made = await make_theirs(client, namespace, 1)
    await make_cronjob(client, namespace, "backup", "/app/backup-ns", "create")
    pruner = await make_cronjob(client, "default", f"pruner-{namespace}", *PRUNE)
    try:
        await run_pass(client, namespace)

        refused = await condition(client, namespace)
        assert (refused["status"], refused["reason"]) == ("False", "PrunerRunning")
        assert f"CronJob default/pruner-{namespace}" in refused["message"]
        (left,) = (await snapshots(client, namespace)).values()
        assert objects.version(left) == objects.version(made)
        assert await backups(client, namespace) == {}
    finally:
        await remove_cronjob(client, pruner)

    await run_pass(client, namespace)

    (taken_over,) = (await snapshots(client, namespace)).values()
    assert labels.POLICY in objects.labels(taken_over)
    told = await condition(client, namespace)
    assert (told["status"], told["reason"]) == ("True", "Adopted")
    assert f"CronJob {namespace}/backup still makes snapshots" in told["message"]


async def test_a_mark_of_today_is_a_sign_of_a_pruner_until_a_stopped_one_explains_it(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    # given a snapshot that something marked a moment ago, as mark-and-delete.sh does
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1)
    await make_theirs(client, namespace, 2)
    kubectl = Kubectl(kubeconfig, namespace)
    marked = kubectl("label", "volumesnapshot", "data-2", f"{FOREIGN}delete-after=2999-01-01")
    assert marked.ok, marked.err

    await run_pass(client, namespace)

    refused = await condition(client, namespace)
    assert (refused["status"], refused["reason"]) == ("False", "PrunerRunning")
    assert "no CronJob of this cluster marked snapshot data-2" in refused["message"]
    assert not any(prefixed(s, P) for s in (await snapshots(client, namespace)).values())

    # when it turns out to have been one that is suspended by now
    job = await make_cronjob(client, namespace, "pruner", *PRUNE)
    version = {"resourceVersion": objects.version(job)}
    ran = {"status": {"lastScheduleTime": format_time(SystemClock().now())}}
    job = await client.patch(
        CRON_JOB, "pruner", namespace, {"metadata": version, **ran}, subresource="status"
    )
    version = {"resourceVersion": objects.version(job)}
    await client.patch(
        CRON_JOB, "pruner", namespace, {"metadata": version, "spec": {"suspend": True}}
    )
    await run_pass(client, namespace)

    assert (await condition(client, namespace))["status"] == "True"
    found = await snapshots(client, namespace)
    assert objects.labels(found["data-2"])[labels.DELETE_AFTER] == "2999-01-01"


async def test_of_two_policies_the_older_adopts_whoever_comes_first(
    client: Client, namespace: str
) -> None:
    await make_policy(client, namespace, "b-first")
    await later_than(client, namespace, "b-first")
    await make_policy(client, namespace, "a-second")
    await make_theirs(client, namespace, 1)

    for policy in ("a-second", "b-first", "a-second"):
        await run_pass(client, namespace, policy)

    (snapshot,) = (await snapshots(client, namespace)).values()
    assert objects.labels(snapshot)[labels.POLICY] == "b-first"
    assert (await condition(client, namespace, "b-first"))["status"] == "True"
    told = await condition(client, namespace, "a-second")
    assert (told["status"], told["reason"]) == ("False", "AdoptedByAnother")
    assert "policy b-first" in told["message"]
    # and it stays so
    before = await everything(client, namespace)
    for policy in ("a-second", "b-first"):
        await run_pass(client, namespace, policy)
    assert await everything(client, namespace) == before


async def later_than(client: Client, namespace: str, policy: str) -> None:
    """Wait for the API server's clock to tell another second than the policy's creation."""
    obj = await client.get(BACKUP_POLICY, policy, namespace)
    created = dig(obj, "metadata", "creationTimestamp")
    clock = SystemClock()
    while format_time(clock.now()) <= created:
        await clock.sleep(0.05)


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
    policies = PolicyReconciler(client, EventPoster(client, clock, "test"), clock, lambda _: None)

    await policies.reconcile(keys.policy(namespace, "shop"))

    status = (await client.get(BACKUP_POLICY, "shop", namespace))["status"]
    assert status["good"] == 1
    assert status["lastSuccess"] == dig(made, "status", "creationTime")
    assert "lastSlot" not in status
    assert "lastRun" not in status


@pytest.mark.timeout(120)
async def test_killed_before_any_write_the_next_one_ends_the_same(
    client: Client, credentials: Login, namespace: str
) -> None:
    async def world(place: str) -> None:
        await make_policy(client, place)
        await make_theirs(client, place, 1, daily="2020-01-01")
        await make_theirs(client, place, 2, ready=False)
        await make_theirs(client, place, 9, weekly="w01")

    async def outcome(place: str) -> dict[str, Any]:
        found = await snapshots(client, place)
        uids = {objects.uid(b) for b in (await backups(client, place)).values()}
        pointing = {objects.annotations(s).get(labels.RUN) for s in found.values()} - {None}
        assert pointing == uids
        assert all(
            dig(b, "status", "phase") == "Completed"
            for b in (await backups(client, place)).values()
        )
        return {
            name: {k: v for k, v in prefixed(s, P).items() if k != "backup"}
            for name, s in found.items()
        }

    await world(namespace)
    await run_pass(client, namespace)
    wanted = await outcome(namespace)
    kills = 0
    while True:
        place = await another_namespace(client, namespace, kills)
        await world(place)
        async with Client(credentials, SystemClock(), fence=killing(kills)) as mortal:
            try:
                await run_pass(mortal, place)
            except Killed:
                killed = True
            else:
                killed = False
        await run_pass(client, place)
        assert await outcome(place) == wanted, f"killed before write {kills}"
        if not killed:
            break
        kills += 1
    # Backup, its status and the patch of two, the patch of one, contents, mirrors, the condition
    assert kills > 10


async def another_namespace(client: Client, base: str, number: int) -> str:
    name = f"{base}-{number}"
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    return name


async def test_one_snapshot_that_changed_meanwhile_is_read_again_before_the_pass(
    client: Client, credentials: Login, namespace: str
) -> None:
    """A series is judged whole: the pass does not follow an adoption that is not complete."""
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1)
    await make_theirs(client, namespace, 2)
    stale = _Meddled(credentials, SystemClock(), namespace)
    async with stale as meddled:
        reconciler = RetentionReconciler(meddled, SystemClock(), lambda _: None)
        with pytest.raises((Conflict, Transient)):
            await reconciler.reconcile(keys.retention(namespace, "shop"))
    found = await snapshots(client, namespace)
    assert not any(labels.DAILY in objects.labels(s) for s in found.values())

    await run_pass(client, namespace)

    found = await snapshots(client, namespace)
    assert all(labels.DAILY in objects.labels(s) for s in found.values())


class _Meddled(Client):
    """A client whose snapshot data-2 a person edits just before each patch of it."""

    def __init__(self, credentials: Login, clock: SystemClock, namespace: str) -> None:
        super().__init__(credentials, clock)
        self._place = namespace

    async def patch(self, resource: Any, name: str, *arguments: Any, **more: Any) -> Obj:
        if name == "data-2":
            found = await self.get(VOLUME_SNAPSHOT, name, self._place)
            edit = {
                "metadata": {
                    "resourceVersion": objects.version(found),
                    "annotations": {"by-hand": str(SystemClock().monotonic())},
                }
            }
            await super().patch(VOLUME_SNAPSHOT, name, self._place, edit)
        return await super().patch(resource, name, *arguments, **more)
