"""Adoption is refused while it is not safe, and says why."""

from __future__ import annotations

from pathlib import Path

from tests.support.adoption import (
    PRUNE,
    P,
    backups,
    condition,
    day_of,
    everything,
    make_cronjob,
    make_policy,
    make_theirs,
    prefixed,
    remove_cronjob,
    run_pass,
    snapshots,
)
from tests.support.kubectl import Kubectl
from tests.unit.cli.running import FOREIGN

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP_POLICY,
    CRON_JOB,
)


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
    reported = await condition(client, namespace)
    assert (reported["status"], reported["reason"]) == ("True", "Adopted")
    assert f"CronJob {namespace}/backup still makes snapshots" in reported["message"]


async def test_a_mark_of_today_is_a_sign_of_a_pruner_until_a_stopped_one_explains_it(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    # given a snapshot that something marked a moment ago, as mark-and-delete.sh does
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1)
    await make_theirs(client, namespace, 2)
    kubectl = Kubectl(kubeconfig, namespace)
    day = day_of().isoformat()
    marked = kubectl("label", "volumesnapshot", "data-2", f"{FOREIGN}delete-after={day}")
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
    job = await client.patch(
        CRON_JOB, "pruner", namespace, {"metadata": version, "spec": {"suspend": True}}
    )
    try:
        await run_pass(client, namespace)
    finally:
        await remove_cronjob(client, job)  # It would explain the marks of other tests.

    assert (await condition(client, namespace))["status"] == "True"
    found = await snapshots(client, namespace)
    assert objects.labels(found["data-2"])[labels.DELETE_AFTER] == day


async def test_what_people_write_with_kubectl_is_no_sign_of_a_pruner(
    client: Client, namespace: str, kubeconfig: Path
) -> None:
    # given a snapshot that a pruner, gone by now, marked days ago, and a person's acts of today:
    # a hold on it, as the how-to says, and each that the tool's own pages name
    await make_policy(client, namespace)
    for day in range(5):
        await make_theirs(client, namespace, day)
    date = f"{FOREIGN}delete-after"
    kubectl = Kubectl(kubeconfig, namespace)
    for name, *changes in (
        ("data-1", f"{date}={day_of(4)}"),
        ("data-1", "backstay.dev/hold=true"),
        ("data-2", f"{date}={day_of(1)}"),
        ("data-2", f"{date}={day_of(-30)}", "--overwrite"),
        ("data-3", f"{date}={day_of(-1)}"),
        ("data-4", f"{date}={day_of()}", f"{FOREIGN}daily=2020-01-01"),
        ("data-4", f"{FOREIGN}daily-", f"{date}-"),
    ):
        done = kubectl("label", "volumesnapshot", name, *changes)
        assert done.ok, done.err

    await run_pass(client, namespace)

    reported = await condition(client, namespace)
    assert (reported["status"], reported["reason"]) == ("True", "Adopted"), reported
    found = {name: objects.labels(s) for name, s in (await snapshots(client, namespace)).items()}
    assert found["data-1"][labels.HOLD] == "true"
    assert found["data-2"][labels.DELETE_AFTER] == day_of(-30).isoformat()
    assert found["data-3"][labels.DELETE_AFTER] == day_of(-1).isoformat()
    assert len(found) == 5


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
    reported = await condition(client, namespace, "a-second")
    assert (reported["status"], reported["reason"]) == ("False", "AdoptedByAnother")
    assert "policy b-first" in reported["message"]
    # and it stays so
    before = await everything(client, namespace)
    for policy in ("a-second", "b-first"):
        await run_pass(client, namespace, policy)
    assert await everything(client, namespace) == before


async def later_than(client: Client, namespace: str, policy: str) -> None:
    """Wait for the API server's clock to reach another second than the policy's creation."""
    obj = await client.get(BACKUP_POLICY, policy, namespace)
    created = dig(obj, "metadata", "creationTimestamp")
    clock = SystemClock()
    while format_time(clock.now()) <= created:
        await clock.sleep(0.05)
