"""Restores of directories from rolling copies, with the real agent."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.clock import VirtualClock
from tests.support.rolling_world import WORKER, World

from backstay.api.common import format_time
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import RestoreStatus
from backstay.domain import labels, objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.wishes import parts
from backstay.domain.subject import parse_subject
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import (
    BACKUP,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESTORE_REQUEST,
)
from backstay.reconcile import keys
from backstay.settings import RollingRoots
from backstay.targets.directory import InPlaceTarget


async def test_a_copy_is_restored_to_a_new_directory_and_held_meanwhile(world: World) -> None:
    await world.policy(retention={"last": 3})
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")
    (point,) = world.points().values()

    target = str(world.source / "back")
    await world.create(
        RESTORE_REQUEST,
        "back",
        {"from": {"backup": objects.name(done)}, "directory": {"path": target}},
    )
    await world.settle(keys.restore(world.namespace, "back"))

    request = await world.get(RESTORE_REQUEST, "back")
    assert request["status"]["phase"] == "Completed", request["status"]
    assert request["status"]["into"] == f"{WORKER}:{target}"
    assert (world.source / "back/a").read_text() == "one"
    assert (world.source / "uploads/a").read_text() == "newer"
    assert labels.IN_USE not in json.loads(point.read_text())["annotations"]
    verbs = [objects.name(j).rsplit("-", 2)[1] for j in world.node.ran]
    assert verbs[verbs.index("copy") :] == ["copy", "relabel", "restore", "relabel"]


async def test_a_restore_in_place_leaves_a_copy_of_what_was_there(world: World) -> None:
    await world.policy()
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")
    later = format_time(SystemClock().now() + timedelta(hours=1))
    spec: Obj = {"from": {"backup": objects.name(done)}, "directory": {"inPlace": {}}}

    await world.create(RESTORE_REQUEST, "over", spec | {"notAfter": later})
    await world.settle(keys.restore(world.namespace, "over"))

    request = await world.get(RESTORE_REQUEST, "over")
    assert request["status"]["phase"] == "Completed", request["status"]
    assert (world.source / "uploads/a").read_text() == "one"
    safety = world.points()[request["status"]["items"][0]["safety"]]
    assert (safety.parent.parent / safety.stem / "a").read_text() == "newer"
    record = await world.get(BACKUP, "before-over")
    assert record["status"]["points"][0]["ref"] == safety.stem


@pytest.mark.parametrize(
    ("directory", "reason", "words"),
    [
        ({"path": "/etc/backstay"}, "PathNotAllowed", "may not be restored into"),
        ({"claim": {"name": "data", "subPath": "x"}}, "NotAClaim", "set path, or inPlace"),
        ({"path": "{source}/x", "source": "other"}, "SourceNotInBackup", "only of worker-1:"),
        ({"path": "{source}/x", "node": "worker-2"}, "CopiesElsewhere", "leave node out"),
    ],
)
async def test_a_restore_that_cannot_be_is_refused_with_the_remedy(
    world: World, directory: Obj, reason: str, words: str
) -> None:
    await world.policy()
    done = await world.run()
    if "path" in directory:
        directory = directory | {"path": directory["path"].format(source=world.source)}
    spec = {"from": {"backup": objects.name(done)}, "directory": directory}
    await world.create(RESTORE_REQUEST, "bad", spec)
    await world.settle(keys.restore(world.namespace, "bad"))

    status = (await world.get(RESTORE_REQUEST, "bad"))["status"]
    assert status["phase"] == "Refused", status
    assert status["conditions"][0]["reason"] == reason
    assert words in status["message"]


async def test_a_request_in_place_that_comes_too_late_is_refused(world: World) -> None:
    await world.policy()
    done = await world.run()
    spec: Obj = {"from": {"backup": objects.name(done)}, "directory": {"inPlace": {}}}
    await world.create(RESTORE_REQUEST, "late", spec | {"notAfter": "2026-01-01T00:00:00Z"})
    await world.settle(keys.restore(world.namespace, "late"))
    status = (await world.get(RESTORE_REQUEST, "late"))["status"]
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "TooLate")


async def _ask_in_place(world: World) -> Path:
    """Have a copy of a claim made and one newer file written; ask for a restore over it, begun but
    not held yet. Return the file.
    """
    await world.claim("data")
    await world.claim("backups")
    file = world.claims / world.namespace / "data/a"
    file.write_text("one")
    await world.policy(
        source={"claims": {"names": ["data"]}},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
    )
    done = await world.run()
    file.write_text("newer")
    later = format_time(SystemClock().now() + timedelta(hours=1))
    spec: Obj = {"from": {"backup": objects.name(done)}, "directory": {"inPlace": {}}}
    await world.create(RESTORE_REQUEST, "over", spec | {"notAfter": later})
    world.add(keys.restore(world.namespace, "over"))
    await world.step()
    assert (await world.get(RESTORE_REQUEST, "over"))["status"]["phase"] == "Restoring"
    return file


async def test_not_after_ends_a_request_that_still_waits(world: World) -> None:
    file = await _ask_in_place(world)
    world.restart(clock=VirtualClock(SystemClock().now() + timedelta(days=1)))

    for _ in range(2):
        await world.look(keys.restore(world.namespace, "over"))

    status = (await world.get(RESTORE_REQUEST, "over"))["status"]
    assert (status["phase"], file.read_text()) == ("Failed", "newer"), status
    assert status["message"].startswith("spec.notAfter: ")


async def test_a_pod_that_starts_while_a_request_in_place_waits_ends_it(world: World) -> None:
    file = await _ask_in_place(world)
    await world.pod("app", "data", WORKER)  # as Argo CD or an autoscaler does

    await world.settle()

    status = (await world.get(RESTORE_REQUEST, "over"))["status"]
    assert status["phase"] == "Failed", status
    assert "claim data is in use by Pod app; stop what uses it" in status["message"]
    assert file.read_text() == "newer"


async def test_no_job_is_made_in_place_for_a_pod_that_started_since_the_look(world: World) -> None:
    await _ask_in_place(world)
    target = InPlaceTarget(world.client, RollingRoots())
    obj = await world.get(RESTORE_REQUEST, "over")
    request = parse_subject("RestoreRequest", obj, RestoreSpec, RestoreStatus)
    (part,) = parts(request, request.status.items)
    assert await target.check(part, Acknowledged()) == ""
    await world.pod("app", "data", WORKER)

    with pytest.raises(UserError, match="in use by Pod app"):
        await target.check(part, Acknowledged())  # Asked again right before the Job is made.


async def test_a_restore_in_place_waits_for_a_pod_of_our_own(world: World) -> None:
    file = await _ask_in_place(world)
    labelled = {"app.kubernetes.io/managed-by": "backstay"}
    await world.pod("copy", "data", WORKER, labels=labelled)
    for _ in range(4):
        await world.step()
        await world.node.run()
    status = (await world.get(RESTORE_REQUEST, "over"))["status"]
    assert (status["phase"], file.read_text()) == ("Restoring", "newer"), status
    assert "waits for Pod copy" in status["message"]

    pod = await world.get(POD, "copy")
    body: Obj = {"metadata": {"resourceVersion": objects.version(pod)}}
    body["status"] = {"phase": "Succeeded"}
    await world.client.patch(POD, "copy", world.namespace, body, subresource="status")
    await world.settle()
    status = (await world.get(RESTORE_REQUEST, "over"))["status"]
    assert (status["phase"], file.read_text()) == ("Completed", "one"), status


async def _ask_beside(world: World, done: Obj) -> Obj:
    """Ask for a restore to a new directory, and take some steps; return its status."""
    target = {"path": str(world.source / "back")}
    spec = {"from": {"backup": objects.name(done)}, "directory": target}
    await world.create(RESTORE_REQUEST, "back", spec)
    world.add(keys.restore(world.namespace, "back"))
    for _ in range(4):
        await world.step()
    status: Obj = (await world.get(RESTORE_REQUEST, "back"))["status"]
    return status


async def test_a_restore_waits_for_the_copy_under_way_and_says_so(world: World) -> None:
    await world.policy()
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")
    await world.create(BACKUP, "long", {"policy": "uploads"})
    world.add(keys.backup(world.namespace, "long"))
    for _ in range(4):
        await world.step()
    assert (await world.get(BACKUP, "long"))["status"]["phase"] == "Copying"

    status = await _ask_beside(world, done)

    assert status["message"] == "waits for the copy under way (Backup long)"
    await world.settle()
    assert (await world.get(RESTORE_REQUEST, "back"))["status"]["phase"] == "Completed"
    assert (world.source / "back/a").read_text() == "one"


async def test_a_run_that_is_only_queued_keeps_no_restore_from_its_point(world: World) -> None:
    await world.policy()
    done = await world.run()
    queued = await world.create(BACKUP, "queued", {"policy": "uploads"})
    body: Obj = {"metadata": {"resourceVersion": objects.version(queued)}}
    # As one that waits for its node, which a long copy of another policy has for itself.
    body["status"] = {"phase": "Queued", "plan": done["status"]["plan"]}
    await world.client.patch(BACKUP, "queued", world.namespace, body, subresource="status")

    await _ask_beside(world, done)
    await world.settle()

    status = (await world.get(RESTORE_REQUEST, "back"))["status"]
    assert status["phase"] == "Completed", status
    # The run was looked at again when that was over: it may have waited for it.
    assert (await world.get(BACKUP, "queued"))["status"]["phase"] == "Completed"


async def test_a_request_whose_target_goes_away_says_that_and_not_that_its_point_did(
    world: World,
) -> None:
    await _ask_in_place(world)
    claim = await world.get(PERSISTENT_VOLUME_CLAIM, "data")
    uid = objects.uid(claim)
    body: Obj = {"metadata": {"finalizers": None, "resourceVersion": objects.version(claim)}}
    await world.client.patch(PERSISTENT_VOLUME_CLAIM, "data", world.namespace, body)
    await world.client.delete(PERSISTENT_VOLUME_CLAIM, "data", world.namespace, uid=uid)

    await world.settle()

    status = (await world.get(RESTORE_REQUEST, "over"))["status"]
    assert status["phase"] == "Failed", status
    reported = (
        "spec.directory.claim: there is no PersistentVolumeClaim data; make it, then create the"
    )
    assert status["message"].startswith(reported)


async def _copy_of_claim(world: World, path: str = "") -> Obj:
    """Have a copy of a claim made, or of a directory in it, that has a file; return the Backup."""
    await world.claim("data")
    await world.claim("backups")
    top = world.claims / world.namespace / "data" / path
    top.mkdir(parents=True, exist_ok=True)
    (top / "a").write_text("one")
    source: Obj = {"names": ["data"], "subPath": path} if path else {"names": ["data"]}
    await world.policy(
        source={"claims": source},
        rolling={"destination": {"claim": {"name": "backups"}}, "allowSameFileSystem": True},
    )
    return await world.run()


async def _ask_new_claim(world: World, done: Obj, **new: str) -> Obj | None:
    """Ask for a new claim and take some steps; return it, with the folder that stands for it."""
    to = {"newClaim": {"name": "new", **new}}
    spec = {"from": {"backup": objects.name(done)}, "claims": [{"claim": "data", "to": to}]}
    await world.create(RESTORE_REQUEST, "aside", spec)
    world.add(keys.restore(world.namespace, "aside"))
    for _ in range(12):
        await world.step()
        found = await world.client.find(PERSISTENT_VOLUME_CLAIM, "new", world.namespace)
        if found is not None:
            (world.claims / world.namespace / "new").mkdir()
            return found
        await world.node.run()
    return None


@pytest.mark.parametrize("path", ["", "uploads"])
async def test_a_copy_of_a_claim_is_restored_into_a_new_claim(world: World, path: str) -> None:
    done = await _copy_of_claim(world, path)

    made = await _ask_new_claim(world, done, size="2Gi")
    await world.settle()

    status = (await world.get(RESTORE_REQUEST, "aside"))["status"]
    assert (status["phase"], status["into"]) == ("Completed", "new"), status
    assert (status["items"][0]["store"], status["items"][0]["target"]) == ("Rolling", "NewClaim")
    assert (world.claims / world.namespace / "new" / path / "a").read_text() == "one"
    assert made is not None
    assert labels.RESTORING in objects.labels(made)
    source = await world.get(PERSISTENT_VOLUME_CLAIM, "data")
    assert objects.annotations(made)[labels.CONTINUES] == objects.uid(source)
    assert made["spec"]["resources"]["requests"]["storage"] == "2Gi"
    handed_over = await world.get(PERSISTENT_VOLUME_CLAIM, "new")
    assert labels.RESTORING not in objects.labels(handed_over)


async def test_a_new_claim_whose_fill_is_killed_goes_unless_it_has_a_volume(world: World) -> None:
    done = await _copy_of_claim(world)
    world.node.leaves = "aside-restore-"
    await _ask_new_claim(world, done, size="2Gi")
    for _ in range(3):
        await world.step()
    (job,) = [j for j in await world.jobs(world.namespace) if "-restore-" in objects.name(j)]
    await world.node.kill(job)

    await world.settle()

    status = (await world.get(RESTORE_REQUEST, "aside"))["status"]
    assert status["phase"] == "Failed", status
    claim = await world.client.find(PERSISTENT_VOLUME_CLAIM, "new", world.namespace)
    assert claim is None or dig(claim, "metadata", "deletionTimestamp")


async def test_a_new_claim_whose_size_nobody_knows_is_refused(world: World) -> None:
    done = await _copy_of_claim(world)

    assert await _ask_new_claim(world, done) is None

    status = (await world.get(RESTORE_REQUEST, "aside"))["status"]
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Refused", "SizeUnknown")
    assert "set spec.claims[].to.newClaim.size" in status["message"]
