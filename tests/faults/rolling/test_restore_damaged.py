"""Restores from copies that are damaged themselves: refused, or passed over by a word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults.rolling.harness import Place, fingerprint
from tests.faults.rolling.restoring import REFUSED, aside


def test_a_damaged_copy_is_restored_as_it_is_where_a_person_says_so(
    in_memory: Place, memory: Path
) -> None:
    for name in ("a", "b"):
        (in_memory.source / name).write_text("sound")
    in_memory.copy("r1")
    (in_memory.data("r1") / "a").write_text("rot!!")

    refused = aside(in_memory, "r1", memory / "new")
    assert (refused.code, refused.reason) == (1, "Different")
    assert "a: another" in refused.result["message"]
    assert "add Unverified to spec.acknowledge" in refused.result["message"]
    assert not [path for path in memory.iterdir() if "new" in path.name]

    done = aside(in_memory, "r1", memory / "new", acknowledge=["Unverified"])
    assert done.code == 0, done
    assert (memory / "new/b").read_text() == "sound"
    assert "Unverified was acknowledged: 1 entries are not as recorded" in done.result["message"]


@pytest.mark.parametrize("paths", [[], ["d/a"]])
def test_a_copy_without_its_manifest_is_restored_where_a_person_says_so(
    in_memory: Place, memory: Path, paths: list[str]
) -> None:
    (in_memory.source / "d").mkdir()
    (in_memory.source / "d/a").write_text("a")
    os.symlink("a", in_memory.source / "d/link")
    in_memory.copy("r1")
    (in_memory.folder.manifest("r1") / "0000").write_bytes(b"rot")

    refused = aside(in_memory, "r1", memory / "new", paths=paths)
    assert refused.code == 1
    assert "add Unverified to spec.acknowledge" in refused.result["message"]

    done = aside(in_memory, "r1", memory / "new", paths=paths, acknowledge=["Unverified"])
    assert done.code == 0, done
    found = {b"d", b"d/a"} if paths else {b"d", b"d/a", b"d/link"}
    assert fingerprint(memory / "new").keys() == found
    assert (memory / "new/d/a").read_text() == "a"


def test_a_point_whose_file_is_damaged_is_restored_by_what_its_tree_says(
    in_memory: Place, memory: Path
) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    stamp = in_memory.point("r1").stamp
    (in_memory.folder.points / f"{stamp}.json").write_text("{")
    where = {"root": str(memory), "path": "new"}

    outcome = in_memory.agent("restore", in_memory.task(stamp=stamp, target=where))

    assert outcome.code == 0, outcome
    assert (memory / "new/a").read_text() == "a"


def test_a_destination_without_its_marker_is_read_where_a_person_says_so(
    in_memory: Place, memory: Path
) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    (in_memory.destination / ".backstay.json").unlink()

    refused = aside(in_memory, "r1", memory / "new")
    assert (refused.code, refused.reason) == (REFUSED, "DestinationNotInitialised")
    assert "add NoMarker to spec.acknowledge" in refused.result["message"]

    done = aside(in_memory, "r1", memory / "new", acknowledge=["NoMarker"])
    assert done.code == 0, done
    assert (memory / "new/a").read_text() == "a"
    elsewhere = {"path": str(memory)}
    where = memory / "more"
    outcome = aside(in_memory, "r1", where, destination=elsewhere, acknowledge=["NoMarker"])
    assert outcome.reason == refused.reason
    named = {"path": str(in_memory.destination), "id": "the-disk"}
    outcome = aside(in_memory, "r1", where, destination=named, acknowledge=["NoMarker"])
    assert outcome.reason == refused.reason
