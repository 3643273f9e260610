"""What is in a directory is in its copy, and in what is restored from that."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import (
    Place,
    assert_equal_to_rsync,
    fill,
    fingerprint,
    link_groups,
)


def test_a_copy_and_a_restore_have_everything_that_the_source_has(
    place: Place, tmp_path: Path
) -> None:
    # Given one of everything
    fill(place.source)

    # When it is copied, copied again after a change, and restored
    place.copy("r1")
    (place.source / "deep/er/file").write_bytes(os.urandom(70_001))
    os.link(place.source / "one", place.source / "four")
    os.unlink(place.source / "deep/two")
    shutil.rmtree(place.source / "deep/er/and")
    os.setxattr(place.source / "plain", "user.colour", b"red")
    place.copy("r2")
    target = {"root": str(tmp_path), "path": "restored"}
    stamp = place.point("r2").stamp
    restored = place.agent("restore", place.task(stamp=stamp, target=target))

    # Then rsync finds nothing to do, anywhere
    assert restored.code == 0, restored
    assert_equal_to_rsync(place.source, place.data("r2"))
    assert_equal_to_rsync(place.source, tmp_path / "restored")
    assert (place.data("r2") / "sparse").stat().st_blocks < 1000
    place.assert_settled()


def test_a_destination_hands_none_of_its_group_and_permissions_down(
    place: Place, tmp_path: Path
) -> None:
    """As fsGroup makes it: with a group that what is made in it gets, or a default ACL."""
    os.chown(place.destination, 0, 1000)
    place.destination.chmod(0o2770)
    acl = "u:1111:rwx,g::rwx,o::---"
    subprocess.run(["setfacl", "-d", "-m", acl, place.destination], check=True)
    fill(place.source)

    place.copy("r1")
    (place.source / "deep/er/file").write_bytes(b"changed")
    (place.source / "deep/er/new").write_bytes(b"new")
    os.mkfifo(place.source / "deep/er/pipe", 0o644)
    subprocess.run(["setfacl", "-b", place.source / "deep/er/pipe"], check=True)
    (place.source / "deep/new").mkdir()
    (place.source / "deep/new/file").write_bytes(b"root's, in a directory with setgid")
    os.chown(place.source / "deep/new/file", 0, 0)
    place.copy("r2")
    target = {"root": str(tmp_path), "path": "restored"}
    stamp = place.point("r2").stamp
    restored = place.agent("restore", place.task(stamp=stamp, target=target))

    assert restored.code == 0, restored
    assert_equal_to_rsync(place.source, place.data("r2"))
    assert_equal_to_rsync(place.source, tmp_path / "restored")
    place.assert_settled()


def test_an_unchanged_source_makes_a_point_and_nothing_else(place: Place) -> None:
    fill(place.source)
    place.copy("r1")
    subprocess.run(["sync", "-f", place.destination], check=True)
    before = os.statvfs(place.destination)

    result = place.copy("r2")

    assert result["reason"] == "Unchanged"
    assert [point.tree for point in place.points()] == ["r1", "r1"]
    after = os.statvfs(place.destination)
    assert before.f_ffree - after.f_ffree <= 2  # the point and its symlink
    assert (before.f_bfree - after.f_bfree) * before.f_frsize <= 64 << 10
    place.assert_settled()


def test_what_did_not_change_is_not_stored_again(place: Place) -> None:
    fill(place.source)
    place.copy("r1")
    (place.source / "plain").write_bytes(b"changed")

    stats = place.copy("r2")["stats"]

    assert stats["copied"] == 1
    assert stats["copiedBytes"] == len(b"changed")
    assert_equal_to_rsync(place.source, place.data("r2"))
    assert (place.data("r1") / "plain").read_bytes() == b"plain"
    place.assert_settled()


def test_a_snapshot_is_written_to_only_where_something_changed(btrfs: Path, tmp_path: Path) -> None:
    """Each inode that is written again, with the same, costs a copy of the metadata around it."""
    place = place_on(btrfs, tmp_path / "source")
    for folder in ("a/b/changes", "a/b/stays", "a/beside"):
        (place.source / folder).mkdir(parents=True)
        (place.source / folder / "file").write_bytes(b"1")
    place.copy("r1")
    (place.source / "a/b/changes/file").write_bytes(b"22")

    place.copy("r2")

    def moved(name: str) -> bool:
        first, second = (place.data(run).joinpath(name).stat() for run in ("r1", "r2"))
        return first.st_ctime_ns != second.st_ctime_ns

    names = ["a/b/changes", "a/b/stays", "a/b/stays/file", "a/beside", "a"]
    assert [name for name in names if moved(name)] == ["a/b/changes"]
    assert_equal_to_rsync(place.source, place.data("r2"))
    place.assert_settled()


def test_content_that_changed_under_the_same_size_and_time_is_noticed(place: Place) -> None:
    path = place.source / "file"
    path.write_bytes(b"one")
    place.copy("r1")
    times = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    place.copy("r2")

    assert (place.data("r2") / "file").read_bytes() == b"two"
    assert (place.data("r1") / "file").read_bytes() == b"one"


def test_a_source_that_moved_to_another_disk_is_read_but_not_stored_again(
    place: Place, tmp_path: Path
) -> None:
    fill(place.source)
    place.copy("r1")
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-a", place.source, moved], check=True)
    shutil.rmtree(place.source)
    moved.rename(place.source)

    stats = place.copy("r2")["stats"]

    # Shared inodes and what has no content are recreated; every single file is linked.
    assert stats["copiedBytes"] <= len(b"linked")
    assert_equal_to_rsync(place.source, place.data("r2"))
    place.assert_settled()


def test_files_that_stop_being_links_of_each_other_do_so_in_the_copy(place: Place) -> None:
    (place.source / "a").write_bytes(b"same")
    os.link(place.source / "a", place.source / "b")
    place.copy("r1")
    shutil.copy2(place.source / "b", place.source / "c")
    (place.source / "c").rename(place.source / "b")

    place.copy("r2")

    assert link_groups(place.data("r1")) == {frozenset({b"a", b"b"})}
    assert link_groups(place.data("r2")) == set()
    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_new_mode_or_owner_does_not_reach_older_copies(place: Place) -> None:
    path = place.source / "file"
    path.write_bytes(b"x" * 100)
    place.copy("r1")
    before = fingerprint(place.data("r1"))
    path.chmod(0o600)
    os.chown(path, 5, 6)

    place.copy("r2")

    assert fingerprint(place.data("r1")) == before
    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_big_file_that_changed_a_little_costs_little_where_blocks_can_be_shared(
    place: Place,
) -> None:
    path = place.source / "data.db"
    path.write_bytes(os.urandom(24 << 20))
    place.copy("r1")
    before = fingerprint(place.data("r1"))
    with path.open("r+b") as file:
        for at in (0, 5 << 20, (24 << 20) - 8192):
            file.seek(at)
            file.write(os.urandom(8192))

    stats = place.copy("r2")["stats"]

    shares = "ext4" not in str(place.destination)
    assert stats["deltas"] == shares
    assert stats["copiedBytes"] == (3 * 8192 if shares else 24 << 20)
    assert fingerprint(place.data("r1")) == before
    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_hole_that_grew_stays_a_hole(place: Place) -> None:
    path = place.source / "disk.img"
    path.write_bytes(os.urandom(9 << 20))
    place.copy("r1")
    os.truncate(path, 100 << 20)

    place.copy("r2")

    assert (place.data("r2") / "disk.img").stat().st_blocks * 512 <= 10 << 20
    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_file_that_cannot_be_linked_once_more_is_copied_and_that_is_counted(
    on_ext4: Place,
) -> None:
    place = on_ext4
    (place.source / "file").write_bytes(b"much loved")
    (place.source / "other").write_bytes(b"other")
    place.copy("r1")
    fillers = place.destination / "fillers"
    fillers.mkdir()
    for number in range(64_999):
        os.link(place.data("r1") / "file", fillers / str(number))
    with pytest.raises(OSError, match="Too many links"):
        os.link(place.data("r1") / "file", fillers / "more")
    (place.source / "other").write_bytes(b"changed")

    stats = place.copy("r2")["stats"]

    assert stats["notLinked"] == 1
    assert_equal_to_rsync(place.source, place.data("r2"))
    assert (place.data("r2") / "file").stat().st_nlink == 1
    shutil.rmtree(fillers)


def test_an_immutable_older_copy_is_copied_and_its_space_is_left_for_later(
    on_ext4: Place,
) -> None:
    place = on_ext4
    (place.source / "file").write_bytes(b"x")
    (place.source / "other").write_bytes(b"other")
    place.copy("r1")
    subprocess.run(["chattr", "+i", place.data("r1") / "file"], check=True)
    (place.source / "other").write_bytes(b"changed")
    assert place.copy("r2")["stats"]["notLinked"] == 1

    pruned = place.agent("prune", place.task(points=[place.seen("r1")]))

    assert pruned.result["points"][0]["outcome"] == "done"
    (trash,) = place.folder.trees.glob(".trash-*")
    subprocess.run(["chattr", "-i", trash / "data/file"], check=True)
    place.copy("r3")
    place.assert_settled()
