"""A destination that is a claim, and lost its disk: nothing is written there, no record goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.rolling_world import World

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.kube.resources import BACKUP, BACKUP_POLICY
from backstay.reconcile import keys
from backstay.settings import DestinationRoot

ROLLING: Obj = {
    "destination": {"claim": {"name": "nfs"}},
    "allowSameFileSystem": True,
    "scrub": {"days": 0},
}


@pytest.fixture
def nfs(world: World) -> Path:
    """The folder that stands for the volume of the administrator's claim."""
    folder = world.claims / world.home / "nfs"
    folder.mkdir(parents=True)
    world.restart(destinations=(DestinationRoot(claim="nfs", id="disk-1", namespaces=("*",)),))
    return folder


def unmount(nfs: Path) -> Path:
    """The mount point is exported without its disk: an empty directory. Return the disk."""
    disk = nfs.with_name("disk")
    nfs.rename(disk)
    nfs.mkdir()
    return disk


def mount(nfs: Path, disk: Path) -> None:
    shutil.rmtree(nfs)
    disk.rename(nfs)


def inside(nfs: Path) -> list[str]:
    return [path.name for path in nfs.iterdir()]


def marker_of(nfs: Path) -> str:
    return (nfs / ".backstay.json").read_text()


def mark(nfs: Path) -> None:
    (nfs / ".backstay.json").write_text('{"format": 1, "id": "disk-1"}')


async def missing(world: World) -> Obj | None:
    policy = await world.get(BACKUP_POLICY, "uploads")
    found = policy["status"].get("conditions", [])
    reported: Obj | None = next((c for c in found if c["type"] == "CopiesMissing"), None)
    return reported


async def records(world: World) -> dict[str, Obj]:
    found = await world.client.list(BACKUP, world.namespace)
    return {
        objects.name(b): b["status"]["points"][0]["rolling"]
        for b in found
        if b["status"]["phase"] == "Completed"
    }


async def test_a_claim_without_its_disk_costs_no_record_and_is_not_written_to(
    world: World, nfs: Path
) -> None:
    await world.policy(rolling=ROLLING, retention={"daily": 7})
    for slot in (-3, -2):
        assert (await world.run(slot=slot))["status"]["phase"] == "Completed"
    before = await records(world)
    assert len(before) == 2
    disk = unmount(nfs)

    await world.relist()

    assert inside(nfs) == []
    held = await records(world)
    assert set(held) == set(before)
    assert all(copy["missing"] and not copy["gone"] for copy in held.values())
    reported = await missing(world)
    assert reported is not None
    assert (reported["status"], reported["reason"]) == ("True", "NotFound")
    assert "2 of 2" in reported["message"]
    assert labels.RELEASE_RETENTION in reported["message"]
    # Nor does the next run make a full copy where the disk is not.
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert "it has no .backstay.json" in failed["status"]["points"][0]["message"]
    assert inside(nfs) == []

    mount(nfs, disk)
    await world.relist()

    assert await records(world) == before
    reported = await missing(world)
    assert reported is not None
    assert reported["status"] == "False"
    assert (await world.run())["status"]["phase"] == "Completed"


async def test_copies_that_are_lost_for_good_are_given_up_by_a_persons_word_only(
    world: World, nfs: Path
) -> None:
    await world.policy(rolling=ROLLING)
    await world.run(slot=-3)
    unmount(nfs)
    await world.relist()
    reported = await missing(world)
    assert reported is not None

    plan = reported["message"].split(f"{labels.RELEASE_RETENTION}=")[1].split()[0]
    policy = await world.get(BACKUP_POLICY, "uploads")
    metadata = {
        "resourceVersion": objects.version(policy),
        "annotations": {labels.RELEASE_RETENTION: plan},
    }
    await world.patch_policy(metadata=metadata)

    assert await records(world) == {}
    reported = await missing(world)
    assert reported is not None
    assert reported["status"] == "False"
    # The claim may be used again: the next copy is the first one there.
    assert (await world.run())["status"]["phase"] == "Completed"
    assert marker_of(nfs) == '{"format": 1, "id": "disk-1"}\n'


async def test_a_relabel_that_finds_no_point_has_the_series_listed(world: World, nfs: Path) -> None:
    """Another disk with the marker: whoever had it made first."""
    await world.policy(rolling=ROLLING, retention={"daily": 7})
    await world.run(slot=-3)
    before = await records(world)
    unmount(nfs)
    mark(nfs)

    await world.patch_policy(spec={"retention": {"daily": None, "weekly": 4}})

    held = await records(world)
    assert set(held) == set(before)
    assert all(copy["missing"] and not copy["gone"] for copy in held.values())
    verbs = [objects.name(j).rsplit("-", 2)[1] for j in world.node.ran]
    assert verbs[-2:] == ["relabel", "list"]


async def test_a_relabel_where_no_marker_is_has_the_series_listed(world: World, nfs: Path) -> None:
    await world.policy(rolling=ROLLING, retention={"daily": 7})
    await world.run(slot=-3)
    unmount(nfs)

    await world.patch_policy(spec={"retention": {"daily": None, "weekly": 4}})

    assert [copy["missing"] for copy in (await records(world)).values()] == [True]
    assert inside(nfs) == []


async def test_a_new_policy_on_a_new_claim_is_listed_without_trouble(
    world: World, nfs: Path
) -> None:
    await world.policy(rolling=ROLLING)

    policy = await world.get(BACKUP_POLICY, "uploads")
    (look,) = policy["status"]["copies"]
    assert look["listedAt"]
    assert "message" not in look
    assert await missing(world) is None
    assert inside(nfs) == []


async def test_a_policy_recreated_on_its_old_claim_finds_its_copies(
    world: World, nfs: Path
) -> None:
    await world.policy(rolling=ROLLING)
    done = await world.run(slot=-1)
    marker = marker_of(nfs)
    for kind, name in ((BACKUP, objects.name(done)), (BACKUP_POLICY, "uploads")):
        obj = await world.get(kind, name)
        await world.client.delete(kind, name, world.namespace, uid=objects.uid(obj))
    world.restart(destinations=(DestinationRoot(claim="nfs", id="disk-1", namespaces=("*",)),))

    await world.policy(rolling=ROLLING)
    assert set(await records(world)) == {objects.name(done)}
    assert (await world.run())["status"]["phase"] == "Completed"
    assert marker_of(nfs) == marker


async def test_a_directory_that_joins_a_policy_uses_the_marker_that_is_there(
    world: World, nfs: Path
) -> None:
    await world.policy(rolling=ROLLING)
    await world.run()
    shutil.copytree(world.source / "uploads", world.source / "more")
    paths = [str(world.source / "uploads"), str(world.source / "more")]
    await world.patch_policy(
        spec={"source": {"hostPath": {"path": None, "paths": paths}}, "retries": 0}
    )
    assert (await world.run())["status"]["phase"] == "Completed"
    disk = unmount(nfs)
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    assert inside(nfs) == []
    mount(nfs, disk)


async def test_a_first_run_that_was_killed_before_its_copy_makes_the_marker(
    world: World, nfs: Path
) -> None:
    await world.policy(rolling=ROLLING)
    await world.create(BACKUP, "first", {"policy": "uploads"})
    for _ in range(60):
        world.restart(destinations=(DestinationRoot(claim="nfs", id="disk-1", namespaces=("*",)),))
        world.add(keys.ADMISSION)
        world.add(keys.backup(world.namespace, "first"))
        await world.step()
        await world.node.run()
    assert set(await records(world)) == {"first"}
    assert "disk-1" in marker_of(nfs)
