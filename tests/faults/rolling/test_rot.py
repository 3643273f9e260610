"""What is known not to be as it was copied is not linked on, is reported, and not restored
unasked."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling import injecting
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, tree_differences
from tests.faults.rolling.test_upkeep import rot

from backstay.agent.destination.rot import MOST, NONE, Key, Rot, read_rot, remember
from backstay.agent.tasks import Where

DAYS = {"days": 1}


@pytest.fixture
def filled(place: Place) -> Place:
    """A source with what a rotten file may be beside: other files, links, an untouched folder."""
    for name in ("a", "sub/file", "sub/other", "deep/er/file"):
        path = place.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    os.link(place.source / "sub/file", place.source / "deep/er/linked")
    (place.source / "big").write_bytes(os.urandom(9 << 20))
    place.copy("r1")
    return place


def scrub(place: Place) -> int:
    return place.agent("scrub", place.task(**DAYS)).code


def rotten_points(place: Place) -> dict[str, int]:
    listed = [json.loads(line) for line in place.agent("list", place.task()).lines]
    return {one["run"]: one.get("rotten", 0) for one in listed}


@pytest.mark.parametrize("name", ["a", "sub/file", "deep/er/file", "big"])
def test_what_a_scrub_found_is_recreated_from_the_source(filled: Place, name: str) -> None:
    rot(filled.data("r1") / name)
    assert scrub(filled) == 1
    (filled.source / "b").write_text("another change")

    result = filled.copy("r2")

    names = {name, "deep/er/linked"} if name == "sub/file" else {name}
    assert set(result["notes"]["renewed"]["examples"]) == names
    assert_equal_to_rsync(filled.source, filled.data("r2"))
    assert tree_differences(filled.folder.trees / "r2") == []
    assert rotten_points(filled)["r2"] == 0
    assert rotten_points(filled)["r1"] >= 1


def test_an_unchanged_source_makes_no_point_on_a_tree_that_is_known_to_be_rotten(
    filled: Place,
) -> None:
    rot(filled.data("r1") / "sub/other")
    scrub(filled)

    assert filled.copy("r2")["reason"] == "Copied"

    assert filled.point("r2").tree == "r2"
    assert_equal_to_rsync(filled.source, filled.data("r2"))
    assert filled.copy("r3")["reason"] == "Unchanged"


def test_what_somebody_wrote_into_a_copy_is_not_linked_on(filled: Place) -> None:
    (filled.data("r1") / "sub/other").write_bytes(b"overwritten")
    assert scrub(filled) == 1
    filled.copy("r2")
    assert_equal_to_rsync(filled.source, filled.data("r2"))


def test_a_verification_with_all_content_is_remembered_as_well(filled: Place) -> None:
    rot(filled.data("r1") / "sub/other")
    task = filled.task(stamp=filled.point("r1").stamp, hash=True)
    assert filled.agent("verify-tree", task).reason == "Different"

    assert rotten_points(filled) == {"r1": 1}
    assert "renewed" in filled.copy("r2")["notes"]


def test_every_point_that_has_the_file_is_reported_and_those_before_it_changed_are_not(
    filled: Place,
) -> None:
    (filled.source / "a").write_bytes(b"newer")
    filled.copy("r2")
    (filled.source / "b").write_bytes(b"b")
    filled.copy("r3")
    rot(filled.data("r3") / "a")
    scrub(filled)
    filled.copy("r4")
    assert rotten_points(filled) == {"r1": 0, "r2": 1, "r3": 1, "r4": 0}


def test_a_pruned_tree_of_links_hands_nothing_rotten_down(filled: Place) -> None:
    (filled.source / "b").write_bytes(b"b")
    filled.copy("r2")
    filled.agent("prune", filled.task(points=[filled.seen("r1")]))
    rot(filled.data("r2") / "sub/other")
    scrub(filled)

    filled.copy("r3")

    assert_equal_to_rsync(filled.source, filled.data("r3"))
    filled.agent("prune", filled.task(points=[filled.seen("r2")]))
    assert rotten_points(filled) == {"r3": 0}
    assert scrub(filled) == 0
    assert read_rot(filled.folder) == NONE


def test_a_restore_says_what_is_rotten_before_it_touches_anything(
    filled: Place, tmp_path: Path
) -> None:
    rot(filled.data("r1") / "sub/other")
    scrub(filled)
    (tmp_path / "out").mkdir()
    target = {"root": str(tmp_path / "out"), "path": "back"}
    task = filled.task(stamp=filled.point("r1").stamp, target=target)

    refused = filled.agent("restore", task)

    assert (refused.code, refused.reason) == (3, "PointRotten")
    assert "sub/other" in refused.result["message"]
    assert os.listdir(tmp_path / "out") == []
    assert filled.agent("restore", {**task, "paths": ["sub"]}).reason == "PointRotten"
    assert filled.agent("restore", {**task, "paths": ["sub/file", "deep"]}).code == 0


def test_a_file_that_cannot_be_recreated_is_not_linked_for_that(in_memory: Place) -> None:
    place = in_memory
    (place.source / "gone").write_bytes(b"gone")
    (place.source / "stays").write_bytes(b"stays")
    place.copy("r1")
    rot(place.data("r1") / "gone")
    scrub(place)
    (place.source / "gone").unlink()

    result = place.copy("r2")

    assert "renewed" not in result["notes"]
    assert os.listdir(place.data("r2")) == ["stays"]


def test_what_reads_right_again_is_forgotten(in_memory: Place) -> None:
    place = in_memory
    (place.source / "file").write_bytes(b"file")
    place.copy("r1")
    path = place.data("r1") / "file"
    was = path.stat()
    rot(path)
    scrub(place)
    assert rotten_points(place) == {"r1": 1}
    path.write_bytes(b"file")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    assert scrub(place) == 0

    assert rotten_points(place) == {"r1": 0}


def test_another_file_that_gets_the_number_of_a_rotten_one_is_none(in_memory: Place) -> None:
    place = in_memory
    for name in ("file", "other"):
        (place.source / name).write_bytes(name.encode())
    place.copy("r1")
    where = Where(str(place.destination), "", 5, same_file_system=True)
    inode = (place.data("r1") / "file").stat().st_ino
    remember(where, place.folder, [Key(inode, bytes(32))])
    assert place.copy("r2")["reason"] == "Unchanged"


def test_of_a_disk_that_lost_more_than_is_remembered_nothing_is_linked_on(
    in_memory: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = in_memory
    for number in range(6):
        (place.source / f"f{number}").write_bytes(bytes([number]) * 10)
    place.copy("r1")
    for number in range(6):
        rot(place.data("r1") / f"f{number}")
    scrub(place)
    known = read_rot(place.folder)
    monkeypatch.setattr("backstay.agent.destination.rot.MOST", 2)
    assert MOST > len(known.trees) == 6
    where = Where(str(place.destination), "", 5, same_file_system=True)
    remember(where, place.folder, known.trees)
    assert read_rot(place.folder).more == {"r1"}

    result = place.copy("r2")

    assert result["stats"]["linked"] == 0
    assert_equal_to_rsync(place.source, place.data("r2"))
    assert place.copy("r3")["reason"] == "Unchanged"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": [{}]}', '{"files": 7, "more": []}'])
def test_a_memory_that_cannot_be_read_is_none_and_is_found_again(
    in_memory: Place, text: str
) -> None:
    place = in_memory
    (place.source / "file").write_bytes(b"file")
    place.copy("r1")
    (place.folder.path / "rot.json").write_text(text)
    assert read_rot(place.folder) == Rot({})
    assert place.copy("r2")["reason"] == "Unchanged"
    rot(place.data("r1") / "file")
    assert scrub(place) == 1
    assert rotten_points(place) == {"r1": 1, "r2": 1}


def test_a_directory_of_a_copy_that_cannot_be_read_is_reported_and_ends_no_scrub(
    in_memory: Place,
) -> None:
    place = in_memory
    for name in ("one/file", "two/file"):
        (place.source / name).parent.mkdir()
        (place.source / name).write_bytes(name.encode())
    place.copy("r1")
    fails = injecting.of_names(place.destination, b"one")
    task = place.task(**DAYS, limits={"processes": 1})

    found = injecting.run("scrub", task, fails)

    assert (found["reason"], found["checked"]) == ("Rotten", 1)
    assert found["rot"] == {"count": 1, "examples": ["r1/one"]}
    assert place.agent("scrub", task).result["cycle"] == 1


@pytest.mark.parametrize("verb", ["scrub", "verify-tree"])
def test_what_was_found_is_reported_though_there_is_no_room_to_remember_it(
    in_memory: Place, verb: str
) -> None:
    place = in_memory
    (place.source / "file").write_bytes(b"file")
    place.copy("r1")
    rot(place.data("r1") / "file")
    more = DAYS if verb == "scrub" else {"stamp": place.point("r1").stamp, "hash": True}
    task = place.task(**more, limits={"processes": 1})

    def full(call: str, arguments: tuple[Any, ...], _: int | None) -> int | None:
        return errno.ENOSPC if call == "rename" and "rot.json" in str(arguments[0]) else None

    found = injecting.run(verb, task, full)

    assert found["reason"] in {"Rotten", "Different"}
    assert "not noted: No space left" in found["message"] or verb != "scrub"
    assert rotten_points(place) == {"r1": 0}


def test_a_memory_that_the_disk_cannot_read_stops_nothing(in_memory: Place) -> None:
    place = in_memory
    (place.source / "file").write_bytes(b"file")
    place.copy("r1")
    (place.folder.path / "rot.json").mkdir()  # reading it is an error
    assert place.copy("r2")["reason"] == "Unchanged"
    assert rotten_points(place) == {"r1": 0, "r2": 0}


def test_a_tree_that_lost_its_data_is_reported_and_ends_no_scrub(in_memory: Place) -> None:
    place = in_memory
    for run in ("r1", "r2"):
        (place.source / "file").write_bytes(run.encode())
        place.copy(run)
    place.data("r1").rename(place.data("r1").with_name("away"))
    found = place.agent("scrub", place.task(**DAYS)).result
    assert (found["reason"], found["checked"]) == ("Rotten", 1)
    assert found["rot"]["examples"][0].startswith("r1: No such file or directory")
