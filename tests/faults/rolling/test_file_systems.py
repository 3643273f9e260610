"""What is called a good copy comes back whole, or what does not was reported: on real file systems.

No kernel here has a client of NFS or SMB. What they do stands in for by others: FUSE has no unnamed
temporary files, bindfs forgets or refuses owners, and glusterfs is a disk behind a network.
"""

from __future__ import annotations

import os
import re
import sys

import pytest
from tests.faults.rolling.furnished import (
    RAW,
    change,
    furnish,
    look,
    restored,
    unlike,
)
from tests.faults.rolling.harness import ROOT, Place
from tests.faults.rolling.kinds import (
    KINDS,
    Disks,
)

GUIDE = ROOT / "docs/how-to/rolling-copies.md"
NAMES = list(KINDS)


def neighbours(name: str) -> tuple[str, str]:
    at = NAMES.index(name)
    return NAMES[at - 1], NAMES[(at + 1) % len(NAMES)]


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_on_one_kind_of_disk_comes_back_whole_on_another(name: str, disk: Disks) -> None:
    # Given a source, a destination and a target on three kinds of file systems
    before, after = neighbours(name)
    place = Place(disk(before), disk(name))
    furnish(place.source)
    initialised = place.agent("init", {"destination": {"path": str(place.destination)}})
    assert initialised.code == 0, initialised
    if "names that are no UTF-8" in initialised.result["lacking"]:
        refuses(place, RAW)

    # When it is copied, and copied again after a change
    place.copy("r1")
    change(place.source)
    there = look(place.source)
    result = place.copy("r2")

    # Then what the copy lacks is said of the point, and nothing else is missing
    assert unlike(there, look(place.data("r2"))) == place.point("r2").lacks.keys(), result
    for verb, more in (("verify-tree", {"stamp": place.point("r2").stamp}), ("scrub", {"days": 1})):
        outcome = place.agent(verb, place.task(hash=True, **more))
        assert outcome.code == 0, outcome
    assert not list(place.destination.glob(".backstay-probe*"))
    place.assert_settled()

    # And it comes back: whole where that can be, else with what is not kept said in the result
    result, back = restored(place, "r2", disk("XFS"))
    assert (unlike(there, look(back)), result["notes"]) == (set(), {})
    if after.startswith("ntfs") and os.path.lexists(os.path.join(os.fsencode(place.source), RAW)):
        task = place.task(
            stamp=place.point("r2").stamp, target={"root": str(disk(after)), "path": "back"}
        )
        outcome = place.agent("restore", task)
        assert outcome.reason == "Different"
        assert "restore: not-utf-8-\udcff: missing; rsync says: " in outcome.result["message"]
        return
    result, back = restored(place, "r2", disk(after))
    assert unlike(there, look(back)) == result["notes"].keys(), result


def refuses(place: Place, name: bytes) -> None:
    """Insist that a copy with that name is refused in words; then remove it."""
    path = os.path.join(os.fsencode(place.source), name)
    if not os.path.lexists(path):
        return
    outcome = place.agent("copy", place.copy_task("r0"))
    assert (outcome.code, outcome.reason) == (3, "EntryUnfit"), outcome
    assert "not-utf-8-\\udcff" in outcome.result["message"]
    os.unlink(path)


@pytest.mark.parametrize("name", NAMES)
def test_the_guide_says_what_each_kind_of_disk_does_not_have(
    name: str, disk: Disks, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = disk(name)
    outcome = Place(destination, destination).agent(
        "init", {"destination": {"path": str(destination)}}
    )
    lacking = ", ".join(outcome.result["lacking"]) or "-"
    with capsys.disabled():
        sys.stdout.write(f"\n| {name} | {lacking} |")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", GUIDE.read_text(), re.MULTILINE))
    assert rows.get(name) == lacking


def test_a_disk_without_links_is_refused_in_words_before_it_is_marked(disk: Disks) -> None:
    destination = disk("exFAT")
    place = Place(destination, destination)

    outcome = place.agent("init", {"destination": {"path": str(destination)}})

    assert (outcome.code, outcome.reason) == (3, "DestinationUnfit")
    assert "does not keep hard links, symlinks, names that differ by case" in str(outcome.result)
    assert list(destination.iterdir()) == []


def test_a_disk_that_is_no_destination_gets_all_content_back_and_the_rest_is_named(
    in_memory: Place, disk: Disks
) -> None:
    """exFAT has one file for each name, and no symlinks."""
    place = in_memory
    furnish(place.source)
    os.unlink(os.path.join(os.fsencode(place.source), RAW))
    place.copy("r1")

    result, back = restored(place, "r1", disk("exFAT"))

    before, after = look(place.source), look(back)
    names = before["content"].keys() - after["content"].keys()
    assert names == {b"link", b"null", b"pipe", b"socket"}
    assert all(before["content"][path] == after["content"][path] for path in (b"one", b"deep/two"))
    assert result["notes"]["links"]["examples"] == ["deep/two", "one"]
    assert set(result["notes"]["special"]["examples"]) == {os.fsdecode(name) for name in names}
    assert "not kept by the file system there: " in result["message"]
