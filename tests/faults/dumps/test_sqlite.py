"""SQLite dumps: round trips, and what goes wrong."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.dumps.harness import Container
from tests.support import debian

from backstay.api.dumps import Sqlite
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, DumpTask, State

SQLITE = ENGINES["sqlite"]
NASTY = """
CREATE TABLE "größe 🐘" (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT, b BLOB, r REAL,
    twice INT GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO "größe 🐘" (t, b, r) VALUES ('a😀b', x'00ff0a', 9e999), (NULL, NULL, -0.0);
CREATE VIEW v AS SELECT count(*) FROM "größe 🐘";
CREATE TRIGGER tr AFTER INSERT ON "größe 🐘" BEGIN UPDATE "größe 🐘" SET r = 1; END;
CREATE INDEX i ON "größe 🐘" (t) WHERE t IS NOT NULL;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words VALUES ('the quick $(brown) fox');
PRAGMA user_version = 42;
"""


@pytest.fixture(params=["wal", "delete"])
def pod(request: pytest.FixtureRequest, container: Container) -> Container:
    debian.require({"sqlite3": "sqlite3"})
    with sqlite3.connect(container.folder / "it's $(a) db") as database:
        database.executescript(f"PRAGMA journal_mode = {request.param}; {NASTY}")
    database.close()
    programs = "/usr/bin" if "busybox" in container.shell.argv[0] else ""
    return replace(container, programs=programs)


def dump(container: Container, path: Path | str, task: DumpTask | None = None) -> DumpState:
    return container.run(SQLITE.start(task or container.task(), Sqlite(database=str(path))))


def contents(path: Path) -> list[str]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        # The shadow tables of a full-text index are rebuilt by VACUUM.
        lines = sorted(line for line in database.iterdump() if "words_" not in line)
        version = database.execute("PRAGMA user_version").fetchone()
        found = database.execute("SELECT * FROM words WHERE words MATCH 'quick'").fetchall()
        return [*lines, repr(version), repr(found)]
    finally:
        database.close()


def test_a_dump_is_the_same_database(pod: Container) -> None:
    source = pod.folder / "it's $(a) db"
    state = dump(pod, source)
    assert state.state == State.DONE, state
    assert contents(pod.file) == contents(source)


def test_what_the_database_has_and_the_dump_lacks_fails_it(pod: Container) -> None:
    source = pod.folder / "it's $(a) db"
    folder = pod.folder / "bin"
    folder.mkdir()
    (folder / "sqlite3").write_text(
        '#!/bin/sh\n/usr/bin/sqlite3 "$@" || exit\ncase $* in *VACUUM*)\n'
        f'/usr/bin/sqlite3 {pod.file}.partial "DROP VIEW v; PRAGMA user_version = 41" ;;\nesac\n'
    )
    (folder / "sqlite3").chmod(0o755)
    state = dump(replace(pod, programs=f"{folder}:{pod.programs}"), source)
    assert state.message == "the database has what the dump lacks: view v, user_version 42", state


def test_a_value_of_9_mb_and_an_applications_numbers_are_in_the_dump(pod: Container) -> None:
    source = pod.folder / "it's $(a) db"
    with sqlite3.connect(source) as database:
        database.execute("CREATE TABLE large AS SELECT zeroblob(9 * 1024 * 1024) AS d, 'x' AS t")
        database.execute("CREATE TABLE word (w TEXT PRIMARY KEY) WITHOUT ROWID")
        database.execute("PRAGMA application_id = 7")
    database.close()
    assert dump(pod, source).state == State.DONE
    assert contents(pod.file) == contents(source)
    copy = sqlite3.connect(pod.file)
    assert copy.execute("PRAGMA application_id").fetchone() == (7,)
    copy.close()


def test_a_writer_in_the_middle_disturbs_nothing(pod: Container) -> None:
    source = pod.folder / "it's $(a) db"
    before = contents(source)
    writer = sqlite3.connect(source)
    writer.execute("INSERT INTO words VALUES ('not committed')")
    assert dump(pod, source).state == State.DONE
    writer.rollback()
    writer.close()
    assert contents(pod.file) == before


def test_what_is_no_database_is_said_and_nothing_is_made(pod: Container) -> None:
    good = dump(pod, pod.folder / "it's $(a) db", pod.task("before"))
    missing = pod.folder / "missing.db"
    assert dump(pod, missing).message == f"there is no database {missing}"
    assert not missing.exists()
    text = pod.folder / "text"
    text.write_text("not a database at all" * 100)
    assert "file is not a database" in (dump(pod, text, pod.task(attempt=2)).message or "")
    pod.assert_settled()
    assert pod.result(pod.task("before")) == good
