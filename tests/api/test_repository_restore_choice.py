"""Which snapshot of a repository a request is of, whoever made it, and that nothing is made where
there is none.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.repositories import NAME, Repositories
from tests.support.restores import Restores, into, reason
from tests.support.rolling_world import World

from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.kube.resources import JOB

VOLSYNC = ("--host", "volsync", "--exclude=lost+found")
DAYS = [f"2026-11-{day:02} 03:00:00" for day in (1, 2, 3, 4)]


@pytest.fixture
async def restores(world: World) -> Restores:
    made = Restores(Repositories(world))
    await made.begin()
    await made.attach()
    return made


@pytest.fixture
async def volsync(restores: Restores) -> list[str]:
    """Snapshots as VolSync's mover makes them, one a day, with the day in file `a`."""
    found = []
    for day in DAYS:
        (restores.source / "a").write_text(day)
        found.append(restores.store(*VOLSYNC, "--time", day))
    return found


async def nothing_is_made(restores: Restores) -> bool:
    """Whether there is no claim but the repository's, and no Job that works."""
    jobs = await restores.world.client.list(JOB, restores.namespace)
    restoring = [j for j in jobs if "-restore-" in objects.name(j)]
    return await restores.claims() == {"disk"} and not restoring and not restores.ran(RESTORE)


RESTORE = "repository-restore"


@pytest.mark.parametrize(
    ("wanted", "day"),
    [
        ({}, DAYS[3]),
        ({"asOf": "2026-11-03T12:00:00+10:00"}, DAYS[1]),
        ({"asOf": "2026-11-03T12:00:00Z", "previous": 1}, DAYS[1]),
    ],
)
async def test_volsyncs_snapshots_are_chosen_by_time_as_it_does(
    restores: Restores, volsync: list[str], wanted: dict[str, Any], day: str
) -> None:
    status = await restores.restore(into("data", "data-back", size="1Gi"), host="volsync", **wanted)

    assert status["phase"] == "Completed", status
    assert status["items"][0]["ref"] == volsync[DAYS.index(day)]
    assert restores.content() == {"a": day, "sub/b": "two"}
    # Restored, and never counted: no Backup says that it is a point of ours.
    assert "backup" not in status


async def test_k8ups_snapshots_of_a_claim_become_the_root_of_the_new_one(
    restores: Restores,
) -> None:
    top = restores.world.root / "data"
    for claim in ("shop", "web"):
        (top / claim).mkdir(parents=True)
        (top / claim / "of").write_text(claim)
        restores.store("--host", "team", path=str(top / claim))

    status = await restores.restore(
        into("shop", "shop-back", size="1Gi"), host="team", path=str(top / "shop")
    )

    assert status["phase"] == "Completed", status
    assert restores.content("shop-back") == {"of": "shop"}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"snapshot": "0123456789"}, "there is no snapshot 0123456789; there is host volsync and"),
        ({"host": "volsync", "path": "/data/shop"}, "no snapshot of host volsync and path /data/"),
        ({"host": "volsync", "asOf": "2026-10-01T00:00:00Z"}, "at or before 2026-10-01T00:00:00Z"),
        ({}, "the repository has no point of claim data"),
    ],
)
async def test_where_nothing_matches_the_request_fails_and_nothing_is_made(
    restores: Restores, volsync: list[str], wanted: dict[str, Any], words: str
) -> None:
    del volsync
    before = restores.tree()

    status = await restores.restore(into("data", "data-back", size="1Gi"), **wanted)

    assert status["phase"] == "Failed", status
    assert words in status["message"]
    assert await nothing_is_made(restores)
    assert restores.tree() == before


async def test_a_repository_that_is_not_there_is_not_made_by_a_restore(world: World) -> None:
    repositories = Repositories(world)
    restores = Restores(repositories)
    await world.claim("disk")
    await restores.attach()

    await restores.ask()
    await restores.look()

    status = await restores.status()
    assert (status["phase"], reason(status)) == ("Pending", "Waiting"), status
    assert "NoRepository" in status["message"]
    assert await nothing_is_made(restores)
    assert list(repositories.folder.iterdir()) == []


async def test_a_request_without_its_repository_is_refused(world: World) -> None:
    restores = Restores(Repositories(world))

    status = await restores.restore()

    assert (status["phase"], reason(status)) == ("Refused", "RepositoryNotFound"), status
    assert f"spec.from.repository.name: there is no BackupRepository {NAME}" in status["message"]


async def test_the_claim_of_another_namespace_is_restored_only_where_that_is_named(
    restores: Restores,
) -> None:
    data = restores.point(namespace="shop")

    first = await restores.restore(name="one")
    second = await restores.restore(name="two", host=restores.host())

    assert (first["phase"], reason(first)) == ("Failed", "ClaimOfAnotherNamespace"), first
    assert restores.host() in first["message"]
    assert second["phase"] == "Completed", second
    assert second["items"][0]["ref"] == data


async def test_a_size_that_nobody_recorded_is_asked_for(
    restores: Restores, volsync: list[str]
) -> None:
    status = await restores.restore(snapshot=volsync[0])

    assert (status["phase"], reason(status)) == ("Refused", "SizeUnknown"), status
    assert await nothing_is_made(restores)


async def test_data_that_a_failed_backup_has_left_is_not_taken_for_a_point(
    restores: Restores,
) -> None:
    whole = restores.point("r1")
    (restores.source / "a").write_text("half")
    half = restores.store("--host", restores.host(), "--tag", "backstay", "--tag", "run=r2")

    newest = await restores.restore(name="one")
    named = await restores.restore(into("data", "two-back"), snapshot=half, name="two")
    more: Obj = {"acknowledge": ["Unverified"]}
    wanted = into("data", "three-back", size="1Gi")
    said = await restores.restore(wanted, snapshot=half, name="three", more=more)

    assert newest["items"][0]["ref"] == whole
    assert (named["phase"], reason(named)) == ("Failed", "SnapshotNotRecorded"), named
    assert said["phase"] == "Completed", said
    assert [word["word"] for word in said["acknowledged"]] == ["Unverified"]
    assert restores.content("three-back")["a"] == "half"


@pytest.mark.parametrize("forgery", ["of another's data", "of no data", "of another tree", "torn"])
async def test_a_forged_record_makes_no_point(restores: Restores, forgery: str) -> None:
    whole = restores.point("r1")
    (restores.source / "a").write_text("forged")
    other = restores.store("--host", restores.host(), "--tag", "backstay", "--tag", "run=r2")
    claim = restores.recorded_claim("data")
    match forgery:
        case "of another's data":
            restores.record(other, "r3", claim=claim)
        case "of no data":
            restores.record(other, "r2", claim=claim, data="f" * 64)
        case "of another tree":
            restores.record(other, "r2", claim=claim, tree="f" * 64)
        case _:
            restores.record(other, "r2", text="not-a-record")

    newest = await restores.restore(name="one")
    named = await restores.restore(into("data", "other-back"), snapshot=other, name="two")

    assert newest["phase"] == "Completed", newest
    assert newest["items"][0]["ref"] == whole
    assert (named["phase"], reason(named)) == ("Failed", "SnapshotNotRecorded"), named
    assert json.dumps(named).count("other-back") == 0
