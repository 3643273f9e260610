"""What a disk does not keep, adds, loses or refuses, one case at a time."""

from __future__ import annotations

import os
import stat
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.furnished import (
    ACL,
    CAPABILITY,
    furnish,
    look,
    restored,
    unlike,
)
from tests.faults.rolling.harness import Place, link_groups, tree_differences
from tests.faults.rolling.kinds import (
    Disks,
    mounted,
    ntfs,
    on_loop,
    run,
    unmount,
)

from backstay.agent.fs.copy_file import copy_file
from backstay.agent.fs.inode import stat_of
from backstay.agent.fs.paths import DIRECTORY
from backstay.agent.fs.throttle import Pace

WITHOUT_MKNOD = ("setpriv", "--inh-caps=-all", "--bounding-set=-mknod")


def test_two_disks_behind_one_mount_do_not_share_their_inodes(tmp_path: Path) -> None:
    """bindfs hands on the numbers of both as those of one disk."""
    back = tmp_path / "back"
    with ExitStack() as stack:
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            there = stack.enter_context(on_loop("mkfs.ext4", "-q", size="8M")(folder))
            (there / "one").write_text(f"content of {name}")
            os.link(there / "one", there / "two")
            (back / name).mkdir(parents=True)
            run("mount", "--bind", there, back / name)
            stack.callback(unmount, back / name)
        source = stack.enter_context(mounted(tmp_path, "bindfs", back))
        one, other = (source / name / "one" for name in ("a", "b"))
        assert os.path.samestat(one.stat(), other.stat())  # so it is said
        place = Place(source, tmp_path / "destination")
        place.destination.mkdir()
        place.init()

        place.copy("r1")

        for name in ("a", "b"):
            assert (place.data("r1") / name / "two").read_text() == f"content of {name}"
        groups = {frozenset({b"a/one", b"a/two"}), frozenset({b"b/one", b"b/two"})}
        assert link_groups(place.data("r1")) >= groups


@pytest.mark.parametrize(
    ("option", "lacks"), [("--chown-deny", {"owner": 3}), ("--chmod-ignore", {"mode": 4})]
)
def test_a_disk_that_keeps_less_from_today_on_says_so_of_all_that_it_has(
    option: str, lacks: dict[str, int], disk: Disks, tmp_path: Path
) -> None:
    place = place_on(disk("bindfs"), tmp_path / "source")
    for folder in ("changes", "stays"):
        path = place.source / folder
        path.mkdir()
        (path / "file").write_bytes(b"file")
        for one in (path, path / "file"):
            os.chown(one, 1000, 1000)
            one.chmod(0o770)
    place.copy("r1")
    assert place.point("r1").lacks == {}
    (place.source / "changes/file").write_bytes(b"changed")
    worse = tmp_path / "worse"
    worse.mkdir()
    with mounted(worse, "bindfs", option, place.destination) as mount:
        moved = replace(place, destination=mount)

        moved.copy("r2")

        # The file that stays is a link to the older one, which has what it needs.
        assert moved.point("r2").lacks == lacks
        assert tree_differences(moved.folder.trees / "r2") == []
        _, back = restored(moved, "r2", tmp_path)
        assert unlike(look(place.source), look(back)) == set()


def test_devices_that_cannot_be_made_are_in_the_manifest_and_come_back(
    disk: Disks, tmp_path: Path
) -> None:
    place = place_on(disk("XFS"), tmp_path / "source")
    os.mknod(place.source / "null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.chown(place.source / "null", 7, 8)
    os.link(place.source / "null", place.source / "null too")
    os.mkfifo(place.source / "pipe", 0o600)

    for name in ("r1", "r2"):
        (place.source / "file").write_bytes(name.encode())
        outcome = place.agent("copy", place.copy_task(name), before=WITHOUT_MKNOD)
        assert outcome.code == 0, outcome

    assert sorted(path.name for path in place.data("r2").iterdir()) == ["file", "pipe"]
    assert tree_differences(place.folder.trees / "r2") == []
    result, back = restored(place, "r2", tmp_path)
    assert unlike(look(place.source), look(back)) == set()
    assert result["notes"] == {}
    outcome = place.agent(
        "restore",
        place.task(stamp=place.point("r2").stamp, target={"root": str(tmp_path), "path": "other"}),
        before=WITHOUT_MKNOD,
    )
    assert (outcome.code, outcome.result["notes"]["special"]["count"]) == (0, 2), outcome


def test_what_a_disk_adds_to_files_is_neither_copied_nor_restored(
    disk: Disks, tmp_path: Path
) -> None:
    place = place_on(disk("XFS"), disk("btrfs, compressed") / "source")
    (place.source / "sub").mkdir()
    (place.source / "sub/file").write_bytes(b"x" * 9000)
    assert "btrfs.compression" in os.listxattr(place.source / "sub")
    place.copy("r1")
    copy = place.data("r1") / "sub/file"
    os.setxattr(copy, "security.selinux", b"system_u:object_r:mnt_t:s0\0")  # as its kernel does
    assert tree_differences(place.folder.trees / "r1") == []

    _, back = restored(place, "r1", tmp_path)

    assert os.listxattr(back / "sub/file") == os.listxattr(back / "sub") == []


def test_a_copy_that_lost_its_attributes_is_found_and_its_restore_has_them(
    in_memory: Place, tmp_path: Path
) -> None:
    place = in_memory
    for name in ("ping", "acl"):
        (place.source / name).write_bytes(b"x")
    os.setxattr(place.source / "ping", "security.capability", CAPABILITY)
    os.setxattr(place.source / "acl", "system.posix_acl_access", ACL)
    (place.source / "folder").mkdir()
    os.setxattr(place.source / "folder", "system.posix_acl_default", ACL)
    place.copy("r1")
    os.removexattr(place.data("r1") / "ping", "security.capability")
    os.removexattr(place.data("r1") / "folder", "system.posix_acl_default")

    verified = place.agent("verify-tree", place.task(stamp=place.point("r1").stamp, hash=False))
    scrubbed = place.agent("scrub", place.task(days=1))
    (place.source / "other").write_bytes(b"1")
    place.copy("r2")
    _, back = restored(place, "r2", tmp_path)

    assert verified.result["differences"]["examples"] == [
        "folder: attribute system.posix_acl_default is missing",
        "ping: attribute security.capability is missing",
    ]
    assert "ping: attribute security.capability is missing" in str(scrubbed.result["changed"])
    assert unlike(look(place.source), look(back)) == set()


def test_a_long_attribute_that_only_the_copy_had_is_copied_again_when_it_is_lost(
    disk: Disks, tmp_path: Path
) -> None:
    place = place_on(disk("XFS"), disk("XFS") / "source")
    long = b"long" * 2000
    for name in ("stays/one", "stays/other", "changes"):
        path = place.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        os.setxattr(path, "user.long", long)
    place.copy("r1")
    for name in ("stays/one", "changes"):
        os.removexattr(place.data("r1") / name, "user.long")
    (place.source / "new").write_bytes(b"1")

    stats = place.copy("r2")["stats"]

    assert (stats["copied"], stats["notLinked"]) == (3, 2)  # the new one, and both copied again
    assert tree_differences(place.folder.trees / "r2") == []
    _, back = restored(place, "r2", tmp_path)
    assert os.getxattr(place.data("r2") / "stays/one", "user.long") == long
    assert b"stays/one" in look(back)["content"]


def test_a_time_that_no_manifest_holds_is_reported_and_comes_back_as_the_nearest(
    disk: Disks,
) -> None:
    place = place_on(disk("tmpfs"), disk("btrfs, compressed") / "source")
    for name, second in (("later", 32_503_680_000), ("earlier", -9_999_999_999), ("now", 1)):
        (place.source / name).write_bytes(b"time")
        os.utime(place.source / name, (second, second))
    place.copy("r1")
    (place.source / "other").write_bytes(b"1")

    assert place.copy("r2")["stats"]["copied"] == 1
    assert place.point("r2").lacks == {"time": 2}
    _, back = restored(place, "r2", disk("btrfs, compressed"))
    years = {name: time.gmtime((back / name).stat().st_mtime).tm_year for name in ("later", "now")}
    assert years == {"later": 2486, "now": 1970}


def test_a_disk_that_is_too_full_to_be_tried_is_refused_as_any_full_one(tmp_path: Path) -> None:
    with mounted(tmp_path, "mount", "-t", "tmpfs", "-o", "size=4M", "none") as mount:
        place = place_on(mount, tmp_path / "source")
        (place.source / "file").write_bytes(b"1")
        place.copy("r1")
        (place.source / "file").write_bytes(b"22")
        with suppress(OSError), (mount / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

        outcome = place.agent("copy", place.copy_task("r2"))

        assert (outcome.code, outcome.reason) == (3, "TooLittleSpace"), outcome
        assert "make room" in outcome.result["message"]
        (mount / "filler").unlink()
        place.copy("r2")
        place.assert_settled()


@pytest.mark.parametrize("name", ["a:b", "folder?/file"])
def test_a_name_that_the_disk_cannot_have_is_named_with_the_remedy(
    name: str, tmp_path: Path
) -> None:
    with ntfs("-o", "permissions,windows_names")(tmp_path) as mount:
        place = place_on(mount, tmp_path / "source")
        (place.source / name).parent.mkdir(exist_ok=True)
        (place.source / name).write_bytes(b"1")

        outcome = place.agent("copy", place.copy_task("r1"))

        assert (outcome.code, outcome.reason) == (3, "EntryUnfit")
        assert outcome.result["message"].startswith(
            "spec.rolling.destination: its file system cannot hold an entry (Invalid argument);"
            f" exclude it, or use another file system: {name.partition('/')[0]}"
        )
        copied = place.copy_task("r2")
        copied["source"]["exclude"] = [name.partition("/")[0]]
        (place.source / "file").write_bytes(b"1")
        assert place.agent("copy", copied).code == 0


def test_a_size_that_the_disk_cannot_have_is_refused_before_its_zeros_are_read(
    disk: Disks,
) -> None:
    place = place_on(disk("ext4"), disk("XFS") / "source")
    with (place.source / "huge").open("wb") as file:
        file.truncate(1 << 60)

    outcome = place.agent("copy", place.copy_task("r1"))

    assert (outcome.code, outcome.reason) == (3, "EntryUnfit")
    assert "(File too large); exclude it, or use another file system: huge" in str(outcome.result)


def test_an_attribute_that_only_the_source_and_the_target_can_hold_comes_back(disk: Disks) -> None:
    place = place_on(disk("ext4"), disk("XFS") / "source")
    huge = os.urandom(60_000)
    for path in (place.source / "file", place.source / "folder"):
        path.mkdir() if path.name == "folder" else path.write_bytes(b"1")
        os.setxattr(path, "user.huge", huge)
        os.setxattr(path, "user.small", b"1")

    place.copy("r1")

    assert os.listxattr(place.data("r1") / "file") == ["user.small"]
    assert place.point("r1").lacks == {"attributes": 2}
    result, back = restored(place, "r1", disk("XFS"))
    assert result["notes"] == {}
    assert all(os.getxattr(back / name, "user.huge") == huge for name in ("file", "folder"))
    result, back = restored(place, "r1", disk("ext4"))
    assert result["notes"]["attributes"] == {
        "count": 2,
        "examples": [f"{name}: attribute user.huge is missing" for name in ("file", "folder")],
    }


@pytest.mark.parametrize("name", ["ext4 with small inodes", "fuse2fs"])
def test_a_change_within_the_second_of_the_last_one_is_copied(
    name: str, disk: Disks, tmp_path: Path
) -> None:
    """Its source has no finer times, and the size is the same: nothing else shows it."""
    place = place_on(disk("tmpfs"), disk(name) / "source")
    path = place.source / "file"
    while True:
        path.write_bytes(b"one")
        fd, new = os.open(place.source, DIRECTORY), os.open(tmp_path, DIRECTORY)
        try:
            copied = copy_file(b"file", fd, new, None, Pace(0), onto=False)
        finally:
            os.close(fd)
            os.close(new)
            (tmp_path / "file").unlink()
        path.write_bytes(b"two")
        now = stat_of(path.stat())
        if now.mtime == copied.stat.mtime:
            break  # else a second began in between
    assert now != copied.stat


def test_a_probe_that_was_killed_leaves_nothing(in_memory: Place) -> None:
    place = in_memory
    (place.source / "file").write_bytes(b"1")
    place.copy("r1")
    left = place.folder.trees / ".partial-.probe"
    left.mkdir()
    (left / "file").write_bytes(b"x")
    (place.source / "file").write_bytes(b"22")

    place.copy("r2")

    place.assert_settled()


def test_special_files_are_restored_in_place_too(in_memory: Place) -> None:
    """rsync leaves them alone: what is there as it was stays, whatever else is replaced."""
    place = in_memory
    furnish(place.source)
    place.copy("r1")
    before = look(place.source)
    inode = (place.source / "pipe").lstat().st_ino
    (place.source / "null").unlink()
    (place.source / "null").mkdir()
    (place.source / "null/file").write_bytes(b"in the way")
    (place.source / "socket").unlink()
    os.mkfifo(place.source / "extra")
    (place.source / "plain").unlink()
    os.mkfifo(place.source / "plain")
    os.chown(place.source / "pipe", 9, 9)
    safety = {"run": "before", "labels": {}, "annotations": {"backstay.dev/restore-request": "u"}}
    task = place.task(
        stamp=place.point("r1").stamp,
        target={"root": str(place.source.parent), "path": place.source.name},
        inPlace=True,
        safety=safety,
    )

    outcome = place.agent("restore", task)

    assert (outcome.code, outcome.result["notes"]) == (0, {}), outcome
    assert unlike(before, look(place.source)) == set()
    assert (place.source / "pipe").lstat().st_ino == inode


def test_a_target_hands_none_of_its_group_and_permissions_down(
    in_memory: Place, disk: Disks
) -> None:
    place = in_memory
    furnish(place.source)
    place.copy("r1")
    target = disk("XFS")
    os.chown(target, 0, 1000)
    target.chmod(0o2770)
    os.setxattr(target, "system.posix_acl_default", ACL)

    result, back = restored(place, "r1", target)

    assert (unlike(look(place.source), look(back)), result["notes"]) == (set(), {})


def test_parents_of_what_is_restored_aside_are_as_in_the_point_and_stay_in_place(
    in_memory: Place, disk: Disks
) -> None:
    place = in_memory
    furnish(place.source)
    (place.source / "deep").chmod(0o711)
    place.copy("r1")
    before = look(place.source)
    for path in (place.source / "deep", place.source):
        path.chmod(0o700)
        os.chown(path, 9, 9)
    (place.source / "deep/er/file").unlink()
    point = place.point("r1").stamp
    aside = {"root": str(disk("ext4")), "path": "back"}
    there = {"root": str(place.source.parent), "path": place.source.name}
    safety = {"run": "before", "labels": {}, "annotations": {"backstay.dev/restore-request": "u"}}

    for target, more in ((aside, {}), (there, {"inPlace": True, "safety": safety})):
        task = place.task(stamp=point, target=target, paths=["deep/er/file"], **more)
        outcome = place.agent("restore", task)
        assert outcome.code == 0, outcome

    back = look(Path(aside["root"], "back"))
    for name in (b".", b"deep", b"deep/er", b"deep/er/file"):
        for kind in ("owner", "mode", "time", "attributes"):
            assert back[kind][name] == before[kind][name]
    now = look(place.source)
    assert (now["mode"][b"deep"] & 0o7777, now["owner"][b"."]) == (0o700, (9, 9))
    assert now["time"][b"deep/er/file"] == before["time"][b"deep/er/file"]
