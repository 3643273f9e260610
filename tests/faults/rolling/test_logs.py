"""A log belongs to its database, whatever is excluded; a name alone makes nothing a log."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.faults.rolling.harness import Place, assert_equal_to_rsync

OUT = ["*-wal", "*-shm", "*-journal"]


@pytest.fixture
def place(in_memory: Place) -> Place:
    return in_memory


@pytest.fixture
def database(place: Place) -> Iterator[sqlite3.Connection]:
    """A database that somebody has open, whose commits are in its log."""
    with closing(sqlite3.connect(place.source / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        yield connection


def add(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()


def excluding(place: Place, run: str, exclude: list[str]) -> dict[str, Any]:
    source = {"root": str(place.source.parent), "path": place.source.name, "exclude": exclude}
    return place.copy(run, source=source)


def rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as found:
        return int(found.execute("SELECT count(*) FROM t").fetchone()[0])


@pytest.mark.parametrize("exclude", [OUT, ["*-wal"], ["/app.db-*"], ["*-shm"], []])
def test_commits_are_in_the_copy_though_the_log_that_has_them_is_excluded(
    place: Place, database: sqlite3.Connection, exclude: list[str]
) -> None:
    for number in range(3):
        add(database)
        excluding(place, f"r{number}", exclude)
        copied = place.data(place.point(f"r{number}").tree)
        assert os.listdir(copied) == ["app.db"]
        assert rows(copied / "app.db") == number + 1
    assert excluding(place, "r4", exclude).get("stats", {"copied": 0})["copied"] == 0
    place.assert_settled()


def test_a_journal_that_is_excluded_is_not_overlooked(place: Place) -> None:
    """What it holds was not committed, and the file beside it is half written."""
    path = place.source / "app.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?)", (("x" * 4000,) for _ in range(200)))
        for suffix in ("", "-journal"):
            shutil.copy(f"{path}{suffix}", place.source / f"dead.db{suffix}")
        connection.execute("ROLLBACK")
    source = {"root": str(place.source.parent), "path": "source", "exclude": OUT}
    outcome = place.agent("copy", place.copy_task("r1", source=source))
    assert (outcome.code, outcome.reason) == (1, "DatabaseBusy")
    assert "dead.db" in outcome.result["message"]


def test_what_is_excluded_and_of_no_database_stays_out(place: Place) -> None:
    for name in ("notes", "notes-wal", "alone-wal", "app.db"):
        (place.source / name).write_text(name)
    with closing(sqlite3.connect(place.source / "rest.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    (place.source / "rest.db-wal").touch()
    (place.source / "rest.db-journal").write_text("a diary")
    excluding(place, "r1", OUT)
    assert sorted(os.listdir(place.data("r1"))) == ["app.db", "notes", "rest.db"]
    assert excluding(place, "r2", OUT)["reason"] == "Unchanged"


def test_a_file_that_is_only_named_like_a_log_is_copied_as_any_other(place: Place) -> None:
    with closing(sqlite3.connect(place.source / "app.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    for name in ("app.db-journal", "app.db-wal", "app.db-shm", "notes", "notes-wal"):
        (place.source / name).write_text(f"{name}: my diary")
    result = place.copy("r1")
    assert "databases" not in result["notes"]
    assert_equal_to_rsync(place.source, place.data("r1"))
    (place.source / "app.db-journal").write_text("another day")
    place.copy("r2")
    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_diary_in_the_place_of_a_live_databases_journal_is_not_left_out_in_silence(
    place: Place, database: sqlite3.Connection
) -> None:
    """SQLite takes it for one of a writer that died, and would remove it."""
    add(database)
    (place.source / "app.db-journal").write_text("my diary")
    assert place.agent("copy", place.copy_task("r1")).reason == "DatabaseBusy"


@pytest.mark.parametrize("other", ["aaa.db", "zzz.db"])
def test_a_database_with_two_names_has_the_commits_of_its_log_under_the_name_that_has_one(
    place: Place, database: sqlite3.Connection, other: str
) -> None:
    os.link(place.source / "app.db", place.source / other)
    for number in range(3):
        add(database)
        place.copy(f"r{number}")
        assert rows(place.data(f"r{number}") / "app.db") == number + 1


def test_other_engines_are_reported_for_they_are_copied_file_by_file(place: Place) -> None:
    for name in ("pg/PG_VERSION", "pg/global/1", "pg/pg_wal/1", "other"):
        (place.source / name).parent.mkdir(parents=True, exist_ok=True)
        (place.source / name).write_text("1")
    assert place.copy("r1")["notes"]["engines"] == {"count": 1, "examples": ["pg (PostgreSQL)"]}
    (place.source / "other").write_text("2")
    assert "engines" not in place.copy("r2")["notes"]
    (place.source / "pg/pg_wal/2").write_text("2")
    assert "engines" in place.copy("r3")["notes"]
