"""docs/how-to/move-from-backup-ns.md, followed word by word, with hands in between.

The operator runs as a process against an API server of this module; the snapshot controller and
the CronJob controller are played.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.adoption import (
    PRUNE,
    P,
    condition,
    day_of,
    make_cronjob,
    make_theirs,
    prefixed,
    snapshots,
)
from tests.support.apiserver import running_api_server
from tests.support.guides import Guide, Reader
from tests.support.kubectl import Kubectl
from tests.support.operator_process import running_operator
from tests.support.schedules import make_snapshot_class, make_source
from tests.support.snapshot_player import playing
from tests.support.waiting import within
from tests.unit.cli.running import FOREIGN

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, BACKUP_POLICY, CRON_JOB, NAMESPACE

NS: Final = "shop"
"""The namespace of the page."""
DAYS: Final = 7
WEEKS: Final = 2
"""That of the page's four have a label: there are two more, by hand and of the last attempt."""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An API server of their own: the page names its namespaces, and the operator sees all."""
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as path:
        yield path


def week_of(day: date, *, long: bool = False) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-w{week:02d}" if long else f"w{week:02d}"


def tiers_of(age: int) -> dict[str, Any]:
    """The labels of the daily run so many days ago: each of the first one of its period."""
    minutes = 5 / (24 * 60)  # they are taken so long before now
    day, before = day_of(age + minutes), day_of(age + 1 + minutes)
    found = {"daily": day.isoformat()} if age < DAYS else {}
    if week_of(day) != week_of(before) and age < WEEKS * 7:
        found["weekly"] = week_of(day)
    if day.month != before.month:
        found["monthly"] = f"{day:%Y-%m}"
    return found


async def make_history(client: Client) -> None:
    """What the tool has made, as its pruner leaves it, and what its README says of by hand."""
    for age in range(1, 41):
        if carried := tiers_of(age):
            await make_theirs(client, NS, age, **carried)
    # an attempt that never got ready, whose labels its good second attempt did not get
    await make_theirs(client, NS, 0, ready=False, name="attempt", **tiers_of(0))
    await make_theirs(client, NS, 0, name="retried")
    by_hand: dict[str, dict[str, Any]] = {
        "adhoc": {"retain": "days", "retain_days": "30", "delete_after": f"{day_of(-25)}"},
        "expired": {"retain": "days", "delete_after": f"{day_of(1)}"},
        "wanted": {"retain": "days", "delete_after": f"{day_of(1)}"},
        "protected": {"retain": "days", "retain_days": "30"},
        "for-good": {"retain": None},
        "labelled-by-hand": {"type": None, "retain": "days"},
        "deleted-by-hand": {},
        "long-week": {"weekly": week_of(day_of(3), long=True)},
        "second": {},
        "renewed": {},
    }
    for name, carried in by_hand.items():
        await make_theirs(client, NS, 3, name=name, **{"type": "adhoc", **carried})


@pytest.fixture
async def theirs(client: Client) -> Obj:
    """The cluster of the page before the move; return the pruner."""
    for name in (NS, "backup-ns"):
        await client.create(NAMESPACE, {"metadata": {"name": name}})
    await make_snapshot_class(client)
    await make_source(client, NS)
    await make_cronjob(client, NS, "backup", "/app/backup-ns", "create")
    pruner = await make_cronjob(client, "backup-ns", "pruner", *PRUNE)
    await make_history(client)
    return pruner


async def has_run(client: Client, pruner: Obj) -> None:
    """Play the CronJob controller: the pruner has run a moment ago, and has ended."""
    found = await client.get(CRON_JOB, objects.name(pruner), objects.namespace(pruner))
    ran = {"lastScheduleTime": format_time(SystemClock().now())}
    patch = {"metadata": {"resourceVersion": objects.version(found)}, "status": ran}
    await client.patch(
        CRON_JOB, objects.name(found), objects.namespace(found), patch, subresource="status"
    )


def judged(text: str) -> dict[str, str]:
    """By snapshot: the verdict in what `kubectl backstay retention` printed."""
    rows = (line.split() for line in text.splitlines())
    words = {"keep", "mark", "unmark", "delete", "hold", "relabel"}
    return {row[0]: word for row in rows if row for word in row[1:6] if word in words}


@pytest.mark.timeout(600)
async def test_a_namespace_moves_by_the_page_whatever_people_do_between_its_steps(
    client: Client, kubeconfig: Path, theirs: Obj, tmp_path: Path
) -> None:
    page = Reader(Guide("move-from-backup-ns.md", kubeconfig, tmp_path))
    kubectl = Kubectl(kubeconfig, NS)

    async def step(mark: str) -> str:
        return await asyncio.to_thread(page.step, mark)

    def label(name: str, *changes: str) -> None:
        done = kubectl("label", "volumesnapshot", name, *changes)
        assert done.ok, done.err

    # hands, before the move: a second label of a day, as the tool's README allows
    label("second", f"{FOREIGN}daily={day_of(3)}")
    before = await snapshots(client, NS)

    await step("ns=shop")
    await step("kind: BackupPolicy")
    said = judged(await step("--label-prefix backup-ns.sh"))
    # at once, or after a day of grace: these two and no others
    assert {name for name, word in said.items() if word == "delete"} <= {"expired", "wanted"}
    without_a_tier = {"renewed", "deleted-by-hand"}  # which the tool marks as well
    assert {name for name, word in said.items() if word == "mark"} == without_a_tier
    assert {name for name, word in said.items() if word == "hold"} == {"second", "long-week"}
    # as the page says: hold what should stay. And hands: the policy is applied too early
    label("wanted", f"{labels.HOLD}=true")
    early = kubectl("apply", "-f", str(tmp_path / "policy.yaml"))
    assert early.ok, early.err

    log = tmp_path / "operator.log"
    async with playing(client):
        async with operator(kubeconfig, "first", log):
            refused = await until_reported(client, "PrunerRunning")
            assert "kubectl patch cronjob pruner -n backup-ns" in refused["message"]
            found = await snapshots(client, NS)
            assert not any(set(prefixed(s, P)) - {"hold"} for s in found.values())
            # the tool goes on: its pruner marks one that has lost its labels, and a person renews
            # that date; a note on another one that was marked is written by kubectl as well
            label("renewed", f"{FOREIGN}delete-after={day_of()}")
            await has_run(client, theirs)
            label("renewed", f"{FOREIGN}delete-after={day_of(-60)}", "--overwrite")
            assert kubectl("delete", "volumesnapshot", "deleted-by-hand").ok

            await step("kubectl patch cronjob pruner")
            await asyncio.to_thread(page.again)
        # the operator restarts while the reader is at it
        async with operator(kubeconfig, "second", log):
            await step("kubectl apply -f policy.yaml")
            reported = json.loads(await step('?(@.type=="Adopted")'))
            assert reported["reason"] == "Adopted"
            assert f"CronJob {NS}/backup still makes snapshots" in reported["message"]
            assert "second" in reported["message"]

            shown = await step("-L backstay.dev/daily")
            adopted = {n for n, s in (await snapshots(client, NS)).items() if recorded(s)}
            # `expired` goes, sooner or later
            assert shown.count("Completed") - len(adopted - {"expired"}) in (0, 1)
            words = judged(shown[shown.index("Policy shop") :])
            assert not {"delete", "mark", "hold"} & set(words.values())
            await step("first-of-backstay")
            await asyncio.to_thread(page.again)
    page.finish()
    await as_the_tool_would_have_it(client, before)


def recorded(snapshot: Obj) -> bool:
    """Whether it was adopted and can be restored from: it has its Backup then."""
    ready: bool = snapshot["status"]["readyToUse"]
    return ready and "policy" in prefixed(snapshot, P)


def operator(kubeconfig: Path, lease: str, log: Path) -> Any:
    return running_operator(kubeconfig, "default", lease=lease, log=log, resync="PT2S")


async def until_reported(client: Client, reason: str) -> dict[str, Any]:
    async with within(180, f"reason {reason} of condition Adopted"):
        while True:
            reported = await condition(client, NS)
            if reported.get("reason") == reason:
                return reported
            await asyncio.sleep(0.1)


async def as_the_tool_would_have_it(client: Client, before: dict[str, Obj]) -> None:
    """All that the tool would keep is there, unmarked; what it would delete is gone."""
    after = await snapshots(client, NS)
    assert set(before) - set(after) <= {"expired", "deleted-by-hand"}
    for name in set(before) & set(after):
        notes = objects.annotations(after[name])
        assert labels.MARKED_AT not in notes, (name, prefixed(after[name], P))
        theirs_now = prefixed(after[name], FOREIGN)
        if name != "renewed":
            assert theirs_now == prefixed(before[name], FOREIGN)
    assert prefixed(after["renewed"], P)["delete-after"] == f"{day_of(-60)}"
    assert prefixed(after["second"], P)["hold"] == "true"
    assert prefixed(after["for-good"], P) == {}
    (made,) = set(after) - set(before)
    assert prefixed(after[made], P)["result"] == "good"
    backup = await client.get(BACKUP, "first-of-backstay", NS)
    assert backup["status"]["phase"] == "Completed"
    assert await client.find(CRON_JOB, "backup", NS) is None
    assert await client.find(BACKUP_POLICY, "shop", NS) is not None
