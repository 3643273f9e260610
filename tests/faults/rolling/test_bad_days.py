"""Restores in place on the day on which things are broken: what is there, and what is gone."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling import injecting
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, disk, fingerprint
from tests.faults.rolling.restoring import REFUSED, aside, crash_a_writer, mounted, onto, task_onto

from backstay.domain.stores.copies.incarnations import current

AS_FILES = "backstay.dev/databases-as-files"
ONE = {"limits": {"processes": 1}}


def _database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as found, found:
        found.execute("CREATE TABLE seen (n)")
        found.executemany("INSERT INTO seen VALUES (?)", [(n,) for n in range(1000)])


def _sum_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(found.execute("SELECT sum(n) FROM seen").fetchone()[0])


WAL_MAGIC = bytes.fromhex("377f0682")
"""How a log begins: https://www.sqlite.org/fileformat2.html#walformat."""


def _damage(path: Path) -> None:
    """Overwrite most of a database that has a log, but for its header."""
    path.with_name(f"{path.name}-wal").write_bytes(WAL_MAGIC + b"no log at all" * 1000)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))


@pytest.mark.parametrize("break_it", [crash_a_writer, _damage])
@pytest.mark.parametrize("paths", [[], ["sub/app.db"]])
def test_a_broken_database_is_kept_as_its_files_and_stops_no_restore(
    on_ext4: Place, break_it: object, paths: list[str]
) -> None:
    path = on_ext4.source / "sub/app.db"
    path.parent.mkdir()
    _database(path)
    on_ext4.copy("r1")
    assert callable(break_it)
    break_it(path)
    broken = fingerprint(on_ext4.source)

    outcome = onto(on_ext4, "r1", paths=paths)

    assert outcome.code == 0, outcome
    assert _sum_of(path) == sum(range(1000))
    assert "1 databases are the files that were there" in outcome.result["message"]
    assert outcome.result["safetyNotes"]["databasesAsFiles"]["examples"] == ["sub/app.db"]
    assert on_ext4.point("before").annotations[AS_FILES] == "true"
    kept = fingerprint(on_ext4.data("before"))  # and the -shm that opening it left
    files = {b"sub/app.db", b"sub/app.db-journal", b"sub/app.db-wal"} & broken.keys()
    assert {name: kept[name] for name in files} == {name: broken[name] for name in files}
    on_ext4.assert_settled()


def test_going_back_to_a_database_kept_as_its_files_brings_its_journal(in_memory: Place) -> None:
    path = in_memory.source / "app.db"
    _database(path)
    in_memory.copy("r1")
    crash_a_writer(path)
    crashed = fingerprint(in_memory.source)
    assert onto(in_memory, "r1").code == 0

    safety = {"run": "again", "labels": {}}
    outcome = onto(in_memory, "before", paths=["app.db"], safety=safety)

    assert outcome.code == 0, outcome
    assert fingerprint(in_memory.source) == crashed
    assert _sum_of(path) == sum(range(1000))  # SQLite has rolled it back


def test_no_run_takes_a_tree_with_databases_as_files_for_an_unchanged_source(
    in_memory: Place,
) -> None:
    """A writer may have been at work: what was taken file by file is of no one moment."""
    path = in_memory.source / "app.db"
    _database(path)
    (in_memory.source / "other").write_text("1")
    in_memory.copy("r1")
    crash_a_writer(path)
    assert onto(in_memory, "r1", paths=["other"]).code == 0

    outcome = in_memory.agent("copy", in_memory.copy_task("r2"))

    assert outcome.reason == "DatabaseBusy"
    path.with_name("app.db-journal").unlink()
    with closing(sqlite3.connect(path)) as found, found:
        found.executescript("DROP TABLE seen; CREATE TABLE seen (n)")
    in_memory.copy("r3")
    assert_equal_to_rsync(in_memory.source, in_memory.data("r3"))


def test_a_safety_copy_that_cannot_be_made_is_passed_over_by_its_word_alone(
    tmp_path: Path,
) -> None:
    with disk(tmp_path, "ext4", "20M") as mount:
        place = place_on(mount, tmp_path / "source")
        (place.source / "a").write_text("old")
        place.copy("r1")
        (place.source / "a").write_bytes(os.urandom(30 << 20))
        lost = fingerprint(place.source)

        refused = onto(place, "r1", acknowledge=["TooLittleRoom"])
        assert (refused.code, refused.reason) == (REFUSED, "TooLittleSpace")
        assert "add NoSafetyCopy to spec.acknowledge" in refused.result["message"]
        assert fingerprint(place.source) == lost

        done = onto(place, "r1", acknowledge=["NoSafetyCopy", "MountsInside"])
        assert done.code == 0, done
        assert (place.source / "a").read_text() == "old"
        assert list(done.result["acknowledged"]) == ["NoSafetyCopy"]
        assert "safety" not in done.result
        assert "NoSafetyCopy was acknowledged: what is there cannot" in done.result["message"]


def test_what_can_be_read_is_kept_before_a_restore_that_goes_on(in_memory: Place) -> None:
    for name in ("good", "bad"):
        (in_memory.source / name).write_text(f"old {name}")
    in_memory.copy("r1")
    for name in ("good", "bad"):
        (in_memory.source / name).write_text(f"new {name}")
    bad, stat = in_memory.source / "bad", os.stat
    inode, unreadable = stat(bad).st_ino, injecting.of_names(in_memory.source, b"bad")

    def fails(*call: Any) -> int | None:
        return unreadable(*call) if stat(bad).st_ino == inode else None

    refused = injecting.run("restore", task_onto(in_memory, "r1", **ONE), fails)
    done = injecting.run(
        "restore", task_onto(in_memory, "r1", **ONE, acknowledge=["NoSafetyCopy"]), fails
    )

    assert "add NoSafetyCopy to spec.acknowledge" in refused["message"]
    assert done["code"] == 0, done
    assert "the copy of what was there lacks 1 entries: bad" in done["message"]
    kept = in_memory.data("before")
    assert (kept / "good").read_text() == "new good"
    assert not (kept / "bad").exists()


def test_what_fails_without_a_safety_copy_is_not_tried_again(tmp_path: Path) -> None:
    """The next try would keep what this one leaves as what was there before."""
    (tmp_path / "small").mkdir()
    (tmp_path / "other").mkdir()
    with (
        disk(tmp_path / "small", "ext4", "20M") as mount,
        disk(tmp_path / "other", "ext4", "40M") as target,
    ):
        place = place_on(mount, target / "source")
        with (place.source / "a").open("wb") as file:
            file.write(os.urandom(15 << 20))
        place.copy("r1")
        (place.source / "a").write_bytes(os.urandom(10 << 20))
        (target / "full").write_bytes(os.urandom(18 << 20))

        outcome = onto(place, "r1", acknowledge=["NoSafetyCopy", "TooLittleRoom"])

    assert (outcome.code, outcome.reason) == (REFUSED, "Failed"), outcome
    assert "of what was there before there is no copy" in outcome.result["message"]
    assert "NoSafetyCopy was acknowledged" in outcome.result["message"]


def test_what_a_restore_cannot_do_is_found_before_a_safety_copy_is_made(in_memory: Place) -> None:
    (in_memory.source / "a").write_text("old")
    in_memory.copy("r1")

    assert onto(in_memory, "r1", paths=["missing"]).reason == "PathNotInPoint"

    assert [point.run for point in in_memory.points()] == ["r1"]


@pytest.mark.parametrize("paths", [[], ["sub"]])
def test_a_directory_that_is_gone_is_recreated_with_those_above_it(
    memory: Path, paths: list[str]
) -> None:
    (memory / "over").mkdir(mode=0o751)
    os.chown(memory / "over", 12, 34)
    (memory / "over/it").mkdir()
    place = place_on(memory, memory / "over/it/source")
    (place.source / "sub").mkdir()
    (place.source / "sub/a").write_text("a")
    (place.source / "b").write_text("b")
    os.chown(place.source, 56, 78)
    place.source.chmod(0o710)
    place.copy("r1")
    before = fingerprint(place.source)
    os.rename(memory / "over/it", memory / "away")
    target = {"root": str(memory / "over"), "path": "it/source"}

    outcome = onto(place, "r1", target=target, paths=paths)

    assert outcome.code == 0, outcome
    assert "nothing was there before" in outcome.result["message"]
    found = fingerprint(place.source)
    assert found == {k: v for k, v in before.items() if not paths or k.startswith(b"sub")}
    one, above = place.source.stat(), place.source.parent.stat()
    assert (one.st_mode & 0o7777, one.st_uid, one.st_gid) == (0o710, 56, 78)
    # Of what was above it nothing is known: it is like what it is in.
    assert (above.st_mode & 0o7777, above.st_uid, above.st_gid) == (0o751, 12, 34)
    assert [point.run for point in place.points()] == ["r1"]


@pytest.mark.parametrize("instead", ["symlink", "file"])
def test_what_is_there_instead_of_the_directory_is_named_by_the_request_s_field(
    in_memory: Place, instead: str
) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    elsewhere = in_memory.source.rename(in_memory.source.with_name("moved"))
    if instead == "symlink":
        in_memory.source.symlink_to(elsewhere)
    else:
        in_memory.source.write_text("x")

    outcome = onto(in_memory, "r1")

    assert (outcome.code, outcome.reason) == (REFUSED, "TargetIsSymlink")
    assert outcome.result["message"].startswith("spec.directory: source in source is a symlink")
    assert (elsewhere / "a").read_text() == "a"


@pytest.mark.parametrize("name", ["usb", "deep/er/usb", "a [b]*\\ ?c/new\nline"])
def test_a_disk_that_was_mounted_since_is_left_alone(in_memory: Place, name: str) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    (in_memory.source / "a").write_text("newer")
    at = in_memory.source / name
    at.mkdir(parents=True)
    (at.parent / "beside").write_text("goes")
    (in_memory.source / "a b").mkdir()
    with mounted(at):
        (at / "photos").write_text("precious")

        outcome = onto(in_memory, "r1")

        assert outcome.code == 0, outcome
        assert (at / "photos").read_text() == "precious"
        assert "left as it is, as it cannot go" in outcome.result["message"]
        assert (in_memory.source / "a").read_text() == "a"
        assert not (at.parent / "beside").exists()
        assert not (in_memory.source / "a b").exists()
        assert not (in_memory.data("before") / name).exists()


def test_a_disk_mounted_where_the_point_has_a_directory_is_not_restored_into_unasked(
    in_memory: Place,
) -> None:
    at = in_memory.source / "data"
    at.mkdir()
    (at / "kept").write_text("old")
    in_memory.copy("r1")
    with mounted(at):
        (at / "photos").write_text("precious")
        lost = fingerprint(in_memory.source)

        refused = onto(in_memory, "r1")
        assert (refused.code, refused.reason) == (REFUSED, "MountsInside")
        assert "at data, where" in refused.result["message"]
        assert "add MountsInside to spec.acknowledge" in refused.result["message"]
        assert fingerprint(in_memory.source) == lost
        assert [point.run for point in in_memory.points()] == ["r1"]

        done = onto(in_memory, "r1", acknowledge=["MountsInside"])
        assert done.code == 0, done
        assert os.listdir(at) == ["kept"]
        assert (in_memory.data("before") / "data/photos").read_text() == "precious"


def test_a_mount_on_the_way_of_what_is_restored_is_refused_by_its_path(in_memory: Place) -> None:
    path = in_memory.source / "resolv.conf"
    path.write_text("old")
    in_memory.copy("r1")
    other = in_memory.source.with_name("other")
    other.write_text("mounted")
    with mounted(path, "--bind", other):
        outcome = onto(in_memory, "r1")
        assert (outcome.code, outcome.reason) == (REFUSED, "MountInTheWay")
        assert "resolv.conf" in outcome.result["message"]
        assert onto(in_memory, "r1", paths=[]).reason == "MountInTheWay"
        assert path.read_text() == "mounted"


def test_a_new_directory_is_not_restored_beside_the_empty_disk_that_is_mounted_there(
    in_memory: Place, memory: Path
) -> None:
    (in_memory.source / "a").write_text("a")
    in_memory.copy("r1")
    (memory / "disk").mkdir()
    with mounted(memory / "disk"):
        outcome = aside(in_memory, "r1", memory / "disk")

    assert (outcome.code, outcome.reason) == (REFUSED, "TargetIsMount")
    assert not list(memory.glob(".backstay-partial-*"))


@pytest.mark.parametrize("inside", ["backup", "not-in-the-point/backup"])
def test_copies_that_lie_in_the_directory_itself_survive_its_restore(
    memory: Path, inside: str
) -> None:
    """The policy excludes them; the copy of what is there has no excludes of the policy."""
    source = memory / "source"
    (source / inside).mkdir(parents=True)
    place = Place(source, source / inside)
    place.init()
    (source / "a").write_text("old")
    top = inside.partition("/")[0]
    excluding = {"root": str(memory), "path": "source", "exclude": [f"/{top}"]}
    place.copy("r1", source=excluding)
    (source / "a").write_text("newer")

    outcome = onto(place, "r1")

    assert outcome.code == 0, outcome
    assert (source / "a").read_text() == "old"
    assert (place.data("before") / "a").read_text() == "newer"
    place.assert_settled()


@pytest.mark.parametrize("found", ["nothing", "an empty directory"])
def test_another_directory_that_has_all_of_a_point_goes_on_with_its_copies(
    ext4: Path, found: str
) -> None:
    top = Path(tempfile.mkdtemp(dir=ext4))
    place = place_on(top, top / "source")
    for run in ("r1", "r2"):
        (place.source / "a").write_text(run)
        place.copy(run)
    (old,) = place.point("r1").source
    os.rename(place.source, top / "away")
    if found != "nothing":
        place.source.mkdir()

    outcome = onto(place, "r1")

    assert outcome.code == 0, outcome
    (place.source / "a").write_text("3")
    (new,) = place.copy("r3")["point"]["source"]
    assert new != old
    assert [place.point(run).source for run in ("r1", "r2", "r3")] == [
        (old, new),
        (old, new),
        (new,),
    ]
    assert all(current([(p.order, p.source) for p in place.points()]))
    place.assert_settled()
