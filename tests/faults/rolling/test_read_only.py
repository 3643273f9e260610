"""A disk that is mounted read-only, as after an error or for a rescue, gives everything back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.rolling.harness import Place, fingerprint
from tests.faults.rolling.test_upkeep import rot

REFUSED = 3


@pytest.fixture
def place(in_memory: Place) -> Place:
    (in_memory.source / "file").write_bytes(b"1")
    (in_memory.source / "other").write_bytes(b"2")
    in_memory.copy("r1")
    return in_memory


@contextmanager
def read_only_destination(place: Place) -> Iterator[None]:
    there = place.destination
    subprocess.run(["mount", "--bind", there, there], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", there], check=True)
        yield
    finally:
        subprocess.run(["umount", there], check=True)


@pytest.mark.parametrize("lock", [True, False], ids=["with-locks", "without-locks"])
def test_what_is_there_is_listed_verified_scrubbed_and_restored(
    place: Place, memory: Path, lock: bool
) -> None:
    if not lock:
        (place.folder.path / ".lock").unlink()
    stamp = place.point("r1").stamp
    with read_only_destination(place):
        listed = place.agent("list", place.task())
        verified = place.agent("verify-tree", place.task(stamp=stamp, hash=True))
        scrubbed = [place.agent("scrub", place.task(days=1)) for _ in range(2)]
        target = {"root": str(memory), "path": "out"}
        restored = place.agent("restore", place.task(stamp=stamp, target=target))

    assert (listed.code, len(listed.lines), listed.result["readOnly"]) == (0, 1, True)
    assert verified.reason == "Verified"
    assert [one.code for one in scrubbed] == [0, 0]
    assert {one.result["cycle"] for one in scrubbed} == {0}
    assert "read-only" in scrubbed[0].result["message"]
    assert restored.code == 0, restored
    assert fingerprint(memory / "out") == fingerprint(place.source)
    assert "readOnly" not in place.agent("list", place.task()).result


def test_a_scrub_of_a_disk_that_is_read_only_reports_what_it_finds(place: Place) -> None:
    rot(place.data("r1") / "file")
    with read_only_destination(place):
        found = place.agent("scrub", place.task(days=1))
    assert (found.reason, found.result["rot"]["count"]) == ("Rotten", 1)


@pytest.mark.parametrize("verb", ["copy", "relabel", "prune"])
def test_what_would_change_it_is_refused_in_words(place: Place, verb: str) -> None:
    before = fingerprint(place.destination)
    task = place.copy_task("r2") if verb == "copy" else place.task(points=[place.seen("r1")])
    with read_only_destination(place):
        reported = place.agent(verb, task)
    assert (reported.code, reported.reason) == (REFUSED, "DestinationReadOnly")
    assert "spec.rolling.destination" in reported.result["message"]
    assert "writable" in reported.result["message"]
    assert fingerprint(place.destination) == before


def test_an_empty_one_is_not_marked_and_says_why(memory: Path) -> None:
    place = Place(memory / "source", memory / "empty")
    place.destination.mkdir()
    with read_only_destination(place):
        reported = place.agent("init", {"destination": {"path": str(place.destination)}})
    assert (reported.code, reported.reason) == (REFUSED, "DestinationReadOnly")
