"""What the agent refuses, naming field and remedy, and what it never touches."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, disk, fingerprint

from backstay.domain.stores.copies.points import Series

REFUSED = 3


@pytest.fixture
def place(in_memory: Place) -> Place:
    for number in range(10):
        (in_memory.source / f"f{number}").write_bytes(b"x" * 1000)
    return in_memory


def refused(place: Place, run: str, reason: str, field: str, **more: Any) -> None:
    before = fingerprint(place.destination)
    outcome = place.agent("copy", place.copy_task(run, **more))
    assert (outcome.code, outcome.reason) == (REFUSED, reason), outcome
    assert field in outcome.result["message"]
    after = fingerprint(place.destination)
    assert {k: v for k, v in after.items() if k in before} == before
    assert not list(place.destination.glob("*/*/*/trees/*"))


def test_an_empty_source_is_refused_and_allowed_for_one_run(place: Place) -> None:
    for path in place.source.iterdir():
        path.unlink()
    refused(place, "r1", "SourceEmpty", "annotated backstay.dev/allow-shrunken=true")
    assert place.copy("r1", shrink={"allow": True})["reason"] == "Copied"


@pytest.mark.parametrize("lost", ["entries", "bytes"])
def test_a_shrunken_source_is_refused_and_allowed_for_one_run(place: Place, lost: str) -> None:
    place.copy("r1")
    for number in range(6):
        path = place.source / f"f{number}"
        path.unlink() if lost == "entries" else path.write_bytes(b"")

    outcome = place.agent("copy", place.copy_task("r2"))

    assert (outcome.code, outcome.reason) == (REFUSED, "SourceShrunk")
    assert f"{lost}" in outcome.result["message"]
    assert place.copy("r2", shrink={"percent": 40})["reason"] == "Copied"
    place.assert_settled()


def test_a_destination_without_marker_is_refused(place: Place) -> None:
    (place.destination / ".backstay.json").unlink()
    refused(place, "r1", "DestinationNotInitialised", "init-destination")


def test_another_disk_at_the_destination_is_refused(place: Place) -> None:
    where = {"path": str(place.destination), "id": "another", "allowSameFilesystem": True}
    refused(place, "r1", "DestinationMismatch", "the administrator allows", destination=where)


def test_one_file_system_for_both_is_refused_unless_allowed(place: Place) -> None:
    refused(
        place,
        "r1",
        "SameFilesystem",
        "spec.rolling.allowSameFileSystem: ",
        destination={"path": str(place.destination)},
    )


@pytest.mark.parametrize("where", ["", "shop", "shop/uploads"])
def test_a_source_that_holds_its_own_copies_is_refused(memory: Path, where: str) -> None:
    """Each copy would hold all that came before it."""
    disk = memory / "disk"
    place = Place(disk / where, disk)
    disk.mkdir()
    place.init()
    first = Place(memory / "first", disk)
    first.source.mkdir()
    (first.source / "file").touch()
    first.copy("r1")

    outcome = place.agent("copy", place.copy_task("r2"))

    assert (outcome.code, outcome.reason) == (REFUSED, "DestinationInSource"), outcome
    assert "spec.rolling.destination" in outcome.result["message"]
    assert [tree.name for tree in place.folder.trees.iterdir()] == ["r1"]


def test_a_destination_inside_the_source_is_refused_unless_excluded(memory: Path) -> None:
    place = Place(memory / "source", memory / "source/backup")
    place.destination.mkdir(parents=True)
    (place.source / "file").touch()
    place.init()
    refused(place, "r1", "DestinationInSource", "destination")
    source = {"root": str(memory), "path": "source", "exclude": ["/backup/"]}
    assert place.copy("r1", source=source)["stats"]["entries"] == 1


def test_a_source_that_is_not_mounted_is_refused_when_it_must_be(
    place: Place, tmp_path: Path
) -> None:
    source = {"root": str(place.source.parent), "path": "source", "requireMount": True}
    refused(place, "r1", "SourceNotMounted", "spec.rolling.requireMount: ", source=source)
    with disk(tmp_path, "ext4", "20M") as mount:
        (mount / "file").touch()
        source = {"root": str(mount.parent), "path": "disk", "requireMount": True}
        place.copy("r1", source=source)
        (mount / "inside").mkdir()
        source = {"root": str(mount.parent), "path": "disk/inside", "requireMount": True}
        outcome = place.agent("copy", place.copy_task("r2", source=source))
        assert outcome.reason == "SourceNotMounted"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../other", "SourceOutsideRoot"),
        ("/etc", "SourceOutsideRoot"),
        ("link", "SourceIsSymlink"),
        ("link/below", "SourceIsSymlink"),
        ("missing", "SourceNotFound"),
    ],
)
def test_a_path_that_leads_out_of_the_root_copies_nothing(
    place: Place, memory: Path, path: str, reason: str
) -> None:
    other = memory / "other"
    (other / "below").mkdir(parents=True)
    (other / "below/secret").write_text("of another tenant")
    (place.source / "link").symlink_to("../other")
    source = {"root": str(place.source), "path": path}
    refused(place, "r1", reason, "spec.source: ", source=source)


def test_a_directory_that_becomes_a_symlink_under_the_copy_leads_nowhere(
    place: Place, memory: Path
) -> None:
    """A tenant swaps it all the time; whatever is copied is never the other tenant's."""
    other = memory / "other"
    other.mkdir()
    (other / "secret").write_text("of another tenant")
    (place.source / "swapped").mkdir()
    (place.source / "swapped/secret").write_text("own")
    swap = (
        "import os, sys\nparent = os.getppid()\n"
        "os.chdir(sys.argv[1])\nos.symlink('../other', 'link')\nprint(flush=True)\n"
        "while os.getppid() == parent:\n"
        "    os.rename('swapped', 'aside'); os.rename('link', 'swapped')\n"
        "    os.rename('swapped', 'link'); os.rename('aside', 'swapped')\n"
    )
    tenant = subprocess.Popen(["python3", "-c", swap, place.source], stdout=subprocess.PIPE)
    try:
        assert tenant.stdout is not None
        tenant.stdout.readline()
        for number in range(6):
            # How a copy of such a source ends does not matter, only what is in it.
            place.agent("copy", place.copy_task(f"r{number}"))
    finally:
        tenant.kill()
        tenant.communicate()
    assert not [path for path in place.folder.trees.rglob("secret") if path.read_text() != "own"]


@pytest.mark.parametrize(
    ("keep", "reason"),
    [({"bytes": 1 << 60}, "TooLittleSpace"), ({"inodes": 1 << 40}, "TooFewInodes")],
)
def test_too_little_room_is_refused_before_anything_is_copied(
    on_ext4: Place, keep: dict[str, int], reason: str
) -> None:
    (on_ext4.source / "file").touch()
    refused_of = on_ext4.agent("copy", on_ext4.copy_task("r1", keepFree=keep))
    assert (refused_of.code, refused_of.reason) == (REFUSED, reason)
    assert "keepFree" in refused_of.result["message"]


def test_a_destination_that_fills_up_fails_the_run_and_the_next_one_heals(
    place: Place, tmp_path: Path
) -> None:
    """The room is checked before, but names take some too, and others write there as well."""
    with disk(tmp_path, "ext4", "20M") as mount:
        # Without the part that only root may fill.
        subprocess.run(["tune2fs", "-m", "0", tmp_path / "disk.img"], check=True)
        place = replace(place, destination=mount)
        place.init()
        place.copy("r1")
        before = fingerprint(place.data("r1"))
        # More than what ext4 keeps back for its own use: 2 % of its blocks.
        for number in range(4000):
            (place.source / f"{number:0>250}").touch()
        free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        filler = mount / "filler"
        filler.write_bytes(bytes(free - 200_000))

        outcome = place.agent("copy", place.copy_task("r2"))

        assert (outcome.code, outcome.reason) == (1, "Failed")
        assert "No space left" in outcome.result["message"]
        place.assert_trees_are_whole()
        filler.unlink()
        place.copy("r2")
        place.assert_settled()
        assert fingerprint(place.data("r1")) == before


def test_a_destination_is_not_marked_while_another_marks_it(memory: Path) -> None:
    place = Place(memory, memory)
    task = {"destination": {"path": str(memory)}, "lockSeconds": 0}
    with (memory / ".backstay.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert place.agent("init", task).code == 75
        assert not (memory / ".backstay.json").exists()
    marked = place.agent("init", task)
    assert marked.code == 0
    with (memory / ".backstay.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        again = place.agent("init", task)  # as before each Job, while another may be at work
    assert again.result["id"] == marked.result["id"]


def test_of_many_that_mark_a_destination_at_once_all_find_one_id(memory: Path) -> None:
    place = Place(memory, memory)
    task = {"destination": {"path": str(memory)}, "lockSeconds": 60}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: place.agent("init", task), range(8)))
    assert {outcome.code for outcome in found} == {0}
    assert len({outcome.result["id"] for outcome in found}) == 1


def test_two_tenants_on_one_destination_see_only_their_own(place: Place, memory: Path) -> None:
    place.copy("r1")
    other = replace(
        place,
        source=memory / "other",
        series=Series("blog", "uploads", "hostPath", "worker-1", "/srv/uploads"),
    )
    other.source.mkdir()
    (other.source / "theirs").write_text("theirs")
    other.copy("r1")

    assert len(other.agent("list", other.task()).lines) == 1
    task = other.task(points=[place.seen("r1")])
    assert other.agent("prune", task).result["points"][0]["outcome"] in {"gone", "conflict"}
    target = {"root": str(memory), "path": "restored"}
    stamp = place.point("r1").stamp
    if stamp != other.point("r1").stamp:
        assert other.agent("restore", other.task(stamp=stamp, target=target)).code == REFUSED
    assert oct((place.destination / "blog").stat().st_mode & 0o777) == "0o700"
    assert_equal_to_rsync(place.source, place.data("r1"))
    assert len(place.agent("list", {"destination": place.task()["destination"]}).lines) == 2


def test_foreign_directories_are_never_touched(place: Place) -> None:
    place.copy("r1")
    foreign = [
        place.destination / "lost+found/x",
        place.folder.path / "restore-test/y",
        place.folder.trees / "notes.txt~/z",
    ]
    for path in foreign:
        path.parent.mkdir()
        path.write_text("foreign")
    (place.source / "f0").write_text("changed")
    place.copy("r2")
    assert place.agent("prune", place.task(points=[place.seen("r1")])).code == 0
    assert [path.read_text() for path in foreign] == ["foreign"] * 3


def broken(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(task: dict[str, Any]) -> None:
        task[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (broken("run", "../up"), "run"),
        (broken("series", None), "series"),
        (
            broken("series", {**Series("a", "b", "claim", "c", "").to_json(), "policy": "../x"}),
            "series.policy",
        ),
        (broken("source", {"root": 7}), "source.root"),
        (broken("limits", {"bandwidth": -1}), "limits.bandwidth"),
        (broken("limits", {"ioClass": "fast"}), "limits.ioClass"),
        (broken("rules", {"zone": "Mars/Olympus"}), "rules.zone"),
        (broken("record", {"big": "x" * 9000}), "record"),
        (broken("labels", {"a": 1}), "labels"),
    ],
)
def test_a_task_that_cannot_be_read_is_answered_with_its_field(
    place: Place, change: Callable[[dict[str, Any]], None], field: str
) -> None:
    task = place.copy_task("r1")
    change(task)
    outcome = place.agent("copy", task)
    assert (outcome.code, outcome.reason) == (2, "BadTask")
    assert field in outcome.result["message"]


def test_an_agent_without_task_says_how_it_is_used() -> None:
    words = ["python3", "-m", "backstay.agent", "copy"]
    source = str(Path(__file__).resolve().parents[3] / "operator/src")
    done = subprocess.run(
        words,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": source},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"usage" in done.stderr


def test_a_point_edited_by_hand_is_what_counts(place: Place) -> None:
    place.copy("r1")
    (place.source / "f0").write_text("changed")
    place.copy("r2")
    seen = place.seen("r1")
    path = place.folder.points / f"{seen['stamp']}.json"
    raw = json.loads(path.read_text())
    raw["labels"]["backstay.dev/hold"] = "true"
    path.write_text(json.dumps(raw))

    conflict = place.agent("prune", place.task(points=[seen]))
    held = place.agent("prune", place.task(points=[place.seen("r1")]))
    newest = place.agent("prune", place.task(points=[place.seen("r2")]))

    assert conflict.result["points"][0]["outcome"] == "conflict"
    assert held.result["points"][0]["outcome"] == "kept"
    assert newest.result["points"][0]["why"] == "newest good"
    assert len(place.points()) == 2


def test_a_point_that_cannot_be_read_is_reported_and_keeps_every_tree(place: Place) -> None:
    place.copy("r1")
    (place.source / "f0").write_text("changed")
    place.copy("r2")
    (place.folder.points / f"{place.seen('r1')['stamp']}.json").write_text("{")

    place.agent("copy", place.copy_task("r3"))
    listed = place.agent("list", place.task())

    assert (place.data("r1") / "f0").exists()
    assert listed.code == 1
    assert "cannot be read" in listed.result["message"]
    assert len(listed.lines) == 2


def test_a_point_pruned_beside_one_that_cannot_be_read_does_not_come_back(place: Place) -> None:
    place.copy("r1")
    for run in ("r2", "r3"):
        (place.source / "f0").write_text(run)
        place.copy(run)
    broken = place.folder.points / f"{place.seen('r2')['stamp']}.json"
    whole = broken.read_text()
    seen = place.seen("r1")
    broken.write_text("{")
    pruned = place.agent("prune", place.task(points=[seen]))
    place.agent("relabel", place.task(points=[]))
    assert place.data("r1").is_dir()  # the broken one may name it

    broken.write_text(whole)
    place.copy("r4")

    assert pruned.result["points"][0]["outcome"] == "done"
    assert [point.run for point in place.points()] == ["r2", "r3", "r4"]
    assert not place.data("r1").exists()
    place.assert_settled()
