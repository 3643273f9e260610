"""Whatever call fails: a result, and a message that says why, where, and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling import injecting
from tests.faults.rolling.harness import Place, same_as
from tests.faults.rolling.test_kills import change, fill
from tests.support.sampling import sampled

from backstay.agent.fs.failures import SHOWN, call_of, shown, without_descriptors, worded

ONE = {"limits": {"processes": 1}}
POINTS = int(os.environ.get("BACKSTAY_FAIL_POINTS", "40"))
"""About so many calls of each command, spread over all that it makes."""
DESCRIPTOR = re.compile(r"\[Errno|/proc/(self|\d+)/fd|:\s*\d+\s*$|\bfd\b|descriptor")

PLACE = re.compile(r"Input/output error(?: \(\w+\))?(?: at |: (?!the disk fails))\S")
"""The reason, the call, and then an entry."""
FIRST = 40
"""A field may stand before the reason, and nothing that may be long."""


@dataclass(frozen=True, slots=True)
class Story:
    verb: str
    task: Callable[[Place], dict[str, Any]]
    prepare: Callable[[Place], None]


def _one(place: Place) -> None:
    place.copy("r1", **ONE)


def _changed(place: Place) -> None:
    place.copy("r1", **ONE)
    change(place.source)


def _spare(place: Place) -> None:
    _changed(place)
    place.copy("r2", **ONE)
    place.agent("prune", place.task(points=[place.seen("r1")]))
    (place.source / "a/f2").write_bytes(b"of the third day")


def _restore(place: Place, **more: Any) -> dict[str, Any]:
    root = place.source.parent / "out"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    target = {"root": str(root), "path": "back"}
    return place.task(stamp=place.point("r1").stamp, target=target, **{**ONE, **more})


STORIES = {
    "a first copy": Story("copy", lambda p: p.copy_task("r1", **ONE), lambda _: None),
    "a copy of changes": Story("copy", lambda p: p.copy_task("r2", **ONE), _changed),
    "a copy onto a spare": Story("copy", lambda p: p.copy_task("r3", **ONE), _spare),
    "a restore": Story("restore", _restore, _one),
    "a scrub": Story("scrub", lambda p: p.task(days=1, **ONE), _one),
    "a verification": Story(
        "verify-tree", lambda p: p.task(stamp=p.point("r1").stamp, hash=True, **ONE), _one
    ),
    "a list": Story("list", lambda p: p.task(), _one),
    "a relabel": Story(
        "relabel", lambda p: p.task(points=[{**p.seen("r1"), "labels": {"a": "b"}}]), _one
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_call_that_fails_is_reported_with_reason_and_entry(name: str, memory: Path) -> None:
    story = STORIES[name]
    place = Place(memory / "source", memory / "destination")
    place.source.mkdir()
    place.destination.mkdir()
    place.init()
    fill(place.source)
    story.prepare(place)
    same_as(place.destination, memory / "as-it-was")
    total = injecting.count_calls(story.verb, story.task(place))
    reported = 0
    for at in sampled(range(0, total, max(1, total // POINTS))):
        same_as(memory / "as-it-was", place.destination)
        result = injecting.run(story.verb, story.task(place), injecting.kth(at))
        if result["code"] == 0:
            continue  # it went on without that call
        reported += 1
        _check(result, at)
    assert reported > 0


def _check(result: dict[str, Any], at: int) -> None:
    message = result["message"]
    why = f"call {at}: {result}"
    assert not DESCRIPTOR.search(message), why
    assert result["reason"] not in {"Defect", "Busy"}, why
    if "differences" in result or "rot" in result:
        return  # its entries are in a list
    assert "Input/output error" in message, why
    if "entries are not as recorded" in message:
        return  # it names some of them, each with its reason
    found = PLACE.search(message)
    assert found is not None, why
    assert found.start() < FIRST, why


def of_copies(error: int) -> injecting.Fails:
    """Given an error, have it come when the content of a copy is written, not of what is tried
    before it.
    """
    readlink = os.readlink

    def fails(call: str, arguments: tuple[Any, ...], _directory: int | None) -> int | None:
        if call != "pwrite" or "/data/" not in readlink(f"/proc/self/fd/{arguments[0]}"):
            return None
        return error

    return fails


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "make room there"),
        (errno.EOPNOTSUPP, "does not do this"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_a_destination_that_fails_is_reported_with_what_to_do(
    in_memory: Place, error: int, words: str
) -> None:
    (in_memory.source / "file").write_bytes(b"file")

    reported = injecting.run("copy", in_memory.copy_task("r1", **ONE), of_copies(error))
    assert (reported["code"], reported["reason"]) == (1, "Failed")
    for word in (os.strerror(error), "at file", words, "spec.rolling.destination"):
        assert word in reported["message"], reported


def test_a_file_that_is_too_large_for_the_destination_is_named(in_memory: Place) -> None:
    (in_memory.source / "file").write_bytes(b"file")

    reported = injecting.run("copy", in_memory.copy_task("r1", **ONE), of_copies(errno.EFBIG))
    assert (reported["code"], reported["reason"]) == (3, "EntryUnfit")
    for word in (os.strerror(errno.EFBIG), "exclude it", "spec.rolling.destination"):
        assert word in reported["message"], reported
    assert reported["message"].endswith(": file")


def test_a_disk_that_becomes_read_only_under_a_copy_says_so(in_memory: Place) -> None:
    (in_memory.source / "file").write_bytes(b"file")

    def fails(call: str, *_: Any) -> int | None:
        return errno.EROFS if call == "pwrite" else None

    reported = injecting.run("copy", in_memory.copy_task("r1", **ONE), fails)
    assert (reported["code"], reported["reason"]) == (3, "DestinationReadOnly")
    assert "become read-only" in reported["message"]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_nobody_thought_of_has_a_result_as_well(in_memory: Place, processes: int) -> None:
    for number in range(40):
        (in_memory.source / f"d{number}").mkdir()
        (in_memory.source / f"d{number}/file").write_bytes(b"x")

    def fails(call: str, arguments: tuple[Any, ...], _: int | None) -> int | None:
        if call == "pread" or (call == "read" and arguments[1] == 2):
            raise struct.error("'Q' format requires 0 <= number")
        return None

    task = in_memory.copy_task("r1", limits={"processes": processes})
    reported = injecting.run("copy", task, fails)
    assert (reported["code"], reported["reason"], reported["ok"]) == (1, "Defect", False)
    assert reported["message"].startswith("error at d")
    assert "'Q' format" in reported["message"]


def test_a_long_path_is_taken_in_its_middle_and_one_line() -> None:
    assert shown(b"a/b") == "a/b"
    assert shown(b"") == "."
    assert shown(b"a\nb\xff") == r"a\nb\udcff"
    long = shown(b"begin" + b"x" * 5000 + b"end")
    assert len(long) < SHOWN + 10
    assert (long[:5], long[-3:]) == ("begin", "end")
    assert "[...]" in long


def test_the_call_is_named_where_python_knows_it() -> None:
    def called(act: Callable[[], Any]) -> str:
        try:
            act()
        except OSError as error:
            return call_of(error)
        return "none"

    def write() -> None:
        os.write(-1, b"")

    def listed() -> None:
        os.listdir("/nowhere/at/all")

    assert called(write) == "write"
    assert called(listed) == "listdir"
    assert call_of(OSError(5, "x")) == ""


def test_paths_through_a_descriptor_are_taken_out_of_what_others_say() -> None:
    said = 'rsync: [sender] read errors mapping "/proc/self/fd/7/a/b": Input/output error (5)'
    assert without_descriptors(said) == (
        'rsync: [sender] read errors mapping "a/b": Input/output error (5)'
    )


def test_an_error_in_words_stays_as_it_is() -> None:
    error = worded(ValueError("x" * 10_000))
    assert len(error.message) < 500
    assert worded(error) is error


def test_a_target_that_fails_is_reported_by_its_own_field(in_memory: Place) -> None:
    (in_memory.source / "file").write_bytes(b"file")
    in_memory.copy("r1")

    def fails(call: str, *_: Any) -> int | None:
        return errno.EROFS if call == "mkdir" else None

    reported = injecting.run("restore", _restore(in_memory), fails)
    assert (reported["code"], reported["reason"]) == (3, "TargetReadOnly")
    assert "spec.directory" in reported["message"]


@pytest.mark.parametrize("call", ["listxattr", "pread", "fstat"])
def test_what_fails_at_the_source_is_not_laid_to_the_destination(
    in_memory: Place, call: str
) -> None:
    (in_memory.source / "big").write_bytes(b"x" * (3 << 20))
    source = os.stat(in_memory.source / "big").st_ino
    fstat = os.fstat

    def fails(name: str, arguments: tuple[Any, ...], _: int | None) -> int | None:
        first = arguments[0]
        of_source = isinstance(first, int) and fstat(first).st_ino == source
        return errno.EIO if name == call and of_source else None

    reported = injecting.run("copy", in_memory.copy_task("r1", **ONE), fails)
    assert (reported["code"], reported["reason"]) == (1, "Failed")
    assert "at big of the source" in reported["message"], reported


def test_a_restore_in_place_that_fails_names_its_target_and_no_tree(in_memory: Place) -> None:
    (in_memory.source / "file").write_bytes(b"file")
    in_memory.copy("r1")
    (in_memory.source / "file").write_bytes(b"newer")
    target = {"root": str(in_memory.source.parent), "path": in_memory.source.name}
    safety = {"run": "before", "labels": {}}
    task = in_memory.task(stamp=in_memory.point("r1").stamp, target=target, **ONE)
    trees = in_memory.folder.trees
    listdir = os.listdir

    def fails(call: str, _: tuple[Any, ...], __: int | None) -> int | None:
        # Only what comes after the copy of what is there.
        return errno.EIO if call == "listdir" and "before" in listdir(trees) else None

    reported = injecting.run("restore", {**task, "inPlace": True, "safety": safety}, fails)

    assert reported["code"] == 1
    assert "trees" not in reported["message"], reported
    assert "Input/output error" in reported["message"], reported
