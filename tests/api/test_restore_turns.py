"""Restores take turns where they write, and runs do not read what a restore is writing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.rolling_world import World

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import BACKUP, RESTORE_REQUEST
from backstay.reconcile import keys


async def ask(world: World, name: str, backup: Obj, directory: Obj) -> None:
    spec: Obj = {"from": {"backup": objects.name(backup)}, "directory": directory}
    if "inPlace" in directory:
        spec["notAfter"] = format_time(SystemClock().now() + timedelta(hours=1))
    await world.create(RESTORE_REQUEST, name, spec)
    world.add(keys.restore(world.namespace, name))


async def status_of(world: World, name: str) -> Obj:
    return dict((await world.get(RESTORE_REQUEST, name)).get("status") or {})


async def work(world: World, rounds: int = 8) -> None:
    """Work for a while, with the node."""
    for _ in range(rounds):
        await world.step()
        await world.node.run()


async def begin(world: World, name: str, backup: Obj, directory: Obj) -> Obj:
    """Ask for a restore whose Job is at work for as long as a test wants; return that."""
    world.node.leaves = f"{name}-restore-"
    await ask(world, name, backup, directory)
    for _ in range(20):
        await work(world, 1)
        jobs = [j for j in await world.jobs() if world.node.leaves in objects.name(j)]
        if jobs:
            return jobs[0]
    raise AssertionError("no restore has begun")


async def end(world: World) -> None:
    world.node.leaves = "\n"
    await world.settle()


@pytest.mark.parametrize(
    "second",
    [{"path": "{source}/uploads/new"}, {"inPlace": {}}, {"path": "{source}/elsewhere"}],
    ids=["inside", "the same", "elsewhere"],
)
async def test_two_requests_for_one_place_go_one_after_the_other(world: World, second: Obj) -> None:
    await world.policy()
    done = await world.run()
    second = {k: v.format(source=world.source) if k == "path" else v for k, v in second.items()}
    await begin(world, "first", done, {"inPlace": {}})

    await ask(world, "second", done, second)
    await work(world)

    waits = "elsewhere" not in str(second)
    status = await status_of(world, "second")
    assert status["phase"] == ("Restoring" if waits else "Completed"), status
    if waits:
        assert "startedAt" not in status["items"][0]
        assert status["message"] == (
            "waits for its turn: RestoreRequest first works on what it restores into"
        )
    await end(world)
    ended = [await status_of(world, name) for name in ("first", "second")]
    assert [one["phase"] for one in ended] == ["Completed", "Completed"], ended
    assert (world.source / "uploads/a").read_text() == "one"


async def test_a_job_whose_request_was_deleted_is_waited_for(world: World) -> None:
    await world.policy()
    done = await world.run()
    job = await begin(world, "first", done, {"inPlace": {}})
    uid = objects.uid(await world.get(RESTORE_REQUEST, "first"))
    await world.client.delete(RESTORE_REQUEST, "first", world.namespace, uid=uid)

    await ask(world, "second", done, {"inPlace": {}})
    await work(world)

    status = await status_of(world, "second")
    assert status["message"].startswith(f"waits for its turn: Job {objects.name(job)}"), status
    await end(world)
    assert (await status_of(world, "second"))["phase"] == "Completed"


async def test_no_run_reads_what_a_restore_is_writing(world: World) -> None:
    """Also not that of another policy, which keeps its copies elsewhere."""
    await world.policy()
    await world.policy("all", source={"hostPath": {"path": str(world.source), "node": "worker-1"}})
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")
    await begin(world, "over", done, {"inPlace": {}})

    await world.create(BACKUP, "run", {"policy": "all"})
    world.add(keys.backup(world.namespace, "run"))
    await work(world)
    run = (await world.get(BACKUP, "run"))["status"]
    assert run["phase"] == "Queued", run
    assert "waiting for the restore into what it reads: RestoreRequest over" in run["message"]

    await end(world)
    run = (await world.get(BACKUP, "run"))["status"]
    assert (await status_of(world, "over"))["phase"] == "Completed"
    assert run["phase"] == "Completed", run
    copied = next(iter((world.backup / world.namespace / "all").glob("*/*Z/uploads/a")))
    assert copied.read_text() == "one"


async def test_a_restore_waits_for_the_run_of_another_policy_that_reads_there(
    world: World,
) -> None:
    await world.policy()
    await world.policy("all", source={"hostPath": {"path": str(world.source), "node": "worker-1"}})
    done = await world.run()
    world.node.leaves = "run-copy-"
    await world.create(BACKUP, "run", {"policy": "all"})
    world.add(keys.backup(world.namespace, "run"))
    await work(world)
    assert (await world.get(BACKUP, "run"))["status"]["phase"] == "Copying"

    await ask(world, "over", done, {"path": str(world.source / "new")})
    await work(world)

    status = await status_of(world, "over")
    reported = "waits for its turn: Backup run works on what it restores into"
    assert (status["phase"], status["message"]) == ("Restoring", reported)
    await end(world)
    assert (await status_of(world, "over"))["phase"] == "Completed"
