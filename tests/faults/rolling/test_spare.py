"""A pruned tree becomes the next one: as if that had been made whole, whatever happened to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import (
    Place,
    assert_equal_to_rsync,
    fingerprint,
    setfacl,
    spare_of,
    tree_differences,
    without_spare,
)


@pytest.fixture(params=["ext4", "xfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place where trees are made of links."""
    return place_on(request.getfixturevalue(request.param), tmp_path / "source")


def fill(top: Path) -> None:
    """A directory that will not change, with what it hands down, and others that will."""
    for folder in ("calm/deep", "calm/plain", "busy/gone", "busy/file", "new/ly", "stay/one/two"):
        (top / folder).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            (top / folder / f"f{number}").write_bytes(f"{folder}{number}".encode() * 50)
    os.chown(top / "calm/deep", 0, 1000)
    (top / "calm/deep").chmod(0o2750)
    for folder in ("calm/deep", "busy"):
        setfacl("-dm", top / folder)
    os.setxattr(top / "calm", "user.colour", b"red")
    os.link(top / "calm/deep/f0", top / "calm/linked")
    os.link(top / "calm/deep/f0", top / "busy/linked")
    os.symlink("calm", top / "busy/link")
    os.mkfifo(top / "calm/pipe")


def change(top: Path) -> None:
    """Afterwards there is a new directory, and one less, and what was one is a file."""
    (top / "busy/f").write_bytes(b"new")
    setfacl("-b", top / "busy/f", acl=False)
    (top / "busy/sub").mkdir()
    (top / "busy/sub/f").write_bytes(b"handed down")
    shutil.rmtree(top / "busy/gone")
    shutil.rmtree(top / "busy/file")
    (top / "busy/file").write_bytes(b"a file now")
    (top / "calm/plain/f1").write_bytes(b"changed")
    (top / "stay/one/two/f1").write_bytes(b"changed, in a directory that has its time still")


def leave_a_spare(place: Place) -> Path:
    """Have trees r1 and r2, of which r1 is pruned; return the spare."""
    fill(place.source)
    place.copy("r1")
    (place.source / "calm/plain/f0").write_bytes(b"of the second day")
    (place.source / "second").mkdir()
    place.copy("r2")
    prune(place, "r1")
    return spare_of(place)


def prune(place: Place, *runs: str) -> None:
    done = place.agent("prune", place.task(points=[place.seen(run) for run in runs]))
    assert [point["outcome"] for point in done.result["points"]] == ["done"] * len(runs)


def inode(path: Path) -> int:
    return path.lstat().st_ino


def test_a_pruned_tree_keeps_what_the_newest_has_and_gives_back_the_rest(place: Place) -> None:
    spare = leave_a_spare(place)

    assert spare.name == ".spare-r2"
    assert not (spare / "data/calm/plain/f0").exists()
    assert inode(spare / "data/calm/plain/f1") == inode(place.data("r2") / "calm/plain/f1")
    place.assert_settled()


def test_the_next_tree_is_made_of_the_pruned_one_and_equals_a_new_one(
    place: Place, tmp_path: Path
) -> None:
    spare = leave_a_spare(place)
    directories = {name: inode(spare / "data" / name) for name in (".", "calm/deep", "busy")}
    change(place.source)
    fresh = without_spare(place, place.destination.with_name(tmp_path.name))
    before = fingerprint(place.data("r2"))

    stats = place.copy("r3")["stats"]

    assert {name: inode(place.data("r3") / name) for name in directories} == directories
    assert stats == fresh
    assert_equal_to_rsync(place.source, place.data("r3"))
    assert fingerprint(place.data("r2")) == before
    assert inode(place.data("r3") / "calm/pipe") == inode(place.data("r2") / "calm/pipe")
    assert not list(place.folder.trees.glob(".*"))
    place.assert_settled()


def test_an_unchanged_source_leaves_the_spare_for_the_next_run(place: Place) -> None:
    leave_a_spare(place)
    assert place.copy("r3")["reason"] == "Unchanged"
    change(place.source)
    directory = inode(spare_of(place) / "data")

    place.copy("r4")

    assert inode(place.data("r4")) == directory
    assert_equal_to_rsync(place.source, place.data("r4"))


def test_one_is_enough(place: Place) -> None:
    fill(place.source)
    for number in range(1, 6):
        (place.source / "busy/f").write_text(str(number))
        place.copy(f"r{number}")
    prune(place, "r1", "r2")
    directory = inode(spare_of(place))

    prune(place, "r3")

    assert spare_of(place).name == ".spare-r5"
    assert inode(spare_of(place)) == directory
    place.assert_settled()


def test_a_spare_goes_when_its_tree_is_not_the_newest_any_more(place: Place) -> None:
    spare = leave_a_spare(place)
    (place.folder.points / f"{place.point('r2').stamp}.json").unlink()
    shutil.rmtree(place.folder.trees / "r2")

    change(place.source)
    place.copy("r3")

    assert not spare.exists()
    assert_equal_to_rsync(place.source, place.data("r3"))
    place.assert_settled()


def test_a_tree_that_shares_nothing_with_the_newest_gives_back_everything(place: Place) -> None:
    fill(place.source)
    place.copy("r1")
    (place.source / "busy/f").write_bytes(b"2")
    place.copy("r2")
    for part in (place.folder.trees / "r2/manifest").iterdir():
        part.write_bytes(b"")  # without one, the copy goes on from r1
    (place.source / "busy/f").write_bytes(b"3")
    assert place.copy("r3")["stats"]["linked"] < 5  # hard links of the source

    prune(place, "r1")

    assert {path.name for path in place.folder.trees.iterdir()} == {"r2", "r3"}


def test_a_symlink_that_became_a_directory_leads_nowhere(place: Place, tmp_path: Path) -> None:
    """With more below it than one process takes."""
    victim = tmp_path / "victim"
    for number in range(200):
        (victim / str(number)).mkdir(parents=True)
        (victim / str(number) / "f").write_bytes(b"somebody else's")
    (place.source / "x").symlink_to(victim)
    spare = leave_a_spare(place)
    assert os.readlink(spare / "data/x") == str(victim)
    directory = inode(spare / "data")
    (place.source / "x").unlink()
    shutil.copytree(victim, place.source / "x")
    before = fingerprint(victim)

    place.copy("r3")

    assert fingerprint(victim) == before
    assert inode(place.data("r3")) == directory
    assert_equal_to_rsync(place.source, place.data("r3"))


def test_btrfs_has_snapshots_and_needs_no_spare(btrfs: Path, tmp_path: Path) -> None:
    place = place_on(btrfs, tmp_path / "source")
    fill(place.source)
    place.copy("r1")
    change(place.source)
    place.copy("r2")

    prune(place, "r1")

    assert [path.name for path in place.folder.trees.iterdir()] == ["r2"]


def test_directories_that_a_pruned_tree_left_need_no_room(on_ext4: Place) -> None:
    place = on_ext4
    for number in range(30):
        (place.source / str(number)).mkdir()
    place.copy("r1")
    (place.source / "f").write_bytes(b"1")
    place.copy("r2")
    (place.source / "f").write_bytes(b"2")

    def some_left(run: str) -> dict[str, Any]:
        free = os.statvfs(place.destination).f_favail
        return place.copy_task(run, keepFree={"inodes": free - 10})

    assert place.agent("copy", some_left("r3")).reason == "TooFewInodes"
    prune(place, "r1")
    assert place.agent("copy", some_left("r3")).code == 0


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a file is gone": lambda data: (data / "calm/deep/f1").unlink(),
    "a directory is gone": lambda data: shutil.rmtree(data / "calm/deep"),
    "all is gone": shutil.rmtree,
    "another file is there": lambda data: _replaced(data / "calm/deep/f1"),
    "a file more is there": lambda data: (data / "calm/deep/more").write_bytes(b"foreign"),
    "a directory more is there": lambda data: shutil.copytree(data / "new", data / "calm/new"),
    "a directory is a file": lambda data: _made_a_file(data / "calm/deep"),
    "a directory that changes is a file": lambda data: _made_a_file(data / "busy"),
    "a file is a directory": lambda data: _made_a_directory(data / "calm/deep/f1"),
    "a directory is a symlink": lambda data: _made_a_symlink(data / "calm/deep"),
    "a directory on the way leads to the newest tree": lambda data: _led(data, "stay/one", "r2"),
    "a directory leads to the newest tree": lambda data: _led(data, "calm/plain", "r2"),
    "a file is a symlink": lambda data: _made_a_symlink(data / "calm/deep/f1"),
    "a directory has an ACL": lambda data: setfacl("-m", data / "new/ly"),
    "a directory hands an ACL down": lambda data: setfacl("-dm", data / "new/ly"),
    "a directory lost its ACL": lambda data: setfacl("-k", data / "busy", acl=False),
    "a directory hands its group down": lambda data: _given_away(data / "new/ly"),
    "a directory has an attribute": lambda data: os.setxattr(data / "new/ly", "user.k", b"v"),
    "a directory has another mode": lambda data: (data / "new/ly").chmod(0o777),
    "a directory has another time": lambda data: os.utime(data / "new/ly", (1, 1)),
    "a directory cannot be changed": lambda data: _immutable(data / "busy"),
    "the manifest is gone": lambda data: shutil.rmtree(data.with_name("manifest")),
    "the manifest is truncated": lambda data: _truncate(data.with_name("manifest") / "0000"),
    "there is something else": lambda data: data.with_name("else").mkdir(),
}


def _replaced(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[::-1])


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()  # other trees have it as well
    path.write_bytes(content[:30])


def _made_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"foreign")


def _made_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "foreign").write_bytes(b"foreign")


def _made_a_symlink(path: Path) -> None:
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


def _led(data: Path, name: str, tree: str) -> None:
    shutil.rmtree(data / name)
    (data / name).symlink_to(data.parents[1] / tree / "data" / name)


def _given_away(path: Path) -> None:
    os.chown(path, 5, 1000)
    path.chmod(0o2777)


def _immutable(path: Path) -> None:
    subprocess.run(["chattr", "+i", path], check=True)


@pytest.fixture
def mutable(place: Place) -> Iterator[None]:
    yield
    subprocess.run(["chattr", "-R", "-f", "-i", place.destination], check=False)


@pytest.mark.usefixtures("mutable")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_spare_makes_no_difference(place: Place, tmp_path: Path, damage: str) -> None:
    spare = leave_a_spare(place)
    change(place.source)
    fresh = without_spare(place, place.destination.with_name(tmp_path.name))
    DAMAGES[damage](spare / "data")
    before = fingerprint(place.data("r2"))

    stats = place.copy("r3")["stats"]

    assert stats == fresh
    assert_equal_to_rsync(place.source, place.data("r3"))
    assert tree_differences(place.folder.trees / "r3") == []
    assert fingerprint(place.data("r2")) == before


def test_what_must_be_copied_into_a_reused_directory_inherits_nothing(place: Place) -> None:
    """The older tree has lost files, and the directory has its ACL and its group already."""
    pair = place.source / "calm/pair"
    pair.mkdir(parents=True)
    (pair / "one").write_bytes(b"x")
    os.link(pair / "one", pair / "two")
    setfacl("-dm", pair)
    spare = leave_a_spare(place)
    directory = inode(spare / "data/calm/deep")
    for name in ("deep/f1", "pair/one", "pair/two"):
        (place.data("r2") / "calm" / name).unlink()
        (spare / "data/calm" / name).unlink(missing_ok=True)
    change(place.source)
    fresh = without_spare(place, place.destination.with_name("fresh"))

    stats = place.copy("r3")["stats"]

    assert stats == fresh
    assert inode(place.data("r3") / "calm/deep") == directory
    assert_equal_to_rsync(place.source, place.data("r3"))
    assert tree_differences(place.folder.trees / "r3") == []
