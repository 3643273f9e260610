"""Restores from a repository, with the real agent, restic and a real API server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.repositories import Repositories
from tests.support.restores import CLASS, Restores, into, over, reason
from tests.support.rolling_world import WORKER, World
from tests.support.uploads import Uploads, point

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import BACKUP_POLICY, PERSISTENT_VOLUME_CLAIM, VOLUME_SNAPSHOT

LATER = {"notAfter": format_time(SystemClock().now() + timedelta(hours=1))}


@pytest.fixture
async def restores(world: World) -> Restores:
    """A repository that another cluster has filled, a Secret, a BackupRepository that may only be
    read, and no policy.
    """
    made = Restores(Repositories(world))
    await made.begin()
    await made.attach()
    return made


async def test_a_snapshot_is_restored_into_a_new_claim_like_the_old_one(
    restores: Restores,
) -> None:
    data = restores.point()
    before = restores.tree()

    status = await restores.restore(snapshot=data[:8])

    assert status["phase"] == "Completed", status
    assert restores.content() == {"a": "one", "sub/b": "two"}
    claim = await restores.world.get(PERSISTENT_VOLUME_CLAIM, "data-back")
    assert claim["spec"]["storageClassName"] == CLASS
    assert dig(claim, "spec", "resources", "requests", "storage") == "1Gi"
    assert labels.RESTORING not in objects.labels(claim)
    assert objects.annotations(claim)[labels.CONTINUES] == "uid-of-data"
    assert status["items"][0]["ref"] == data
    assert status["backup"] == "r1"
    assert "restored 2 files with 6 bytes" in status["items"][0]["verified"]
    # Nothing at all was written to a repository that is ReadOnly, not even a lock.
    assert restores.tree() == before
    assert await restores.world.client.list(BACKUP_POLICY, restores.namespace) == []


async def test_the_claims_of_a_namespace_are_restored_together_each_its_newest_point(
    restores: Restores,
) -> None:
    restores.point("r1", "data")
    restores.point("r1", "web")
    (restores.source / "a").write_text("newer")
    restores.point("r2", "data")

    status = await restores.restore(into("data", "data-back"), into("web", "web-back"))

    assert status["phase"] == "Completed", status
    assert restores.content("data-back")["a"] == "newer"
    assert restores.content("web-back")["a"] == "one"
    assert restores.ran("repository-find") == 1


async def test_chosen_paths_are_restored_and_nothing_else(restores: Restores) -> None:
    restores.point()

    status = await restores.restore(into("data", "data-back", paths=["sub"]))

    assert status["phase"] == "Completed", status
    assert restores.content() == {"sub/b": "two"}


async def test_a_path_that_the_snapshot_does_not_have_fails_the_request(
    restores: Restores,
) -> None:
    restores.point()

    status = await restores.restore(into("data", "data-back", paths=["sub", "nowhere"]))

    assert status["phase"] == "Failed", status
    assert "spec.claims[].paths: nowhere is not in snapshot" in status["message"]
    assert restores.content() == {}


@pytest.mark.parametrize("extra", [False, True])
async def test_over_a_claim_that_exists_what_it_has_more_stays_or_goes(
    restores: Restores, extra: bool
) -> None:
    restores.point()
    await restores.world.claim("data")
    top = restores.volume("data")
    (top / "a").write_text("newer, and longer")
    (top / "mine").write_text("kept")

    asked = over("data", "data", deleteExtra=extra)
    status = await restores.restore(asked, more=LATER)

    assert status["phase"] == "Completed", status
    mine = {} if extra else {"mine": "kept"}
    assert restores.content("data") == {"a": "one", "sub/b": "two", **mine}
    assert status["items"][0]["startedAt"]


async def test_a_claim_that_is_in_use_is_not_written_over(restores: Restores) -> None:
    restores.point()
    await restores.world.claim("data")
    (restores.volume("data") / "a").write_text("newer")
    await restores.world.pod("web-0", "data", WORKER)

    status = await restores.restore(over("data", "data"), more=LATER)

    assert (status["phase"], reason(status)) == ("Refused", "ClaimInUse"), status
    assert "web-0" in status["message"]
    assert restores.content("data") == {"a": "newer"}


async def test_without_a_claim_of_that_name_nothing_is_written_over(restores: Restores) -> None:
    restores.point()

    status = await restores.restore(over("data", "nowhere"), more=LATER)

    assert (status["phase"], reason(status)) == ("Refused", "ClaimNotFound"), status


async def test_a_claim_of_that_name_is_not_made_again(restores: Restores) -> None:
    restores.point()
    await restores.world.claim("data-back")
    (restores.volume() / "a").write_text("somebody's")

    status = await restores.restore()

    assert (status["phase"], reason(status)) == ("Refused", "ClaimExists"), status
    assert restores.content() == {"a": "somebody's"}


async def test_a_class_that_this_cluster_does_not_have_is_asked_for(restores: Restores) -> None:
    was = restores.recorded_claim("data") | {"class": "of-the-old-cluster"}
    data = restores.point(claim="data", recorded=was)

    refused = await restores.restore(snapshot=data, name="one")
    again = into("data", "data-back", storageClassName=CLASS)
    status = await restores.restore(again, snapshot=data, name="two")

    assert (refused["phase"], reason(refused)) == ("Refused", "StorageClassNotFound"), refused
    assert "storageClassName" in refused["message"]
    assert status["phase"] == "Completed", status


async def test_a_backup_is_restored_from_its_repository_when_its_snapshots_are_gone(
    world: World,
) -> None:
    uploads = Uploads(world)
    await uploads.begin()
    done = await uploads.run()
    assert point(done)["result"] == "good", done["status"]
    restores = Restores(uploads.repositories)
    for snapshot in await world.client.list(VOLUME_SNAPSHOT, world.namespace):
        name, uid = objects.name(snapshot), objects.uid(snapshot)
        await world.client.delete(VOLUME_SNAPSHOT, name, world.namespace, uid=uid)

    await restores.ask_of(objects.name(done), "Repository", into("data", "data-back"))
    await restores.settle("back")

    status = await restores.status()
    assert status["phase"] == "Completed", status
    assert status["items"][0]["store"] == "Repository"
    assert status["items"][0]["ref"] == point(done)["stored"]["data"]
    assert restores.content() == {"a": "one"}
