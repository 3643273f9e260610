"""`kubectl backstay` against a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.builders import SHA, content, record, snapshot
from tests.support.stored import store

from backstay.cli import main
from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.records.record import DumpRecord
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NAMESPACE,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)

P = labels.PREFIX
NOW = ("--now", "2026-11-22T03:00:00+01:00")
TODAY, OLD = "2026-11-22T00:32:00Z", "2026-11-11T00:32:00Z"
SPEC: Obj = {
    "schedule": {"cron": "32 0 * * *", "timeZone": "Europe/Vienna"},
    "source": {"claims": {"names": ["data"]}},
    "retention": {"daily": 1},
}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def by_name(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        return {line.get("name", line.get("content")): line for line in json.loads(self.out)}


Run = Callable[..., Any]


@pytest.fixture
def run(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a coroutine that runs the command in a thread: it has an event loop of its own."""

    async def run(*arguments: str, at: Path = kubeconfig) -> Ran:
        code = await asyncio.to_thread(main, [*arguments, "--kubeconfig", str(at)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


async def policy(client: Client, namespace: str, name: str = "shop", **retention: int) -> Obj:
    spec = {**SPEC, "retention": retention} if retention else SPEC
    return await client.create(
        BACKUP_POLICY, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )


async def lose(
    client: Client, namespace: str, name: str, date: str | None = None, **notes: str
) -> Obj:
    """Create a content of ours whose snapshot was deleted."""
    extra = {"delete-after": date} if date else {}
    stored = await store(client, namespace, snapshot(name, OLD, extra=extra))
    kept = await keep(client, stored, name, **notes)
    await client.delete(VOLUME_SNAPSHOT, name, namespace, uid=objects.uid(stored))
    return kept


async def keep(client: Client, stored: Obj, name: str, **notes: str) -> Obj:
    """Create the content of a snapshot, as a pass would mirror it."""
    dump = DumpRecord("shop", "postgres", "/data/shop.dump", "shop.dump", SHA, 2048, 999, 998)
    namespace = objects.namespace(stored)
    made = content(stored, policy="Retain")
    swept = notes.pop("swept", None)
    proof = {labels.SWEPT: swept.format(uid=objects.uid(stored))} if swept else {}
    made["metadata"] = {
        "name": f"{namespace}-{name}",
        "labels": objects.labels(stored) | proof,
        "annotations": {
            labels.RECORD: record(namespace=namespace, dumps=(dump,)),
            labels.TAKEN_AT: objects.annotations(stored)[labels.TAKEN_AT],
            **{P + k: v for k, v in notes.items()},
        },
    }
    made["spec"]["source"] = {"volumeHandle": "disk"}
    return await client.create(VOLUME_SNAPSHOT_CONTENT, made)


def in_namespace(kubeconfig: Path, namespace: str, folder: Path) -> Path:
    """A copy of the kubeconfig whose contexts name the namespace."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    for context in config["contexts"]:
        context["context"]["namespace"] = namespace
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


async def test_a_policys_snapshots_are_reported_by_the_policy_that_is_applied(
    client: Client, namespace: str, run: Run
) -> None:
    await policy(client, namespace)
    await store(client, namespace, snapshot("new", TODAY))
    await store(client, namespace, snapshot("old", OLD, extra={"daily": "2026-11-11"}))
    await store(client, namespace, snapshot("other", OLD, extra={"policy": "wiki"}))
    # when
    found = (await run("retention", "shop", "-n", namespace, *NOW, "-o", "json")).by_name
    # then
    assert set(found) == {"new", "old"}
    assert found["new"]["namespace"] == namespace
    assert found["new"]["set"] == {P + "daily": "2026-11-22"}
    assert found["old"]["set"] == {P + "delete-after": "2026-11-22"}
    assert found["old"]["remove"] == [P + "daily"]


async def test_without_a_name_all_policies_of_the_namespace_are_reported(
    client: Client, namespace: str, run: Run
) -> None:
    await policy(client, namespace)
    await policy(client, namespace, "wiki", daily=7)
    await store(client, namespace, snapshot("one", TODAY))
    await store(client, namespace, snapshot("two", TODAY, extra={"policy": "wiki"}))
    ran = await run("retention", "-n", namespace, *NOW, "-o", "json")
    assert set(ran.by_name) == {"one", "two"}
    table = await run("retention", "-n", namespace, *NOW)
    assert "Policy shop, as of 2026-11-22 03:00 Europe/Vienna: 1 snapshot" in table.out
    assert "Policy wiki, as of" in table.out


async def test_a_changed_policy_is_tried_before_it_is_applied(
    client: Client, namespace: str, run: Run, tmp_path: Path
) -> None:
    # given a policy that keeps one day, and a file of it that keeps a month of them
    await policy(client, namespace)
    await store(client, namespace, snapshot("new", TODAY, extra={"daily": "2026-11-22"}))
    await store(client, namespace, snapshot("old", OLD, extra={"daily": "2026-11-11"}))
    changed = {
        "kind": "BackupPolicy",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {**SPEC, "retention": {"daily": 31}},
    }
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    # when
    found = (await run("retention", "--policy", str(path), *NOW, "-o", "json")).by_name
    # then
    assert (found["old"]["set"], found["old"]["remove"]) == ({}, [])
    assert found["old"]["reasons"] == ["keeps daily 2026-11-11"]


async def test_runs_and_requests_that_are_gone_protect_nothing(
    client: Client, namespace: str, run: Run
) -> None:
    # given two pending points, one of a living run, and two in use, one by a living request
    await policy(client, namespace)
    living = await client.create(
        BACKUP,
        {"metadata": {"name": "run", "namespace": namespace}, "spec": {"policy": "shop"}},
    )
    request = await client.create(
        RESTORE_REQUEST,
        {
            "metadata": {"name": "request", "namespace": namespace},
            "spec": {
                "from": {"backup": "run"},
                "claims": [{"claim": "data", "to": {"newClaim": {"name": "copy"}}}],
            },
        },
    )
    past = {"delete-after": "2026-11-20"}
    for made in (
        snapshot("new", TODAY, extra={"daily": "2026-11-22"}),
        snapshot("runs", TODAY, result="pending", notes={"run": objects.uid(living)}),
        snapshot("died", TODAY, result="pending", notes={"run": "uid-gone"}),
        snapshot("used", OLD, extra=past, notes={"in-use": objects.uid(request)}),
        snapshot("stale", OLD, extra=past, notes={"in-use": "uid-gone"}),
    ):
        await store(client, namespace, made)
    # when
    found = (await run("retention", "shop", "-n", namespace, *NOW, "-o", "json")).by_name
    # then
    assert found["runs"]["reasons"] == ["pending: not touched"]
    assert found["died"]["set"][P + "result"] == "failed"
    assert "pending, but its run is gone: becomes failed" in found["died"]["reasons"]
    assert found["used"]["delete"] is False
    assert found["stale"]["delete"] is True
    assert f"annotation {P}in-use loses requests that are over" in found["stale"]["reasons"]


async def test_the_series_of_a_policy_that_is_gone_is_shown_frozen(
    client: Client, namespace: str, run: Run
) -> None:
    await store(client, namespace, snapshot("left", OLD, extra={"daily": "2026-11-11"}))
    (line,) = (await run("retention", "shop", "-n", namespace, *NOW, "-o", "json")).by_name.values()
    assert (line["set"], line["remove"], line["delete"]) == ({}, [], False)
    assert line["reasons"][0] == "frozen: its policy is gone"


async def test_a_policy_that_never_was_is_an_error(namespace: str, run: Run) -> None:
    ran = await run("retention", "shop", "-n", namespace)
    assert (ran.code, ran.out) == (1, "")
    assert f"there is no BackupPolicy {namespace}/shop, and no snapshot of it" in ran.err


async def test_snapshots_of_another_tool_are_judged_where_they_are(
    client: Client, namespace: str, run: Run, tmp_path: Path
) -> None:
    theirs = snapshot("theirs", TODAY)
    prefix = "backup-ns.sh/"
    theirs["metadata"]["labels"] = {
        prefix + "pvc": "data",
        prefix + "retain": "daily_weekly_monthly",
    }
    await store(client, namespace, theirs)
    path = tmp_path / "policy.yaml"
    path.write_text(
        yaml.safe_dump({"kind": "BackupPolicy", "metadata": {"name": "shop"}, "spec": SPEC}),
        encoding="utf-8",
    )
    arguments = ("--policy", str(path), "--label-prefix", "backup-ns.sh", "-n", namespace)
    found = (await run("retention", *arguments, *NOW, "-o", "json")).by_name
    assert found["theirs"]["set"] == {prefix + "daily": "2026-11-22"}


async def test_the_namespace_is_that_of_the_context(
    client: Client, namespace: str, kubeconfig: Path, run: Run, tmp_path: Path
) -> None:
    await policy(client, namespace)
    await store(client, namespace, snapshot("new", TODAY))
    path = in_namespace(kubeconfig, namespace, tmp_path)
    assert set((await run("retention", *NOW, "-o", "json", at=path)).by_name) == {"new"}
    ran = await run("retention", "--context", "elsewhere", at=path)
    assert ran.code == 1
    assert "elsewhere" in ran.err


async def test_contents_that_lost_their_snapshot_are_reported_with_what_is_inside(
    client: Client, namespace: str, run: Run
) -> None:
    # given one with its snapshot, one that a sweep is removing, and one that was lost
    there = await store(client, namespace, snapshot("there", TODAY))
    await keep(client, there, "there")
    await lose(client, namespace, "swept", "2026-11-20", swept="{uid}.2026-11-20")
    await lose(client, namespace, "lost")
    # when
    found = (await run("orphans", "-n", namespace, "-o", "json")).by_name
    # then
    assert set(found) == {f"{namespace}-lost"}
    (orphan,) = found.values()
    assert (orphan["namespace"], orphan["policy"], orphan["claim"]) == (namespace, "shop", "data")
    assert orphan["taken"] == OLD.replace("Z", "+00:00")
    (dump,) = orphan["dumps"]
    assert (dump["name"], dump["engine"], dump["bytes"]) == ("shop", "postgres", 2048)
    # and people see the same
    table = await run("orphans", "-n", namespace)
    assert f"{namespace}-lost" in table.out
    assert "shop (postgres, 2.0 KiB)" in table.out


async def test_contents_of_a_namespace_that_is_gone_are_reported_with_all_namespaces(
    client: Client, namespace: str, run: Run
) -> None:
    # given a content that speaks of a namespace that does not exist
    gone = f"{namespace}-gone"
    stored = await store(client, namespace, snapshot("lost", OLD))
    stored["metadata"]["namespace"] = gone
    await keep(client, stored, "lost")
    assert await client.find(NAMESPACE, gone) is None
    # then it is shown for all namespaces and for its own, and not for another
    everywhere = (await run("orphans", "-A", "-o", "json")).by_name
    assert everywhere[f"{gone}-lost"]["why"] == f"namespace {gone} is gone"
    assert set((await run("orphans", "-n", gone, "-o", "json")).by_name) == {f"{gone}-lost"}
    assert (await run("orphans", "-n", namespace)).out == "No orphans.\n"


async def test_a_cluster_that_cannot_be_reached_is_one_sentence(run: Run, tmp_path: Path) -> None:
    ran = await run("orphans", "-A", at=tmp_path / "none")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: cannot log in to Kubernetes with")
