"""Restores of directories from rolling copies, with the real agent."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.support.rolling_world import WORKER, World

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import (
    BACKUP,
    RESTORE_REQUEST,
)
from backstay.reconcile import keys


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
    safety = world.points()[request["status"]["directory"]["safety"]]
    assert (safety.parent.parent / safety.stem / "a").read_text() == "newer"
    record = await world.get(BACKUP, "before-over")
    assert record["status"]["points"][0]["rolling"]["stamp"] == safety.stem


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
