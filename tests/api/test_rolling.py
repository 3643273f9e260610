"""Runs of rolling copies with the real agent and a real API server; the node is the test's own.

What has to do with real nodes is in tests/e2e/test_rolling.py.
"""

from __future__ import annotations

import json
import shutil

import pytest
from tests.support.rolling_world import WORKER, World, ensure_node
from tests.support.waiting import within

from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.domain.times import parse_time
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NAMESPACE,
    POD,
    RESTORE_REQUEST,
)
from backstay.observe import metrics
from backstay.reconcile import keys
from backstay.settings import SourceRoot


async def test_a_run_copies_on_the_named_node_and_mirrors_the_point(world: World) -> None:
    await world.policy(retention={"daily": 7})

    done = await world.run(slot=-1)

    (entry,) = done["status"]["points"]
    ((stamp, path),) = world.points().items()
    assert done["status"]["phase"] == "Completed"
    assert (entry["source"], entry["result"]) == (f"{WORKER}:{world.source}/uploads", "good")
    assert (entry["ref"], entry["tiers"]) == (stamp, ["daily"])
    assert entry["rolling"]["labels"] == json.loads(path.read_text())["labels"]
    copy = path.parent.parent / stamp
    assert (copy / "sub/b").read_text() == "two"
    (job,) = [j for j in world.node.ran if "copy" in objects.name(j)]
    pod = dig(job, "spec", "template", "spec")
    assert objects.namespace(job) == world.home
    assert dig(pod, "affinity", "nodeAffinity") == {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [WORKER]}]}
            ]
        }
    }
    assert pod["automountServiceAccountToken"] is False
    assert {v["name"]: dig(v, "hostPath", "path") for v in pod["volumes"]} == {
        "source": str(world.source),
        "destination": str(world.backup),
        "tmp": None,
    }
    policy = await world.get(BACKUP_POLICY, "uploads")
    assert policy["status"]["good"] == 1
    assert (await world.ready())["status"] == "True"


def shown(world: World, name: str, **more: str) -> float | None:
    found = {"namespace": world.namespace, "policy": "uploads", **more}
    value: float | None = metrics.REGISTRY.get_sample_value(f"backstay_{name}", found)
    return value


async def test_metrics_report_what_a_policy_has_and_how_its_runs_ended(world: World) -> None:
    await world.policy()
    done = await world.run()
    await world.settle(keys.policy(world.namespace, "uploads"))

    (entry,) = done["status"]["points"]
    assert shown(world, "good_points") == 1
    assert (
        shown(world, "last_success_timestamp_seconds") == parse_time(entry["takenAt"]).timestamp()
    )
    assert shown(world, "runs_total", phase="Completed") == 1
    shutil.rmtree(world.source / "uploads")
    (world.source / "uploads").mkdir()
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert shown(world, "runs_total", phase="Failed") == 1
    assert (
        shown(world, "last_success_timestamp_seconds") == parse_time(entry["takenAt"]).timestamp()
    )

    policy = await world.get(BACKUP_POLICY, "uploads")
    await world.client.delete(BACKUP_POLICY, "uploads", world.namespace, uid=objects.uid(policy))
    await world.settle(keys.policy(world.namespace, "uploads"))
    assert shown(world, "good_points") is None
    assert shown(world, "runs_total", phase="Completed") is None


async def test_a_missing_node_is_reported_and_nothing_is_copied(world: World) -> None:
    source = {"hostPath": {"path": str(world.source / "uploads"), "node": "worker-9"}}
    await world.policy(source=source)

    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "NodeNotFound")
    assert "there is no node worker-9" in ready["message"]
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert "there is no node worker-9" in failed["status"]["message"]
    assert await world.jobs() == []


async def test_a_node_that_is_not_ready_is_waited_for_and_reported(world: World) -> None:
    await world.policy()
    before = len(world.node.ran)
    await ensure_node(world.client, WORKER, ready=False)
    try:
        await world.create(BACKUP, "waits", {"policy": "uploads"})
        world.add(keys.backup(world.namespace, "waits"))
        for _ in range(6):
            await world.step()

        waiting = await world.get(BACKUP, "waits")
        assert waiting["status"]["phase"] == "Copying"
        assert "node worker-1 is not ready (Kubelet stopped" in waiting["status"]["message"]
        assert await world.node.run() == 0
    finally:
        await ensure_node(world.client, WORKER, ready=True)
    await world.settle()
    assert (await world.get(BACKUP, "waits"))["status"]["phase"] == "Completed"
    assert len(world.node.ran) > before


@pytest.mark.parametrize("path", ["/etc", "{source}-other", "{source}"])
async def test_a_path_outside_the_roots_makes_no_job(world: World, path: str) -> None:
    if path == "{source}":
        world.restart(sources=(SourceRoot(path=str(world.source), namespaces=("other",)),))
    given = path.format(source=world.source)
    await world.policy(source={"hostPath": {"path": given, "node": WORKER}})

    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "PathNotAllowed")
    assert f"spec.source.hostPath: {given} on node worker-1 may not be copied" in ready["message"]
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert await world.jobs() == []


async def test_a_root_that_is_taken_back_stops_runs_that_were_planned(world: World) -> None:
    await world.policy()
    await world.create(BACKUP, "late", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "late"))
    await world.step()
    assert (await world.get(BACKUP, "late"))["status"]["phase"] == "Queued"

    world.restart(sources=())
    await world.settle(keys.backup(world.namespace, "late"))

    failed = await world.get(BACKUP, "late")
    assert failed["status"]["phase"] == "Failed"
    assert "may not be copied" in failed["status"]["message"]


async def test_an_operator_that_is_killed_after_any_step_ends_with_one_copy(world: World) -> None:
    await world.policy()
    await world.create(BACKUP, "killed", {"policy": "uploads"})
    for _ in range(60):
        world.restart()
        world.add(keys.ADMISSION)
        world.add(keys.backup(world.namespace, "killed"))
        await world.step()
        await world.node.run()
        done = await world.get(BACKUP, "killed")
        if dig(done, "status", "phase") == "Completed":
            break
    assert done["status"]["phase"] == "Completed"
    assert len(world.points()) == 1
    assert len([j for j in world.node.ran if "-copy-" in objects.name(j)]) == 1


async def test_a_job_that_is_deleted_with_its_pods_is_made_again_for_the_same_copy(
    world: World,
) -> None:
    await world.policy()
    await world.create(BACKUP, "lost", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "lost"))
    async with within(180, "the Job of a copy"):
        while not (jobs := [j for j in await world.jobs() if "-copy-" in objects.name(j)]):
            await world.step()
    await world.step()
    await world.node.run()
    (job,) = jobs
    await world.delete_job(job)

    await world.settle()

    done = await world.get(BACKUP, "lost")
    assert done["status"]["phase"] == "Completed"
    assert len(world.points()) == 1


async def test_a_symlink_that_leads_out_copies_nothing(world: World) -> None:
    outside = world.root / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of others")
    (world.source / "uploads/link").symlink_to(outside)
    (world.source / "way").symlink_to(outside)
    await world.policy()
    done = await world.run()
    (path,) = world.points().values()
    copy = path.parent.parent / path.stem
    assert (copy / "link").is_symlink()
    assert not list((world.backup / world.namespace).glob("**/secret"))

    await world.policy("way", source={"hostPath": {"path": f"{world.source}/way", "node": WORKER}})
    failed = await world.run("way")
    assert done["status"]["phase"] == "Completed"
    assert failed["status"]["phase"] == "Failed"
    assert "symlink" in failed["status"]["message"]
    assert not list((world.backup / world.namespace).glob("**/secret"))


async def test_an_empty_source_is_refused_unless_this_run_allows_it(world: World) -> None:
    await world.policy()
    await world.run()
    for path in (world.source / "uploads/a", world.source / "uploads/sub/b"):
        path.unlink()
    (world.source / "uploads/sub").rmdir()

    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    allowed = await world.run(annotations={labels.ALLOW_SHRUNKEN: "true"})
    assert allowed["status"]["phase"] == "Completed"


async def test_a_directory_of_a_claim_is_copied_into_another_claim_and_back(world: World) -> None:
    await world.claim("data")
    await world.claim("backups")
    data = world.claims / world.namespace / "data"
    (data / "files").mkdir()
    (data / "files/a").write_text("one")
    (data / "cache").write_text("not this")
    await world.policy(
        source={"claims": {"names": ["data"], "subPath": "files"}},
        rolling={
            "destination": {"claim": {"name": "backups", "subPath": "copies"}},
            "allowSameFileSystem": True,
        },
    )

    done = await world.run()

    assert done["status"]["phase"] == "Completed", done["status"]
    assert done["status"]["points"][0]["source"] == "data/files"
    assert {objects.namespace(j) for j in world.node.ran} == {world.namespace}
    kept = world.claims / world.namespace / "backups/copies" / world.namespace / "uploads"
    (copy,) = kept.glob("*/trees/*/data")
    assert [p.name for p in copy.iterdir()] == ["a"]

    target = {"claim": {"name": "data", "subPath": "restored"}}
    spec = {"from": {"backup": objects.name(done)}, "directory": target}
    await world.create(RESTORE_REQUEST, "back", spec)
    await world.settle(keys.restore(world.namespace, "back"))
    assert (data / "restored/a").read_text() == "one"


async def test_a_claim_in_use_on_a_node_takes_its_job_there(world: World) -> None:
    await world.claim("data")
    await world.claim("backups")
    (world.claims / world.namespace / "data/a").write_text("one")
    await world.pod("uses-data", "data", WORKER)
    await world.policy(
        source={"claims": {"names": ["data"]}},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
    )
    done = await world.run()
    assert done["status"]["phase"] == "Completed", done["status"]
    (job,) = [j for j in world.node.ran if "-copy-" in objects.name(j)]
    assert WORKER in json.dumps(dig(job, "spec", "template", "spec", "affinity"))


async def test_two_tenants_with_one_destination_have_folders_of_their_own(world: World) -> None:
    await world.policy()
    mine = await world.run()
    first, world.namespace = world.namespace, f"{world.namespace}-2"
    await world.client.create(NAMESPACE, {"metadata": {"name": world.namespace}})
    await world.policy()
    theirs = await world.run()

    folders = sorted(p.name for p in world.backup.glob("[!.]*") if p.is_dir())
    assert folders == [first, world.namespace]
    assert all((world.backup / name).stat().st_mode & 0o777 == 0o700 for name in folders)
    spec = {"from": {"backup": objects.name(mine)}, "directory": {"path": f"{world.source}/x"}}
    await world.create(RESTORE_REQUEST, "foreign", spec)
    await world.settle(keys.restore(world.namespace, "foreign"))
    status = (await world.get(RESTORE_REQUEST, "foreign"))["status"]
    assert status["conditions"][0]["reason"] == "BackupNotFound"
    assert theirs["status"]["phase"] == "Completed"


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"uid": "u" * 65}, "point.uid: more than 64 characters"),
        ({"stamp": 7}, "point.stamp"),
    ],
)
async def test_a_job_that_says_what_no_status_can_show_fails_the_attempt(
    world: World, changes: dict[str, object], reported: str
) -> None:
    await world.policy()
    await world.create(BACKUP, "reported", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "reported"))
    async with within(180, "the Job of a copy"):
        while not [j for j in await world.jobs() if "-copy-" in objects.name(j)]:
            await world.step()
    await world.step()
    await world.node.run()
    for pod in await world.client.list(POD, world.home):
        (ended,) = pod["status"]["containerStatuses"]
        said = json.loads(ended["state"]["terminated"]["message"])
        if "point" not in said:
            continue
        said["point"] |= changes
        ended["state"]["terminated"]["message"] = json.dumps(said)
        patch = {
            "metadata": {"resourceVersion": objects.version(pod)},
            "status": {"containerStatuses": [ended]},
        }
        name = objects.name(pod)
        await world.client.patch(POD, name, world.home, patch, subresource="status")

    await world.settle()

    status = (await world.get(BACKUP, "reported"))["status"]
    assert (status["phase"], status.get("pools")) == ("Failed", [])
    assert "what its Job said cannot be used" in status["message"]
    assert reported in status["message"]
