"""What a bad disk comes to for its users: on a policy, a Backup and a RestoreRequest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.rolling_world import World

from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.kube.resources import BACKUP, BACKUP_POLICY, RESTORE_REQUEST
from backstay.reconcile import keys


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("a disk is mounted read-only: needs root")
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def rolling(world: World, **more: Any) -> Obj:
    kept: Obj = {"destination": {"hostPath": str(world.backup)}, "allowSameFileSystem": True}
    return kept | {"scrub": {"days": 0}} | more


async def restored(world: World, backup: Obj, name: str = "back") -> Obj:
    """Ask for a restore to a new directory, and return its status at the end."""
    target = {"path": str(world.source / name)}
    spec = {"from": {"backup": objects.name(backup)}, "directory": target}
    await world.create(RESTORE_REQUEST, name, spec)
    await world.settle(keys.restore(world.namespace, name))
    status: Obj = (await world.get(RESTORE_REQUEST, name))["status"]
    return status


async def look(world: World) -> Obj:
    policy = await world.get(BACKUP_POLICY, "uploads")
    found: Obj = policy["status"]["copies"][0]
    return found


async def test_copies_on_a_disk_that_is_read_only_are_listed_and_restored(world: World) -> None:
    await world.policy()
    done = await world.run()
    (world.source / "uploads/a").write_text("newer")

    with read_only(world.backup):
        status = await restored(world, done)
        failed = await world.run()
        await world.relist()
        listed = await look(world)
        kept = await world.get(BACKUP, objects.name(done))

    assert status["phase"] == "Completed", status
    assert (world.source / "back/a").read_text() == "one"
    assert failed["status"]["phase"] == "Failed"
    assert "mounted read-only" in failed["status"]["message"]
    assert listed["readOnly"] is True
    assert kept["status"]["phase"] == "Completed"
    assert not kept["status"]["points"][0]["rolling"]["gone"]
    assert (await world.condition("CopiesMissing"))["status"] == "False"

    await world.relist()
    assert (await look(world))["readOnly"] is False
    assert (await world.run())["status"]["phase"] == "Completed"


async def test_points_with_rot_say_so_and_the_next_copy_is_whole(world: World) -> None:
    await world.policy(rolling=rolling(world, scrub={"days": 1}))
    first = await world.run()
    (path,) = world.points().values()
    file = path.parent.parent / path.stem / "a"
    before = file.stat()
    file.write_text("eno")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    await world.scrub_again()

    (point,) = (await world.get(BACKUP, objects.name(first)))["status"]["points"]
    assert (point["result"], point["rolling"]["rotten"]) == ("good", 1)
    assert "1 files of it are known not to be what was copied" in point["message"]
    status = await restored(world, first)
    assert status["phase"] == "Failed"
    assert "known not to be what was copied (a)" in status["message"]
    assert not (world.source / "back").exists()

    second = await world.run()
    (whole,) = second["status"]["points"]
    assert whole["rolling"].get("rotten", 0) == 0
    assert "1 files were copied again" in whole["rolling"]["note"]
    assert (await restored(world, second, "again"))["phase"] == "Completed"
    assert (world.source / "again/a").read_text() == "one"


def too_long(top: Path) -> None:
    """Make a path that no call takes."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(45):
        os.mkdir("d" * 99, dir_fd=fd)
        below = os.open("d" * 99, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


async def test_what_cannot_be_read_fails_the_run_by_name_or_is_listed(world: World) -> None:
    too_long(world.source / "uploads/sub")
    await world.policy()
    failed = await world.run()
    assert failed["status"]["phase"] == "Failed"
    message = failed["status"]["message"]
    assert "File name too long at sub/ddd" in message
    assert "spec.rolling.allowUnreadable" in message

    await world.patch_policy(spec={"rolling": {"allowUnreadable": True}})
    done = await world.run()

    status = done["status"]
    assert status["phase"] == "PartiallyFailed", status
    assert "1 entries could not be read and are missing: sub/ddd" in status["message"]
    (point,) = status["points"]
    assert (point["result"], point["rolling"]["unreadable"]) == ("good", 1)
    await world.relist()
    assert (await world.get(BACKUP, objects.name(done)))["status"]["message"] == status["message"]
    assert (await restored(world, done))["phase"] == "Completed"
    assert (world.source / "back/sub/b").read_text() == "two"


async def test_copies_on_a_disk_that_is_full_are_restored_though_they_cannot_be_held(
    world: World,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small disk is mounted: needs root")
    marker = (world.backup / ".backstay.json").read_text()
    with small_disk(world.backup):
        (world.backup / ".backstay.json").write_text(marker)
        await world.policy()
        done = await world.run()
        fill(world.backup)

        status = await restored(world, done)

        assert status["phase"] == "Completed", status
        assert (world.source / "back/a").read_text() == "one"
        assert "No space left" in (await look(world))["message"]


@contextmanager
def small_disk(at: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=True)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
