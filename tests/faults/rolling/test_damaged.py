"""What an older tree lost, or has otherwise than it was recorded, is in no new one."""

from __future__ import annotations

import os

import pytest
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, fill, tree_differences


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
def test_a_tree_with_a_truncated_file_is_not_what_the_next_one_goes_on_from(
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


def test_a_hard_link_to_a_truncated_file_in_an_untouched_directory_is_noticed(place: Place) -> None:
    for name in ("a", "b"):
        (place.source / name).mkdir()
    (place.source / "a/file").write_bytes(b"x" * 100)
    os.link(place.source / "a/file", place.source / "b/file")
    place.copy("r1")
    os.truncate(place.data("r1") / "a/file", 0)
    # No inode of a file moves by this, so on btrfs `a` is in the snapshot as it was.
    (place.source / "b").rename(place.source / "c")

    place.copy("r2")

    assert_equal_to_rsync(place.source, place.data("r2"))
