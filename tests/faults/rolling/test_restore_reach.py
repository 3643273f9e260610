"""What a restore reaches: only what was chosen, only where there is room, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import (
    Place,
    assert_equal_to_rsync,
    disk,
    setfacl,
)
from tests.faults.rolling.restoring import REFUSED, aside, environment, looks_of, onto
from tests.support.waiting import eventually

MIB = 1 << 20


def _tree(place: Place) -> tuple[Path, Path, Path]:
    """A file two directories down, each of them with everything that a directory can have."""
    top, one, two = place.source, place.source / "a", place.source / "a/b"
    two.mkdir(parents=True)
    (two / "f").write_text("1")
    (one / "beside").write_text("1")
    for at, path in enumerate((top, one, two)):
        os.chown(path, 100 + at, 200 + at)
        path.chmod(0o750 + at)
        os.setxattr(path, "user.of", b"the point")
        setfacl("-dm", path)
        os.utime(path, ns=(1, 1_000_000_000 + at))
    return top, one, two


def _change(*paths: Path) -> None:
    for at, path in enumerate(paths):
        os.chown(path, 300 + at, 400 + at)
        os.setxattr(path, "user.of", b"now")
        os.setxattr(path, "user.more", b"now")
        setfacl("-b", path, acl=False)
        path.chmod(0o700 + at)
        os.utime(path, ns=(1, 2_000_000_000 + at))


@pytest.mark.parametrize("chosen", ["a/b/f", "a/b"])
def test_nothing_above_what_was_chosen_changes(on_ext4: Place, chosen: str) -> None:
    top, one, two = _tree(on_ext4)
    on_ext4.copy("r1")
    (two / "f").write_text("newer")
    (one / "beside").write_text("newer")
    above = (top, one, two) if chosen.endswith("f") else (top, one)
    _change(*above)
    before = looks_of(*above)

    outcome = onto(on_ext4, "r1", paths=[chosen])

    assert outcome.code == 0, outcome
    assert looks_of(*above) == before
    assert ((two / "f").read_text(), (one / "beside").read_text()) == ("1", "newer")


def test_a_directory_that_is_missing_above_a_chosen_path_is_as_in_the_point(on_ext4: Place) -> None:
    top, one, two = _tree(on_ext4)
    on_ext4.copy("r1")
    was = looks_of(two)
    (two / "f").unlink()
    two.rmdir()
    _change(top, one)
    before = looks_of(top, one)

    outcome = onto(on_ext4, "r1", paths=["a/b/f"])

    assert outcome.code == 0, outcome
    assert looks_of(two) == was
    assert looks_of(top, one) == before


def test_in_a_new_directory_what_is_above_a_chosen_path_is_as_in_the_point(
    on_ext4: Place, tmp_path: Path
) -> None:
    _tree(on_ext4)
    on_ext4.copy("r1")
    new = tmp_path / "x/y/new"

    outcome = aside(on_ext4, "r1", new, tmp_path, paths=["a/b/f"])

    assert outcome.code == 0, outcome
    data = on_ext4.data("r1")
    for name in ("", "a", "a/b"):
        assert [look[1:] for look in looks_of(new / name)] == [
            look[1:] for look in looks_of(data / name)
        ]


def test_no_symlink_on_the_way_is_replaced_or_followed(in_memory: Place) -> None:
    one = in_memory.source / "a"
    one.mkdir()
    (one / "f").write_text("1")
    in_memory.copy("r1")
    elsewhere = one.rename(in_memory.source / "elsewhere")
    one.symlink_to("elsewhere")
    (elsewhere / "f").write_text("newer")

    outcome = onto(in_memory, "r1", paths=["a/f"])

    assert (outcome.code, outcome.reason) == (REFUSED, "TargetIsSymlink")
    assert outcome.result["message"].startswith("spec.directory.paths: a is a symlink")
    assert one.is_symlink()
    assert (elsewhere / "f").read_text() == "newer"
    assert [point.run for point in in_memory.points()] == ["r1"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB with few inodes."""
    with disk(tmp_path, "ext4", "40M", "-N", "256") as mount:
        yield mount


def _write(path: Path, size: int) -> None:
    path.write_bytes(os.urandom(size))


def _source_on(mount: Path, memory: Path) -> Place:
    return place_on(memory, mount / "source")


def test_no_byte_is_written_where_there_is_no_room(in_memory: Place, small: Path) -> None:
    for number in range(60):
        _write(in_memory.source / f"f{number}", MIB)
    in_memory.copy("r1")
    before = os.statvfs(small).f_bavail

    outcome = aside(in_memory, "r1", small / "restored")

    assert (outcome.code, outcome.reason) == (REFUSED, "TooLittleRoom")
    assert "this restore needs up to 62918656" in outcome.result["message"]
    assert "add TooLittleRoom to spec.acknowledge" in outcome.result["message"]
    assert (os.listdir(small), os.statvfs(small).f_bavail) == (["lost+found"], before)
    assert aside(in_memory, "r1", small / "some", paths=["f1", "f2"]).code == 0


def test_inodes_are_room_too(in_memory: Place, small: Path) -> None:
    for number in range(300):
        (in_memory.source / f"f{number}").touch()
    in_memory.copy("r1")

    outcome = aside(in_memory, "r1", small / "restored")

    assert (outcome.code, outcome.reason) == (REFUSED, "TooLittleRoom")
    assert "inodes are free" in outcome.result["message"]


def test_holes_take_no_room_and_files_of_several_names_take_it_once(
    in_memory: Place, small: Path
) -> None:
    with (in_memory.source / "sparse").open("wb") as file:
        file.truncate(200 * MIB)
    _write(in_memory.source / "big", 15 * MIB)
    for number in range(5):
        os.link(in_memory.source / "big", in_memory.source / f"link{number}")
    in_memory.copy("r1")

    outcome = aside(in_memory, "r1", small / "restored")

    assert outcome.code == 0, outcome
    assert_equal_to_rsync(in_memory.data("r1"), small / "restored")


def test_a_disk_that_is_nearly_full_of_the_same_files_has_room_for_them(
    small: Path, memory: Path
) -> None:
    place = _source_on(small, memory)
    for number in range(8):
        _write(place.source / f"f{number}", 3 * MIB)
    place.copy("r1")
    _write(place.source / "f1", 3 * MIB)

    outcome = onto(place, "r1")

    assert outcome.code == 0, outcome
    assert_equal_to_rsync(place.data("r1"), place.source)


def test_what_fills_the_disk_and_is_not_in_the_point_goes_first(small: Path, memory: Path) -> None:
    place = _source_on(small, memory)
    _write(place.source / "data", 15 * MIB)
    place.copy("r1")
    (place.source / "data").unlink()
    (place.source / "logs").mkdir()
    _write(place.source / "logs/runaway", 28 * MIB)

    outcome = onto(place, "r1")

    assert outcome.code == 0, outcome
    assert_equal_to_rsync(place.data("r1"), place.source)
    assert (place.data("before") / "logs/runaway").stat().st_size == 28 * MIB


def test_a_restore_that_fills_the_disk_all_the_same_leaves_nothing(
    in_memory: Place, small: Path
) -> None:
    _write(in_memory.source / "f", 60 * MIB)
    in_memory.copy("r1")
    before = os.statvfs(small).f_bavail
    target = small / "x/y/restored"

    outcome = aside(in_memory, "r1", target, small, acknowledge=["TooLittleRoom"])

    assert outcome.code == 1, outcome
    assert "No space left on device" in outcome.result["message"]
    assert (os.listdir(small), os.statvfs(small).f_bavail) == (["lost+found"], before)


def test_a_disk_that_fills_in_place_says_what_is_there_and_how_to_go_back(
    small: Path, memory: Path
) -> None:
    place = _source_on(small, memory)
    (place.source / "a").write_text("1")
    with (place.source / "hole").open("wb") as file:
        file.truncate(50 * MIB)
        file.seek(0)
        file.write(os.urandom(30 * MIB))
    place.copy("r1")
    (place.source / "hole").unlink()
    (place.source / "a").write_text("newer")
    _write(small / "somebody's", 20 * MIB)

    assert onto(place, "r1").reason == "TooLittleRoom"
    outcome = onto(place, "r1", acknowledge=["TooLittleRoom"])

    assert outcome.code == 1, outcome
    stamp = place.point("before").stamp
    assert outcome.result["safety"]["stamp"] == stamp
    message = outcome.result["message"]
    assert "No space left on device" in message
    assert "only a part of the point now" in message
    assert f"point {stamp} (spec.from.backup: before-it)" in message
    back = onto(place, "before", safety={"run": "again", "labels": {}})
    assert back.code == 0, back
    assert (place.source / "a").read_text() == "newer"


def _until(path: Path) -> None:
    eventually(path.exists, f"{path} to be there")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_left_of_a_restore_that_was_ended_goes(
    in_memory: Place, memory: Path, how: signal.Signals
) -> None:
    (in_memory.source / "d").mkdir()
    _write(in_memory.source / "d/f", 30 * MIB)
    in_memory.copy("r1")
    target = {"root": str(memory), "path": "new"}
    stamp = in_memory.point("r1").stamp
    task = in_memory.task(stamp=stamp, target=target, limits={"bandwidth": 1 << 20})
    command = [sys.executable, "-m", "backstay.agent", "restore"]
    partial = memory / ".backstay-partial-new"
    with subprocess.Popen(command, env=environment(task), stdout=subprocess.PIPE) as process:
        _until(partial / "d")
        process.send_signal(how)
        process.wait()
    assert process.returncode == (75 if how is signal.SIGTERM else -how)
    assert partial.exists() is (how is signal.SIGKILL)

    discarded = in_memory.agent("discard", {"target": target})

    assert (discarded.code, discarded.reason) == (0, "Discarded")
    assert not partial.exists()
    assert aside(in_memory, "r1", memory / "new").code == 0


def test_what_is_left_is_removed_however_deep_it_is_and_never_through_a_symlink(
    in_memory: Place, memory: Path
) -> None:
    left = memory / ".backstay-partial-new"
    left.mkdir()
    outside = memory / "outside"
    outside.mkdir()
    (outside / "f").write_text("f")
    (left / "link").symlink_to(outside)
    here = os.getcwd()
    os.chdir(left)
    for _ in range(1500):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)
    os.chdir(here)

    outcome = in_memory.agent("discard", {"target": {"root": str(memory), "path": "new"}})

    assert outcome.code == 0, outcome
    assert not left.exists()
    assert (outside / "f").read_text() == "f"
    whole = in_memory.agent("discard", {"target": {"root": str(memory), "path": ""}})
    assert whole.code == 0, whole


def test_a_word_that_the_agent_does_not_know_is_no_task(in_memory: Place, memory: Path) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    outcome = aside(in_memory, "r1", memory / "new", acknowledge=["Everything"])
    assert (outcome.code, outcome.reason) == (2, "BadTask")
    assert (
        "'Everything' is none of MountsInside, NoMarker, NoSafetyCopy" in outcome.result["message"]
    )


@pytest.mark.parametrize("paths", [[], ["d/a"]])
def test_only_what_is_restored_already_may_be_there(
    in_memory: Place, memory: Path, paths: list[str]
) -> None:
    """A try may have been killed when it had done everything but say so."""
    (in_memory.source / "d").mkdir()
    (in_memory.source / "d/a").write_text("a")
    in_memory.copy("r1")
    assert aside(in_memory, "r1", memory / "new", paths=paths).code == 0

    again = aside(in_memory, "r1", memory / "new", paths=paths)
    assert again.code == 0, again
    assert "it was there already" in again.result["message"]

    (memory / "new/d/a").write_text("b")
    refused = aside(in_memory, "r1", memory / "new", paths=paths)
    assert (refused.code, refused.reason) == (REFUSED, "TargetNotEmpty")
    assert (memory / "new/d/a").read_text() == "b"


def test_a_name_as_long_as_a_name_can_be_is_restored_to(in_memory: Place, memory: Path) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    assert aside(in_memory, "r1", memory / ("n" * 255)).code == 0
