"""Which directory a source is, on real file systems."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.rolling.harness import Place

from backstay.agent.fs.identity import identity_of


def identity(path: Path) -> tuple[str, ...]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return identity_of(fd)
    finally:
        os.close(fd)


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield at
    finally:
        # A container that starts just now has the mount too, and umount then writes nothing.
        subprocess.run(["sync", "--file-system", at], check=True)
        subprocess.run(["umount", at], check=True)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_directory_is_known_again_after_other_mounts_and_another_disk_is_not_taken_for_it(
    tmp_path: Path, kind: str
) -> None:
    images = [tmp_path / name for name in ("one.img", "other.img")]
    at, elsewhere = tmp_path / "at", tmp_path / "elsewhere"
    at.mkdir()
    elsewhere.mkdir()
    for image in images:
        subprocess.run(["truncate", "-s", "320M", image], check=True)
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    with mounted(images[0], at):
        (at / "sub").mkdir()
        first = identity(at), identity(at / "sub")
        with mounted(images[1], elsewhere):  # takes the next device number
            other = identity(elsewhere)
    with mounted(images[1], at):
        assert identity(at) == other
        with mounted(images[0], elsewhere):
            assert (identity(elsewhere), identity(elsewhere / "sub")) == first

    assert all(len(words) == 1 for words in (*first, other))
    assert len({*first, other}) == 3


def test_a_directory_that_is_recreated_is_another_one_and_a_renamed_one_is_not(
    ext4: Path,
) -> None:
    path = ext4 / "recreated"
    path.mkdir()
    before = identity(path)
    path.rename(ext4 / "renamed")
    assert identity(ext4 / "renamed") == before
    (ext4 / "renamed").rmdir()
    path.mkdir()
    assert os.stat(path).st_ino > 0
    assert identity(path) != before


def test_nothing_is_said_where_nothing_lasts() -> None:
    assert identity(Path("/proc/self")) == ()


def test_a_point_says_which_directory_it_is_of_and_a_claims_what_the_operator_says(
    in_memory: Place,
) -> None:
    (in_memory.source / "a").write_text("1")
    in_memory.copy("r1")
    source = {"root": str(in_memory.source.parent), "path": in_memory.source.name}
    in_memory.copy("r2", source={**source, "identity": ["claim:uid-1", "volume:pv-1"]})

    assert in_memory.point("r1").source == identity(in_memory.source)
    assert in_memory.point("r2").source == ("claim:uid-1", "volume:pv-1")


def test_files_of_another_disk_are_compared_though_inodes_and_times_are_the_same(
    tmp_path: Path, in_memory: Place
) -> None:
    """As images that are made with fixed times, or cloned, have them."""
    images = [tmp_path / name for name in ("one.img", "other.img")]
    at = tmp_path / "at"
    at.mkdir()
    subprocess.run(["truncate", "-s", "64M", images[0]], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^metadata_csum", images[0]], check=True)
    place = replace(in_memory, source=at / "data")
    with mounted(images[0], at):
        (at / "data").mkdir()
        (at / "data/same").write_text("x" * 4096)
        (at / "data/other").write_text("first " * 1000)
        (at / "data/link").symlink_to("same")
        place.copy("r1")
    images[1].write_bytes(images[0].read_bytes().replace(b"first " * 500, b"second" * 500))
    subprocess.run(["e2fsck", "-fp", images[1]], check=False, capture_output=True)
    subprocess.run(["tune2fs", "-U", "random", images[1]], check=True, capture_output=True)
    with mounted(images[1], at):
        place.copy("r2")
        stats = place.copy("r3")

    assert place.data("r2").joinpath("other").read_text() == "second" * 1000
    assert os.path.samefile(place.data("r1") / "same", place.data("r2") / "same")
    assert place.point("r1").source != place.point("r2").source
    assert stats["reason"] == "Unchanged"


def test_a_source_that_has_shrunk_says_whether_it_is_another_one(in_memory: Place) -> None:
    for name in "abcdef":
        (in_memory.source / name).write_text(name)
    in_memory.copy("r1")
    in_memory.source.rename(in_memory.source.with_name("away"))
    in_memory.source.mkdir()
    (in_memory.source / "a").write_text("a")

    outcome = in_memory.agent("copy", in_memory.copy_task("r2"))

    assert (outcome.code, outcome.reason) == (3, "SourceShrunk")
    assert "another disk or directory" in outcome.result["message"]
