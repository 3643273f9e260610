"""What is in a directory is in its copy, and in what is restored from that."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import (
    Place,
    assert_equal_to_rsync,
    fingerprint,
    link_groups,
    tree_differences,
)


def fill(top: Path) -> None:
    """Put one of everything into a directory."""
    (top / "plain").write_bytes(b"plain")
    (top / "empty").touch()
    (top / "deep/er/and/deeper").mkdir(parents=True)
    (top / "deep/er/file").write_bytes(os.urandom(70_000))
    (top / "large").write_bytes(os.urandom(3 << 20))
    for name in ("one", "deep/two", "deep/er/three"):
        if name == "one":
            (top / name).write_bytes(b"linked")
        else:
            os.link(top / "one", top / name)
    os.symlink("plain", top / "link")
    os.link(top / "link", top / "link-too", follow_symlinks=False)
    os.symlink("/etc/shadow", top / "absolute")
    os.symlink("../../../outside", top / "deep/escape")
    os.mkfifo(top / "pipe", 0o640)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 0))
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(top)  # a socket's address is short
        server.bind("socket")
        os.chdir(here)
    with (top / "sparse").open("wb") as file:
        file.truncate(20 << 20)
        file.seek(9 << 20)
        file.write(b"island")
    for raw in (b"new\nline", b"not-utf-8-\xff\xfe", b"#tab\tand space ", b"-dash", b"quote'\"\\"):
        path = os.path.join(os.fsencode(top), raw)
        with open(path, "wb") as file:
            file.write(raw)
    os.mkdir(os.path.join(os.fsencode(top), b"dir-\xff\n"))
    (top / "owned").write_bytes(b"owned")
    os.chown(top / "owned", 1234, 5678)
    os.chmod(top / "owned", 0o4751)  # noqa: S103 - kept as it is
    for mode in (0o000, 0o400, 0o640, 0o666, 0o777, 0o1644, 0o2755, 0o4711):
        for owner in (0, 1234):
            moded = top / f"mode-{mode:o}-of-{owner}"
            moded.write_bytes(b"mode")
            os.chown(moded, owner, owner)
            moded.chmod(mode)
    os.chown(top / "deep", 4321, 8765)
    os.chmod(top / "deep", 0o2775)  # noqa: S103
    os.chown(top / "link", 77, 88, follow_symlinks=False)
    os.setxattr(top / "plain", "user.colour", b"blue\0and\xff")
    os.setxattr(top / "deep", "user.kind", b"folder")
    subprocess.run(["setfacl", "-m", "u:1111:rw,g:2222:r", top / "large"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:1111:rwx", top / "deep/er"], check=True)
    (top / "ping").write_bytes(b"\x7fELF")
    subprocess.run(["setcap", "cap_net_raw+ep", top / "ping"], check=True)
    os.utime(top / "plain", ns=(1, 1_234_567_890_123_456_789))
    os.utime(top / "deep/er", ns=(1, 987_654_321_000_000_001))
    os.utime(top / "link", ns=(1, 5), follow_symlinks=False)


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

    # Shared inodes and what has no content are made anew; every single file is linked.
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


def test_a_manifest_that_is_damaged_costs_a_full_copy_and_no_older_one(place: Place) -> None:
    fill(place.source)
    place.copy("r1")
    part = place.folder.manifest("r1") / "0000"
    part.write_bytes(part.read_bytes()[:-20])
    (place.source / "deep/er/new").write_bytes(b"new")

    result = place.copy("r2")

    assert result["reason"] == "Copied"
    assert_equal_to_rsync(place.source, place.data("r2"))
    assert tree_differences(place.folder.trees / "r2") == []


def test_a_tree_that_lost_a_file_is_not_what_the_next_one_goes_on_from(place: Place) -> None:
    fill(place.source)
    place.copy("r1")
    os.unlink(place.data("r1") / "deep/er/file")
    (place.source / "deep/er/new").write_bytes(b"new")

    place.copy("r2")

    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_file_that_was_touched_is_not_left_out_because_the_older_tree_lost_it(
    place: Place,
) -> None:
    (place.source / "file").write_bytes(b"file")
    (place.source / "other").write_bytes(b"other")
    place.copy("r1")
    os.unlink(place.data("r1") / "file")
    (place.source / "file").chmod(0o600)
    (place.source / "file").chmod(0o644)

    result = place.copy("r2")

    assert "notes" not in result or not result["notes"]
    assert_equal_to_rsync(place.source, place.data("r2"))


@pytest.mark.parametrize("where", ["file", "sub/file"])
def test_a_tree_with_a_file_cut_short_is_not_what_the_next_one_goes_on_from(
    on_ext4: Place, where: str
) -> None:
    place = on_ext4
    (place.source / "sub").mkdir()
    (place.source / where).write_bytes(b"x" * 100)
    (place.source / "other").write_bytes(b"other")
    place.copy("r1")
    os.truncate(place.data("r1") / where, 0)
    (place.source / "other").write_bytes(b"changed")

    place.copy("r2")

    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_tree_with_another_kind_of_thing_is_not_what_the_next_one_goes_on_from(
    place: Place,
) -> None:
    (place.source / "link").symlink_to("other")
    (place.source / "other").write_bytes(b"other")
    place.copy("r1")
    os.unlink(place.data("r1") / "link")
    os.mkfifo(place.data("r1") / "link")
    (place.source / "other").write_bytes(b"changed")

    place.copy("r2")

    assert_equal_to_rsync(place.source, place.data("r2"))
