"""Points by their verbs: tiers at birth, relabel, prune, list, verify, scrub, restore in place."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, fingerprint

from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Rules
from backstay.domain.stores.copies.points import RollingPoint, point_of

RULES = {"zone": "Europe/Vienna", "daily": 2}


@pytest.fixture
def place(memory: Path) -> Place:
    made = Place(memory / "source", memory / "destination")
    (made.source / "sub").mkdir(parents=True)
    made.destination.mkdir()
    made.init()
    for name in ("a", "b", "sub/c", "sub/d"):
        (made.source / name).write_text(name)
    return made


def test_a_point_is_born_good_with_its_tiers_and_judged_like_a_snapshot(place: Place) -> None:
    record = {"policy": "uploads", "slot": "2026-11-22T00:32:00Z"}
    answered = place.copy("r1", rules=RULES, record=record)["point"]
    place.copy("r2", rules=RULES)
    listed = [json.loads(line) for line in place.agent("list", place.task()).lines]

    points = [RollingPoint.from_json(raw) for raw in listed]
    assert points == place.points()
    assert listed[0]["record"] == record
    assert [point.version for point in points] == [raw["version"] for raw in listed]
    assert answered["version"] == points[0].version
    assert answered["labels"]["backstay.dev/result"] == "good"
    assert "backstay.dev/daily" in answered["labels"]
    verdicts = judge([point_of(p) for p in points], Rules(zone=UTC, daily=2), datetime.now(UTC))  # noqa: TID251
    assert [verdict.sweep for verdict in verdicts] == [False, False]


def test_a_run_that_is_there_already_is_answered_again(place: Place) -> None:
    first = place.copy("r1")["point"]
    (place.source / "a").write_text("changed")
    again = place.copy("r1")
    assert again["reason"] == "AlreadyPublished"
    assert again["point"] == first
    assert len(place.points()) == 1


def test_labels_change_only_if_the_point_is_what_the_caller_saw(place: Place) -> None:
    place.copy("r1")
    seen = place.seen("r1")
    patch = {
        "labels": {"backstay.dev/delete-after": "2026-12-01", "backstay.dev/retain": None},
        "annotations": {"backstay.dev/marked-at": "2026-11-24T00:00:00+00:00"},
    }
    done = place.agent("relabel", place.task(points=[{**seen, **patch}])).result["points"]
    stale = place.agent("relabel", place.task(points=[{**seen, **patch}])).result["points"]
    gone = {"stamp": "2020-01-01T000000Z", "version": "x"}
    missing = place.agent("relabel", place.task(points=[gone])).result["points"]

    assert done == [
        {"stamp": seen["stamp"], "outcome": "done", "version": place.seen("r1")["version"]}
    ]
    assert [stale[0]["outcome"], missing[0]["outcome"]] == ["conflict", "gone"]
    point = place.points()[0]
    assert point.labels["backstay.dev/delete-after"] == "2026-12-01"
    assert "backstay.dev/retain" not in point.labels
    assert point_of(point).marked_at == "2026-11-24T00:00:00+00:00"


def test_a_tree_goes_with_the_last_point_that_names_it(place: Place) -> None:
    place.copy("r1")
    place.copy("r2")
    (place.source / "a").write_text("changed")
    place.copy("r3")
    kept = fingerprint(place.data("r3"))

    place.agent("prune", place.task(points=[place.seen("r1")]))
    assert place.data("r1").is_dir()
    place.assert_settled()
    place.agent("prune", place.task(points=[place.seen("r2")]))
    assert not place.data("r1").exists()

    place.assert_settled()
    assert fingerprint(place.data("r3")) == kept


def test_a_point_in_use_is_not_pruned(place: Place) -> None:
    place.copy("r1")
    (place.source / "a").write_text("changed")
    place.copy("r2")
    patch = {"annotations": {"backstay.dev/in-use": "uid"}}
    place.agent("relabel", place.task(points=[{**place.seen("r1"), **patch}]))
    outcome = place.agent("prune", place.task(points=[place.seen("r1")])).result["points"][0]
    assert (outcome["outcome"], outcome["why"]) == ("kept", "in use")


def rot(path: Path) -> None:
    """Change a file's content as a disk would: nobody is notified."""
    times = path.stat()
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_scrub_reads_each_inode_once_over_its_days_and_reports_rot(place: Place) -> None:
    place.copy("r1")
    (place.source / "a").write_text("changed")
    place.copy("r2")
    rot(place.data("r2") / "sub/c")
    (place.data("r1") / "a").write_text("overwritten")

    found = [place.agent("scrub", place.task(days=3)).result for _ in range(3)]

    assert sum(one["checked"] for one in found) == 5  # a twice, b, c, d
    assert sum(one.get("rot", {}).get("count", 0) for one in found) == 1
    assert sum(one.get("changed", {}).get("count", 0) for one in found) == 1
    assert [name for one in found for name in one.get("rot", {}).get("examples", [])] == [
        "r2/sub/c"
    ]
    assert place.agent("scrub", place.task(days=3)).result["cycle"] == 1


def test_a_scrub_reads_the_other_trees_when_a_manifest_is_damaged(place: Place) -> None:
    place.copy("r1")
    (place.source / "a").write_text("changed")
    place.copy("r2")
    (place.folder.manifest("r1") / "0000").write_bytes(b"{")
    rot(place.data("r2") / "sub/c")

    first = place.agent("scrub", place.task(days=1))
    second = place.agent("scrub", place.task(days=1))

    assert (first.code, first.reason) == (1, "Rotten")
    assert first.result["checked"] == 4
    manifest, content = first.result["rot"]["examples"]
    assert manifest.startswith(f"r1: {place.folder.manifest('r1')}/0000")
    assert content == "r2/sub/c"
    assert (first.result["cycle"], second.result["cycle"]) == (0, 1)


def test_a_tree_that_is_not_as_recorded_is_reported_by_verify(place: Place) -> None:
    place.copy("r1")
    stamp = place.point("r1").stamp
    assert place.agent("verify-tree", place.task(stamp=stamp, hash=True)).reason == "Verified"
    rot(place.data("r1") / "b")
    (place.data("r1") / "sub/d").unlink()
    os.utime(place.data("r1") / "sub", ns=(0, place.source.joinpath("sub").stat().st_mtime_ns))
    quick = place.agent("verify-tree", place.task(stamp=stamp))
    whole = place.agent("verify-tree", place.task(stamp=stamp, hash=True))
    assert quick.result["differences"] == {"count": 1, "examples": ["sub/d: missing"]}
    assert (whole.code, whole.result["differences"]["count"]) == (1, 2)


def test_a_restore_onto_btrfs_sees_what_it_has_made(place: Place, btrfs: Path) -> None:
    """A directory of btrfs that is open shows no entry that was made since."""
    (place.source / "file").write_text("one")
    point = place.copy("r1")["point"]
    target = {"root": str(btrfs), "path": "restored-here"}
    outcome = place.agent("restore", place.task(stamp=point["stamp"], target=target))
    assert outcome.code == 0, outcome
    assert (btrfs / "restored-here/file").read_text() == "one"


def test_chosen_paths_are_restored_to_a_new_directory(place: Place, memory: Path) -> None:
    place.copy("r1")
    (memory / "out").mkdir()
    target = {"root": str(memory / "out"), "path": "found"}
    task = place.task(stamp=place.point("r1").stamp, target=target, paths=["sub", "a"])

    assert place.agent("restore", task).code == 0

    assert sorted(fingerprint(memory / "out/found")) == [b"a", b"sub", b"sub/c", b"sub/d"]
    (memory / "out/found/a").write_text("another")
    assert place.agent("restore", task).reason == "TargetNotEmpty"
    missing = place.agent("restore", {**task, "paths": ["nothing"]})
    assert (missing.code, missing.reason) == (3, "PathNotInPoint")
    assert place.agent("restore", {**task, "paths": ["../up"]}).reason == "BadTask"


def test_paths_that_look_like_comments_are_restored(place: Place, memory: Path) -> None:
    """In a list of files, rsync skips what begins like one."""
    (place.source / "#d").mkdir()
    for name in ("#d/x", "#x", ";x"):
        (place.source / name).write_text(name)
    stamp = place.copy("r1")["point"]["stamp"]
    target = {"root": str(memory), "path": "found"}
    task = place.task(stamp=stamp, target=target, paths=["#d", "#x", ";x", "sub/c"])

    outcome = place.agent("restore", task)

    assert outcome.code == 0, outcome
    found = [b"#d", b"#d/x", b"#x", b";x", b"sub", b"sub/c"]
    assert sorted(fingerprint(memory / "found")) == found


def test_what_a_restore_in_place_kept_is_no_measure_of_the_runs_after_it(place: Place) -> None:
    """It has what the policy excludes."""
    (place.source / "cache").mkdir()
    for number in range(100):
        (place.source / f"cache/{number}").touch()
    excluding = {"root": str(place.source), "path": "", "exclude": ["/cache"]}
    place.copy("r1", source=excluding)
    assert not (place.data("r1") / "cache").exists()
    task = place.task(
        stamp=place.point("r1").stamp,
        target={"root": str(place.source.parent), "path": place.source.name},
        inPlace=True,
        safety={
            "run": "before",
            "labels": {},
            "annotations": {"backstay.dev/restore-request": "uid"},
        },
    )
    assert place.agent("restore", task).code == 0
    assert len(list((place.data("before") / "cache").iterdir())) == 100

    place.copy("r2", source=excluding)

    assert_equal_to_rsync(place.data("r1"), place.data("r2"))


@pytest.mark.parametrize("paths", [[], ["sub"]])
def test_a_restore_in_place_copies_what_is_there_first(place: Place, paths: list[str]) -> None:
    place.copy("r1")
    before = fingerprint(place.source)
    (place.source / "a").write_text("precious later work")
    rot(place.source / "sub/c")
    (place.source / "sub/extra").write_text("extra")
    lost = fingerprint(place.source)
    target = {"root": str(place.source.parent), "path": place.source.name}
    task = place.task(
        stamp=place.point("r1").stamp,
        target=target,
        paths=paths,
        inPlace=True,
        safety={"run": "before-restore", "labels": {"backstay.dev/type": "adhoc"}},
    )

    restored = place.agent("restore", task)

    assert restored.code == 0, restored
    assert fingerprint(place.data("before-restore")) == lost
    now = fingerprint(place.source)
    if paths:
        assert {k: v for k, v in now.items() if k.startswith(b"sub")} == {
            k: v for k, v in before.items() if k.startswith(b"sub")
        }
        assert (place.source / "a").read_text() == "precious later work"
    else:
        assert now == before
        assert_equal_to_rsync(place.data("r1"), place.source)


def test_excluded_things_are_not_in_the_copy(place: Place) -> None:
    for name in ("cache/x", "sub/cache/y", "sub/z.tmp", "top.tmp", "sub/top"):
        path = place.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    source = {
        "root": str(place.source.parent),
        "path": place.source.name,
        "exclude": ["cache/", "*.tmp", "/top*"],
    }
    place.copy("r1", source=source)
    assert sorted(fingerprint(place.data("r1"))) == [
        b"a",
        b"b",
        b"sub",
        b"sub/c",
        b"sub/d",
        b"sub/top",
    ]
    place.assert_settled()
    assert place.copy("r2", source=source)["reason"] == "Unchanged"


def test_many_days_of_changes_stay_whole_when_manifests_are_written_again(place: Place) -> None:
    for number in range(40):
        (place.source / f"d{number}").mkdir()
    for number in range(14):
        (place.source / f"n{number}").write_text(str(number))
        place.copy(f"r{number}", limits={"processes": 1})
    parts = [len(list(place.folder.manifest(f"r{n}").iterdir())) for n in range(14)]
    assert max(parts) > 5
    assert 1 in parts[1:]
    place.assert_settled()
