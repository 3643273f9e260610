"""Retention, lists, scrubs and records of rolling copies, with the real agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.node import NodeClient
from tests.support.rolling_world import WORKER, World, ensure_node

from backstay.cli import main
from backstay.domain import labels, objects
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NODE,
    Resource,
)
from backstay.observe import metrics
from backstay.reconcile import keys
from backstay.settings import DestinationRoot


async def test_the_next_copy_takes_the_tier_over_and_the_dated_one_is_pruned(world: World) -> None:
    await world.policy(retention={"last": 1, "daily": 1})
    first = await world.run(slot=-2)
    (world.source / "uploads/a").write_text("changed")
    second = await world.run(slot=-1)
    old, new = world.points().values()
    assert labels.DAILY in json.loads(old.read_text())["labels"]

    edited = json.loads(old.read_text())
    edited["labels"][labels.DELETE_AFTER] = "2020-01-01"
    old.write_text(json.dumps(edited))
    await world.relist()

    # Whatever its date, it is good for less than a day.
    assert list(world.points().values()) == [old, new]
    await world.age(first)
    await world.relist()

    assert list(world.points().values()) == [new]
    assert await world.client.find(BACKUP, objects.name(first), world.namespace) is None
    kept = await world.get(BACKUP, objects.name(second))
    assert kept["status"]["tiers"] == "daily"
    assert (world.points()[new.stem].parent.parent / new.stem / "a").read_text() == "changed"


async def test_a_hold_set_by_hand_on_the_disk_wins_over_a_date(world: World) -> None:
    await world.policy(retention={"last": 1})
    await world.run(slot=-2)
    await world.run(slot=-1)
    old, _ = world.points().values()
    edited = json.loads(old.read_text())
    edited["labels"] |= {labels.DELETE_AFTER: "2020-01-01", labels.HOLD: "true"}
    old.write_text(json.dumps(edited))

    await world.relist()

    assert len(world.points()) == 2
    shown = [b["status"]["until"] for b in await world.client.list(BACKUP, world.namespace)]
    assert "held" in shown


async def test_a_point_that_is_not_as_it_was_seen_is_listed_and_then_judged_again(
    world: World,
) -> None:
    await world.policy(retention={"daily": 1})
    await world.run(slot=-2)
    (old,) = world.points().values()
    edited = json.loads(old.read_text())
    edited["annotations"]["note"] = "seen by nobody yet"
    old.write_text(json.dumps(edited))

    # The tier goes on to nobody, but the older one is marked: its version is not the one shown.
    await world.run(slot=-1)
    await world.patch_policy(spec={"retention": {"daily": None, "last": 1}})

    verbs = [objects.name(j).rsplit("-", 2)[1] for j in world.node.ran]
    assert "list" in verbs[verbs.index("relabel") :]
    now = json.loads(old.read_text())
    assert now["annotations"]["note"] == "seen by nobody yet"
    assert labels.MARKED_AT in now["annotations"]


async def test_nothing_to_do_makes_no_job(world: World) -> None:
    await world.policy(retention={"daily": 7})
    await world.run(slot=-1)
    ran = len(world.node.ran)

    await world.settle(keys.copies(world.namespace, "uploads"))

    assert len(world.node.ran) == ran
    assert await world.jobs() == [j for j in await world.jobs() if dig(j, "status", "conditions")]


async def test_records_come_back_from_the_disk_when_the_policy_is_recreated(world: World) -> None:
    await world.policy(retention={"daily": 7})
    done = await world.run(slot=-1)
    for kind, name in ((BACKUP, objects.name(done)), (BACKUP_POLICY, "uploads")):
        obj = await world.get(kind, name)
        await world.client.delete(kind, name, world.namespace, uid=objects.uid(obj))
    world.restart()

    await world.policy(retention={"daily": 7})

    back = await world.get(BACKUP, objects.name(done))
    assert back["spec"]["trigger"] == "Imported"
    assert back["spec"]["scheduledFor"] == done["spec"]["scheduledFor"]
    assert back["status"]["phase"] == "Completed"
    assert back["status"]["tiers"] == "daily"
    assert (await world.get(BACKUP_POLICY, "uploads"))["status"]["good"] == 1


async def test_without_its_policy_a_series_is_frozen_and_pruned_by_hand_set_dates_only(
    world: World,
) -> None:
    await world.policy(retention={"last": 1})
    await world.run(slot=-3)
    await world.run(slot=-2)
    await world.run(slot=-1)
    policy = await world.get(BACKUP_POLICY, "uploads")
    await world.client.delete(BACKUP_POLICY, "uploads", world.namespace, uid=objects.uid(policy))

    await world.settle(keys.copies(world.namespace, "uploads"))

    assert len(world.points()) == 3


async def test_a_scrub_reports_rot_in_a_condition(world: World) -> None:
    rolling = {
        "destination": {"hostPath": str(world.backup)},
        "allowSameFileSystem": True,
        "ioClass": "idle",
        "scrub": {"days": 1},
    }
    await world.policy(rolling=rolling)
    await world.run()
    (path,) = world.points().values()
    file = path.parent.parent / path.stem / "a"
    before = file.stat()
    file.write_text("eno")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    await world.scrub_again()

    scrubs = [j for j in world.node.ran if "-scrub-" in objects.name(j)]
    (container,) = dig(scrubs[-1], "spec", "template", "spec", "containers")
    assert json.loads(container["env"][0]["value"])["limits"] == {"ioClass": "idle"}
    policy = await world.get(BACKUP_POLICY, "uploads")
    rot = next(c for c in policy["status"]["conditions"] if c["type"] == "Rot")
    assert (rot["status"], rot["reason"]) == ("True", "RotFound")
    assert "1 not as recorded" in rot["message"]
    assert policy["status"]["copies"][0]["rot"] == 1
    reported = [
        line for line in metrics.exposition().decode().splitlines() if world.namespace in line
    ]
    assert [line.endswith(" 1.0") for line in reported if "changed_copies" in line] == [True]


async def test_the_plugin_shows_copies_and_why_they_are_kept(
    world: World, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.policy(retention={"daily": 7})
    await world.run(slot=-1)
    (stamp,) = world.points()
    command = ["retention", "uploads", "-n", world.namespace, "--kubeconfig", str(kubeconfig)]

    code = await asyncio.to_thread(main, [*command, "-o", "json"])

    (line,) = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (line["name"], line["delete"]) == (stamp, False)
    assert "newest good" in line["reasons"]


async def test_a_copy_that_was_made_after_a_list_is_not_taken_for_gone(world: World) -> None:
    """The list of a new policy may still wait to be read when the first run is over."""
    spec: Obj = {
        "source": {"hostPath": {"path": str(world.source / "uploads"), "node": WORKER}},
        "rolling": {"destination": {"hostPath": str(world.backup)}, "allowSameFileSystem": True},
    }
    await world.create(BACKUP_POLICY, "uploads", spec)
    world.add(keys.copies(world.namespace, "uploads"))
    await world.step()
    assert await world.node.run() == 1
    world.restart()  # it forgets what was due

    await world.create(BACKUP, "first", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "first"))
    while dig(await world.get(BACKUP, "first"), "status", "phase") != "Completed":
        await world.step()
        await world.node.run()
    await world.settle(keys.copies(world.namespace, "uploads"))

    first = await world.get(BACKUP, "first")
    assert first["status"]["until"] != "gone"
    assert not first["status"]["points"][0]["rolling"]["gone"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("survivors", [0, 1])
async def test_a_record_whose_maker_was_killed_before_its_status_is_ended_not_made_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    await world.policy()
    done = [await world.run(slot=-2), await world.run(slot=-1)]
    for obj in [await world.get(BACKUP_POLICY, "uploads"), *done]:
        kind = BACKUP_POLICY if obj["kind"] == BACKUP_POLICY.kind else BACKUP
        await world.client.delete(kind, objects.name(obj), world.namespace, uid=objects.uid(obj))
    world.restart()
    left = survivors
    patch = world.client.patch

    async def patch_or_die(resource: Resource, *args: Any, **more: Any) -> Obj:
        nonlocal left
        if resource == BACKUP:
            if left == 0:
                raise Killed
            left -= 1
        return await patch(resource, *args, **more)

    with monkeypatch.context() as killing:
        killing.setattr(world.client, "patch", patch_or_die)
        with pytest.raises(Killed):
            await world.policy()
    backups = await world.client.list(BACKUP, world.namespace)
    assert len(backups) == survivors + 1
    world.restart()

    await world.settle(keys.copies(world.namespace, "uploads"))

    found = {objects.name(b): b for b in await world.client.list(BACKUP, world.namespace)}
    assert set(found) == set(map(objects.name, done))
    stamps = [b["status"]["points"][0]["ref"] for b in found.values()]
    assert sorted(stamps) == sorted(world.points())
    assert {b["status"]["phase"] for b in found.values()} == {"Completed"}


OLD = "worker-old"


async def _moved(world: World) -> None:
    """A policy that has copies of a node, and then was moved to another one and has copies there;
    a day ago.
    """
    await ensure_node(world.client, OLD, ready=True)
    source = {"hostPath": {"path": str(world.source / "uploads"), "node": OLD}}
    world.node.name = OLD
    await world.policy(source=source)
    await world.run(slot=-2)
    world.node.name = WORKER
    source["hostPath"]["node"] = WORKER
    await world.patch_policy(spec={"source": source})
    await world.run(slot=-1)


async def _looks(world: World) -> dict[str, Obj]:
    policy = await world.get(BACKUP_POLICY, "uploads")
    return {look["source"].partition(":")[0]: look for look in policy["status"]["copies"]}


async def test_a_series_whose_node_is_gone_is_reported_and_holds_up_no_other(world: World) -> None:
    await _moved(world)
    node = await world.client.get(NODE, OLD)
    await world.client.delete(NODE, OLD, None, uid=objects.uid(node))

    await world.relist()

    looks = await _looks(world)
    assert looks[OLD]["message"].startswith(f"list: there is no node {OLD}")
    assert "delete the Backups" in looks[OLD]["message"]
    assert "message" not in looks[WORKER]
    assert looks[WORKER]["listedAt"] > "2026-06"
    assert await world.jobs() == []
    copies = keys.copies(world.namespace, "uploads")
    version = objects.version(await world.get(BACKUP_POLICY, "uploads"))
    assert await world.look(copies) is None
    assert objects.version(await world.get(BACKUP_POLICY, "uploads")) == version

    for backup in await world.client.list(BACKUP, world.namespace):
        if OLD in backup["status"]["points"][0]["source"]:
            uid = objects.uid(backup)
            await world.client.delete(BACKUP, objects.name(backup), world.namespace, uid=uid)
    await world.settle(copies)
    assert set(await _looks(world)) == {WORKER}


async def test_a_series_whose_node_is_not_ready_is_reported_and_tried_again(world: World) -> None:
    await _moved(world)
    await ensure_node(world.client, OLD, ready=False)

    await world.relist()

    looks = await _looks(world)
    assert looks[OLD]["message"].startswith(f"list: node {OLD} is not ready")
    assert looks[WORKER]["listedAt"] > "2026-06"
    assert await world.jobs() == []
    copies = keys.copies(world.namespace, "uploads")
    after = await world.look(copies)
    assert after is not None
    assert after <= timedelta(minutes=5)
    await ensure_node(world.client, OLD, ready=True)
    world.node.name = OLD
    await world.settle(copies)
    looks = await _looks(world)
    assert "message" not in looks[OLD]
    assert looks[OLD]["listedAt"] > "2026-06"


async def test_a_series_whose_root_was_taken_back_is_reported_and_holds_up_no_other(
    world: World,
) -> None:
    await _moved(world)
    allowed = DestinationRoot(path=str(world.backup), namespaces=("*",), nodes=(WORKER,))
    world.restart(destinations=(allowed,))

    await world.relist()

    looks = await _looks(world)
    assert "rolling.destinations of the chart" in looks[OLD]["message"]
    assert looks[WORKER]["listedAt"] > "2026-06"
    assert await world.jobs() == []
    assert await world.look(keys.copies(world.namespace, "uploads")) is None


class Losing(NodeClient):
    """A client that loses each race for the status of a policy."""

    lost = 0

    async def patch(self, resource: Resource, *args: Any, **kwargs: Any) -> Obj:
        if resource is BACKUP_POLICY:
            self.lost += 1
            raise Conflict("somebody was faster")
        return await super().patch(resource, *args, **kwargs)


async def test_retention_is_woken_by_what_was_written_though_the_note_loses_a_race(
    world: World, credentials: Login
) -> None:
    await world.policy(retention={"last": 1})
    await world.run(slot=-1)
    (point,) = world.points().values()
    edited = json.loads(point.read_text())
    edited["labels"] |= {labels.HOLD: "true"}
    point.write_text(json.dumps(edited))
    policy = await world.get(BACKUP_POLICY, "uploads")
    copies = [{**c, "listedAt": "2026-01-01T00:00:00Z"} for c in policy["status"]["copies"]]
    version = objects.version(policy)
    body = {"metadata": {"resourceVersion": version}, "status": {"copies": copies}}
    where = "uploads", world.namespace
    await world.client.patch(BACKUP_POLICY, *where, body, subresource="status")
    copied = keys.copies(world.namespace, "uploads")

    async with Losing(credentials, SystemClock()) as losing:
        losing.logs = world.client.logs
        world.restart(client=losing)
        while not losing.lost:
            with contextlib.suppress(Conflict):
                await world.look(copied)
            await world.node.run()

    assert keys.retention(world.namespace, "uploads") in world.due
    (shown,) = await world.client.list(BACKUP, world.namespace)
    assert shown["status"]["points"][0]["rolling"]["labels"][labels.HOLD] == "true"
