"""What stands against a restore and may be passed over: each refusal names its word, the word does
what it says, and the status says what it was used for.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.rolling_world import WORKER, World, ensure_node

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import BACKUP, BACKUP_POLICY, NODE, RESTORE_REQUEST
from backstay.reconcile import keys
from backstay.settings import DestinationRoot, SourceRoot


async def ask(world: World, name: str, backup: Obj, directory: Obj, *words: str) -> Obj:
    """Ask for a restore with acknowledgements, and return its status at the end."""
    spec: Obj = {"from": {"backup": objects.name(backup)}, "directory": directory}
    spec["acknowledge"] = list(words)
    if "inPlace" in directory:
        spec["notAfter"] = format_time(SystemClock().now() + timedelta(hours=1))
    await world.create(RESTORE_REQUEST, name, spec)
    await world.settle(keys.restore(world.namespace, name))
    status: Obj = (await world.get(RESTORE_REQUEST, name))["status"]
    return status


def used(status: Obj) -> dict[str, str]:
    return {one["word"]: one["message"] for one in status.get("acknowledged", [])}


async def test_a_damaged_copy_is_restored_only_where_the_request_says_so(world: World) -> None:
    await world.policy()
    done = await world.run()
    (point,) = world.points().values()
    (point.parent.parent / point.stem / "a").write_text("rotten")
    target = {"path": str(world.source / "back")}

    status = await ask(world, "no", done, target)
    assert status["phase"] == "Failed"
    assert "add Unverified to spec.acknowledge" in status["message"]
    assert not (world.source / "back").exists()

    status = await ask(world, "yes", done, target, "Unverified", "ClaimInUse")
    assert status["phase"] == "Completed", status
    assert (world.source / "back/a").read_text() == "rotten"
    assert list(used(status)) == ["Unverified"]
    assert "1 entries are not as recorded" in used(status)["Unverified"]


async def test_a_directory_that_is_gone_comes_back_in_place(world: World) -> None:
    await world.policy()
    done = await world.run()
    (world.source / "uploads").rename(world.source / "lost")

    status = await ask(world, "back", done, {"inPlace": {}})

    assert status["phase"] == "Completed", status
    assert (world.source / "uploads/a").read_text() == "one"
    assert "nothing was there before" in status["message"]
    assert "safety" not in status["items"][0]


async def test_a_pod_that_uses_the_claim_may_be_passed_over(world: World) -> None:
    for name in ("data", "backups"):
        await world.claim(name)
    file = world.claims / world.namespace / "data/a"
    file.write_text("one")
    await world.policy(
        source={"claims": {"names": ["data"]}},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
    )
    done = await world.run()
    file.write_text("newer")
    await world.pod("app", "data", WORKER)

    status = await ask(world, "no", done, {"inPlace": {}})
    assert status["phase"] == "Refused"
    assert "add ClaimInUse to spec.acknowledge" in status["message"]

    status = await ask(world, "yes", done, {"inPlace": {}}, "ClaimInUse")
    assert status["phase"] == "Completed", status
    assert (file.read_text(), list(used(status))) == ("one", ["ClaimInUse"])


async def test_a_copy_that_the_last_list_did_not_find_may_be_looked_for(world: World) -> None:
    await world.policy()
    done = await world.run()
    found = await world.get(BACKUP, objects.name(done))
    (point,) = found["status"]["points"]
    point["rolling"]["missing"] = True
    body = {"metadata": {"resourceVersion": objects.version(found)}, "status": {"points": [point]}}
    name = objects.name(done)
    await world.client.patch(BACKUP, name, world.namespace, body, subresource="status")
    target = {"path": str(world.source / "back")}

    status = await ask(world, "no", done, target)
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "CopyMissing")
    assert "add CopyMissing to spec.acknowledge" in status["message"]

    status = await ask(world, "yes", done, target, "CopyMissing")
    assert status["phase"] == "Completed", status
    assert (world.source / "back/a").read_text() == "one"
    assert list(used(status)) == ["CopyMissing"]


async def test_the_disk_of_a_node_that_is_gone_is_restored_from_on_another(world: World) -> None:
    await world.policy()
    done = await world.run()
    (world.source / "uploads/a").write_text("of the other node")
    node = await world.client.get(NODE, WORKER)
    await world.client.delete(NODE, WORKER, None, uid=objects.uid(node))
    await ensure_node(world.client, "worker-2", ready=True)
    world.node.name = "worker-2"
    try:
        status = await ask(world, "no", done, {"inPlace": {}})
        assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "NodeNotFound")
        assert "CopiesMoved in spec.acknowledge" in status["message"]

        status = await ask(world, "why", done, {"inPlace": {}, "node": "worker-2"})
        assert status["conditions"][0]["reason"] == "CopiesElsewhere"
        assert "add CopiesMoved to spec.acknowledge" in status["message"]

        status = await ask(world, "yes", done, {"inPlace": {}, "node": "worker-2"}, "CopiesMoved")
        assert status["phase"] == "Completed", status
        assert (world.source / "uploads/a").read_text() == "one"
        assert list(used(status)) == ["CopiesMoved"]
    finally:
        await ensure_node(world.client, WORKER, ready=True)


async def test_a_moved_disk_is_read_only_where_the_administrator_allows_it(world: World) -> None:
    await world.policy()
    done = await world.run()
    await ensure_node(world.client, "worker-2", ready=True)
    world.restart(
        sources=(SourceRoot(path=str(world.source), namespaces=("*",), restore=True),),
        destinations=(DestinationRoot(path=str(world.backup), namespaces=("*",), nodes=(WORKER,)),),
    )

    directory = {"path": str(world.source / "back"), "node": "worker-2"}
    status = await ask(world, "yes", done, directory, "CopiesMoved")

    assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "PathNotAllowed")


@pytest.mark.parametrize("words", [["Everything"], ["Unverified", "Unverified"]])
async def test_words_that_are_none_are_refused_at_once(world: World, words: list[str]) -> None:
    spec: Obj = {"from": {"backup": "x"}, "directory": {"path": "/srv/x"}, "acknowledge": words}
    with pytest.raises(Exception, match="acknowledge"):
        await world.create(RESTORE_REQUEST, "bad", spec)


async def test_what_a_killed_restore_left_is_removed_before_the_request_ends(world: World) -> None:
    await world.policy()
    done = await world.run()
    spec: Obj = {"from": {"backup": objects.name(done)}}
    spec["directory"] = {"path": str(world.source / "back")}
    await world.create(RESTORE_REQUEST, "back", spec)
    world.add(keys.restore(world.namespace, "back"))
    partial = world.source / ".backstay-partial-back"
    for _ in range(12):
        await world.step()
        job = next((j for j in await world.jobs() if "-restore-" in objects.name(j)), None)
        if job is not None:
            break
        await world.node.run()
    assert job is not None
    (partial / "deep").mkdir(parents=True)
    await world.node.kill(job)

    await world.settle()

    status = (await world.get(RESTORE_REQUEST, "back"))["status"]
    assert status["phase"] == "Failed", status
    assert not partial.exists()
    assert any("-discard-" in objects.name(job) for job in world.node.ran)


@pytest.mark.parametrize("how", ["suspended", "gone"])
async def test_a_policy_that_does_not_run_any_more_keeps_nobody_from_its_copies(
    world: World, how: str
) -> None:
    await world.policy()
    done = await world.run()
    if how == "suspended":
        await world.patch_policy(spec={"suspend": True})
    else:
        policy = await world.get(BACKUP_POLICY, "uploads")
        uid = objects.uid(policy)
        await world.client.delete(BACKUP_POLICY, "uploads", world.namespace, uid=uid)
    (world.source / "uploads/a").write_text("newer")

    status = await ask(world, "back", done, {"inPlace": {}})

    assert status["phase"] == "Completed", status
    assert (world.source / "uploads/a").read_text() == "one"
    assert used(status) == {}
