"""Sources that do not stand still: they are copied consistently, or that is said."""

from __future__ import annotations

import mmap
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.faults.rolling.conftest import place_on
from tests.faults.rolling.harness import Place, assert_equal_to_rsync, read_only

WRITER = """
import os, random, sqlite3, sys
parent = os.getppid()
path, mode = sys.argv[1:]
c = sqlite3.connect(path, timeout=30, isolation_level=None)
c.execute(f"PRAGMA journal_mode={mode}")
print(flush=True)
n = 0
while os.getppid() == parent:
    n += 1
    c.execute("BEGIN IMMEDIATE")
    c.execute("UPDATE seen SET n = ?", (n,))
    for _ in range(200):
        c.execute("UPDATE t SET b = ? WHERE a = ?", (n, random.randrange(20000)))
    c.execute("COMMIT")
"""
GROWER = """
import contextlib, os, sys, time
parent = os.getppid()
with contextlib.suppress(PermissionError):
    os.nice(-15)  # it must have its turn while the copy reads, whatever else runs here
file = open(sys.argv[1], "ab", buffering=0)
print(flush=True)
while os.getppid() == parent:
    file.write(b"a line of a log\\n")
    time.sleep(0.001)  # it goes on for as long as a busy machine takes to begin the copy
"""


@pytest.fixture
def place(in_memory: Place) -> Place:
    return in_memory


@contextmanager
def running(code: str, *arguments: str | Path) -> Iterator[None]:
    """Given a program, have it at work as long as the block lasts, or its parent lives: one that
    is left behind would fill the memory.
    """
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def make_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INT, c TEXT)")
        connection.execute("CREATE TABLE seen (n INT)")
        connection.execute("INSERT INTO seen VALUES (0)")
        rows = ((number, "x" * 150) for number in range(20_000))
        connection.executemany("INSERT INTO t VALUES (?, 0, ?)", rows)
        connection.commit()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_that_is_written_to_is_copied_as_of_one_moment(
    place: Place, memory: Path, mode: str
) -> None:
    make_database(place.source / "app.db")
    with (
        running(WRITER, place.source / "app.db", mode),
        read_only(place, memory / "mounted") as job,
    ):
        for number in range(4):
            job.copy(f"r{number}")

    for number in range(4):
        copied = place.data(place.point(f"r{number}").tree)
        # A journal is there only in the middle of a commit: without one it is a plain file that
        # changed, and is read again.
        names = sorted(os.listdir(copied))
        assert names == ["app.db"], names
        with closing(sqlite3.connect(f"file:{copied}/app.db?immutable=1", uri=True)) as found:
            assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            newest = found.execute("SELECT max(b) FROM t").fetchone()
            assert newest == found.execute("SELECT n FROM seen").fetchone()
    place.assert_settled()


def test_a_database_at_rest_is_copied_byte_for_byte_and_linked_next_time(place: Place) -> None:
    make_database(place.source / "app.db")
    (place.source / "other").write_bytes(b"1")
    place.copy("r1")
    (place.source / "other").write_bytes(b"2")
    stats = place.copy("r2")["stats"]
    assert stats["copied"] == 1
    assert_equal_to_rsync(place.source, place.data("r2"))


def test_a_database_whose_log_alone_changed_is_copied_again(place: Place) -> None:
    path = place.source / "app.db"
    make_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE seen SET n = 1")
        connection.commit()
        first = place.copy("r1")
        connection.execute("UPDATE seen SET n = 2")
        connection.commit()
        second = place.copy("r2")
        unchanged = place.copy("r3")
    assert first["notes"]["databases"] == {"count": 1, "examples": ["app.db"]}
    assert second["stats"]["copied"] == 1
    assert unchanged.get("stats", {"copied": 0})["copied"] == 0
    for run, value in (("r1", 1), ("r2", 2)):
        copied = place.data(run) / "app.db"
        with closing(sqlite3.connect(f"file:{copied}?immutable=1", uri=True)) as found:
            assert found.execute("SELECT n FROM seen").fetchone() == (value,)
    place.assert_settled()


DIES = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA cache_size=5")
c.execute("BEGIN")
c.execute("UPDATE t SET b = 1, c = 'y'")
print(flush=True)
os._exit(1)
"""


def test_a_database_that_cannot_be_read_as_of_one_moment_fails_the_run(place: Place) -> None:
    """Its writer died in a commit: only a writer may repair it."""
    path = place.source / "app.db"
    make_database(path)
    with running(DIES, path):
        pass
    assert (place.source / "app.db-journal").stat().st_size > 0

    outcome = place.agent("copy", place.copy_task("r1"))

    assert (outcome.code, outcome.reason) == (1, "DatabaseBusy")
    assert "app.db" in outcome.result["message"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(b) FROM t").fetchone() == (0,)
    place.copy("r1")
    assert_equal_to_rsync(place.source, place.data("r1"))
    place.assert_settled()


LOGS = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode=wal")
c.execute("PRAGMA wal_autocheckpoint=0")
c.execute("UPDATE seen SET n = 2")
print(flush=True)
os._exit(1)
"""


@pytest.mark.parametrize("stored", [False, True], ids=["at-rest", "with-an-empty-log"])
def test_a_database_restored_in_place_has_no_log_of_what_was_there(
    place: Place, stored: bool
) -> None:
    """SQLite would replay it over what was restored."""
    path = place.source / "sub/app.db"
    path.parent.mkdir()
    make_database(path)
    if stored:
        path.with_name("app.db-wal").touch()
    for name in ("notes", "notes-wal"):
        path.with_name(name).write_text("no database")
    stamp = place.copy("r1")["point"]["stamp"]
    with running(LOGS, path):
        pass
    assert path.with_name("app.db-wal").stat().st_size > 0
    target = {"root": str(place.source.parent), "path": place.source.name}
    safety = {"run": "before", "labels": {}}
    task = place.task(stamp=stamp, target=target, inPlace=True, safety=safety)

    outcome = place.agent("restore", {**task, "paths": ["sub/app.db", "sub/notes"]})

    assert outcome.code == 0, outcome
    assert sorted(os.listdir(path.parent)) == ["app.db", "notes", "notes-wal"]
    for database, value in ((path, 0), (place.data("before") / "sub/app.db", 2)):
        with closing(sqlite3.connect(database)) as found:
            assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert found.execute("SELECT n FROM seen").fetchone() == (value,)


def test_a_file_that_grows_under_the_copy_is_reported_and_read_again_next_time(
    place: Place,
) -> None:
    log = place.source / "app.log"
    log.write_bytes(b"a line of a log\n" * 500_000)
    with running(GROWER, log):
        result = place.copy("r1", limits={"bandwidth": 8 << 20})  # a second for each reading

    assert result["notes"]["changedWhileRead"] == {"count": 1, "examples": ["app.log"]}
    copied = (place.data("r1") / "app.log").read_bytes()
    assert log.read_bytes().startswith(copied)
    place.assert_settled()
    place.copy("r2")
    assert_equal_to_rsync(place.source, place.data("r2"))


CHURN = """
import os, sys
parent = os.getppid()
os.chdir(sys.argv[1])
print(flush=True)
while os.getppid() == parent:
    for n in range(60):
        os.makedirs(f"d{n}/e", exist_ok=True)
        open(f"d{n}/e/f", "w").write("x")
    for n in range(60):
        os.unlink(f"d{n}/e/f"); os.rmdir(f"d{n}/e"); os.rmdir(f"d{n}")
"""


def test_files_and_directories_that_vanish_under_the_copy_do_not_fail_it(place: Place) -> None:
    for number in range(50):
        (place.source / f"stays{number}").write_text(str(number))
    with running(CHURN, place.source):
        for number in range(8):
            place.copy(f"r{number}", shrink={"allow": True})

    for point in place.points():
        there = place.data(point.tree)
        assert all((there / f"stays{number}").exists() for number in range(50))
    place.assert_settled()
    place.copy("last", shrink={"allow": True})
    assert_equal_to_rsync(place.source, place.data("last"))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_store_into_a_mapped_page_is_copied_by_the_next_run(
    request: pytest.FixtureRequest, memory: Path, kind: str
) -> None:
    """A store into a page that is dirty already moves no time."""
    source = Path(tempfile.mkdtemp(dir=request.getfixturevalue(kind)))
    place = place_on(memory, source / "source")
    path = place.source / "mapped"
    path.write_bytes(b"\0" * 4096)
    with path.open("r+b") as file, closing(mmap.mmap(file.fileno(), 0)) as mapped:
        mapped[0] = 1
        place.copy("r1")
        mapped[1] = 2

        result = place.copy("r2")

    assert result["reason"] == "Copied"
    assert (place.data("r2") / "mapped").read_bytes()[:2] == b"\1\2"
