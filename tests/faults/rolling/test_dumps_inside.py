"""The dumps in a copy are read again before it counts: right, replaced, missing, not readable."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling import injecting
from tests.faults.rolling.harness import Place

REFUSED = 3
DUMP = "backstay/shop.dump"
CONTENT = b"the dump\n" * 300_000
TAKEN = "2026-11-21T23:32:05+00:00"


@pytest.fixture
def place(in_memory: Place) -> Place:
    (in_memory.source / "backstay").mkdir()
    (in_memory.source / DUMP).write_bytes(CONTENT)
    (in_memory.source / "other").write_bytes(b"data")
    return in_memory


def expected(content: bytes = CONTENT, path: str = DUMP) -> list[dict[str, str]]:
    return [{"name": "shop", "path": path, "sha256": hashlib.sha256(content).hexdigest()}]


def fails(place: Place, run: str, reason: str, words: str, **more: Any) -> None:
    """A copy fails, is not tried again by its Job, and leaves no point."""
    before = [p.stamp for p in place.points()] if place.folder.points.is_dir() else []
    outcome = place.agent("copy", place.copy_task(run, **more))
    assert (outcome.code, outcome.reason) == (REFUSED, reason), outcome
    assert words in outcome.result["message"]
    assert [p.stamp for p in place.points()] == before


def test_a_copy_with_the_dumps_that_were_taken_is_good(place: Place) -> None:
    done = place.copy("r1", dumps=expected())
    assert done["reason"] == "Copied"
    # A dump whose content is as before: the tree is the one that is there.
    assert place.copy("r2", dumps=expected())["reason"] == "Unchanged"
    place.assert_settled()


def test_a_dump_that_was_replaced_fails_the_copy_in_words(place: Place) -> None:
    (place.source / DUMP).write_bytes(CONTENT[:-1] + b"!")
    fails(
        place,
        "r1",
        "DumpReplaced",
        "dump shop was replaced before it was copied: backstay/shop.dump does not have",
        dumps=expected(),
    )
    # The next run has taken what is there.
    place.copy("r2", dumps=expected(CONTENT[:-1] + b"!"))
    place.assert_settled()


def test_an_unchanged_source_whose_dump_should_have_changed_gives_no_point(place: Place) -> None:
    place.copy("r1")
    fails(place, "r2", "DumpReplaced", "dump shop was replaced", dumps=expected(b"another"))
    place.assert_settled()


def to_nothing(dump: Path) -> None:
    dump.unlink()


def to_symlink(dump: Path) -> None:
    dump.rename(dump.with_name("real"))
    dump.symlink_to("real")


def to_pipe(dump: Path) -> None:
    dump.unlink()
    os.mkfifo(dump)


def to_folder(dump: Path) -> None:
    dump.unlink()
    dump.mkdir()


def behind_symlink(dump: Path) -> None:
    dump.parent.rename(dump.parent.with_name("elsewhere"))
    dump.parent.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "change", [to_nothing, to_symlink, to_pipe, to_folder, behind_symlink], ids=lambda c: c.__name__
)
def test_a_dump_that_is_no_file_any_more_fails_the_copy(
    place: Place, change: Callable[[Path], None]
) -> None:
    change(place.source / DUMP)
    fails(place, "r1", "DumpMissing", "dump shop is not in the copy: backstay/sh", dumps=expected())


def test_a_dump_that_exclude_leaves_out_fails_the_copy_and_names_the_field(place: Place) -> None:
    source = {"root": str(place.source.parent), "path": place.source.name, "exclude": ["*.dump"]}
    fails(place, "r1", "DumpMissing", "spec.rolling.exclude", dumps=expected(), source=source)


def test_a_dump_that_cannot_be_read_fails_the_copy_also_where_other_entries_may_be_missing(
    place: Place,
) -> None:
    source = {
        "root": str(place.source.parent),
        "path": place.source.name,
        "allowUnreadable": True,
    }
    fails_there = injecting.of_names(place.source, b"shop.dump")
    limits = {"processes": 1}
    task = place.copy_task("r1", dumps=expected(), source=source, limits=limits)
    found = injecting.run("copy", task, fails_there)
    assert (found["code"], found["reason"]) == (REFUSED, "DumpMissing")
    assert "could not be read" in found["message"]
    assert place.points() == []


def test_a_copy_of_a_snapshot_is_dated_by_the_snapshot_and_still_the_newest(place: Place) -> None:
    """The run before may have copied the live volume after this snapshot was taken."""
    place.copy("r1")
    (place.source / "other").write_bytes(b"more")

    made = place.copy("r2", taken=TAKEN, dumps=expected())

    assert made["point"]["taken"] == TAKEN
    assert made["point"]["stamp"] == "2026-11-21T233205Z"
    assert place.point("r2").seq == 2
    # What it is made of is the tree made last, not the one with the latest date.
    (place.source / "other").write_bytes(b"third")
    assert place.copy("r3")["stats"]["copied"] == 1
    place.assert_settled()


def test_a_task_with_a_dump_without_checksum_or_a_broken_time_is_refused_by_field(
    place: Place,
) -> None:
    for more, field in (
        ({"dumps": [{"name": "shop", "path": DUMP}]}, "dumps[0].sha256"),
        ({"dumps": {"shop": "x"}}, "dumps: expected a list"),
        ({"taken": "yesterday"}, "taken"),
    ):
        outcome = place.agent("copy", place.copy_task("r1", **more))
        assert (outcome.code, outcome.reason) == (2, "BadTask")
        assert field in outcome.result["message"]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_dump_that_is_a_sqlite_database_is_copied_byte_for_byte(place: Place, mode: str) -> None:
    """As the sqlite engine makes it. Databases are copied by SQLite, which may write others."""
    live, dump = place.source.parent / "live.db", place.source / "backstay/shop.sqlite"
    with closing(sqlite3.connect(live)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
        database.execute("CREATE TABLE t AS SELECT 'x' AS a UNION SELECT 'y'")
        database.commit()
        database.execute("VACUUM INTO ?", [str(dump)])

    place.copy("r1", dumps=expected(dump.read_bytes(), "backstay/shop.sqlite"))
    (place.source / "other").write_bytes(b"more")
    place.copy("r2", dumps=expected(dump.read_bytes(), "backstay/shop.sqlite"))
