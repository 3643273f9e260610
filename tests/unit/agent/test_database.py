"""A database is copied with the logs beside it, and never with somebody else's."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backstay.agent.fs import sqlite
from backstay.agent.fs.paths import DIRECTORY
from backstay.domain.errors import DataError


def make_database(directory: Path, text: str) -> None:
    """Make a database whose one row is in its write ahead log, as of a writer that was killed."""
    directory.mkdir()
    with closing(sqlite3.connect(directory / "live.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO t VALUES (?)", (text,))
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(directory / f"live.db{suffix}", directory / f"app.db{suffix}")
    (directory / "live.db").unlink()


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    """Two directories below one root, and one for copies."""
    for name in ("own", "victim"):
        make_database(tmp_path / name, f"of {name}")
    (tmp_path / "copy").mkdir()
    return tmp_path


def copied(tenants: Path) -> list[tuple[str]]:
    source, target = (os.open(tenants / name, DIRECTORY) for name in ("own", "copy"))
    try:
        sqlite.copy_database(b"app.db", source, target)
    finally:
        os.close(source)
        os.close(target)
    with closing(sqlite3.connect(tenants / "copy/app.db")) as found:
        return found.execute("SELECT a FROM t").fetchall()


def hook(monkeypatch: pytest.MonkeyPatch, then: Callable[[sqlite3.Connection], None]) -> None:
    """Have something happen when the source's database has been opened, and before it is read."""
    plain = sqlite._open

    def hooked(directory: int, name: bytes, mode: str) -> sqlite3.Connection:
        connection = plain(directory, name, mode)
        if mode == "ro":
            then(connection)
        return connection

    monkeypatch.setattr(sqlite, "_open", hooked)


def test_what_is_in_the_log_is_copied(tenants: Path) -> None:
    assert copied(tenants) == [("of own",)]
    assert sorted(os.listdir(tenants / "copy")) == ["app.db"]


def test_a_directory_that_is_swapped_after_the_open_brings_no_log_of_another_tenant(
    tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite opens the logs by the path that it found for the database."""

    def swap(_: sqlite3.Connection) -> None:
        (tenants / "own").rename(tenants / "aside")
        (tenants / "own").symlink_to("victim")

    hook(monkeypatch, swap)

    with pytest.raises(DataError, match=r"app\.db"):
        copied(tenants)

    assert b"of victim" not in (tenants / "copy/app.db").read_bytes()


def test_a_log_that_is_a_symlink_is_not_read(tenants: Path) -> None:
    (tenants / "own/app.db-wal").unlink()
    (tenants / "own/app.db-wal").symlink_to("../victim/app.db-wal")

    with pytest.raises(DataError, match=r"app\.db"):
        copied(tenants)


def test_a_file_of_another_tenant_that_is_opened_while_it_copies_fails_it(
    tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def progress(*_: object) -> None:
        opened.append(os.open(tenants / "victim/app.db-wal", os.O_RDONLY))

    class Late(sqlite3.Connection):
        def backup(self, target: sqlite3.Connection, *, pages: int = -1) -> None:  # type: ignore[override]
            super().backup(target, pages=pages, progress=progress)

    def late(directory: int, name: bytes, mode: str) -> sqlite3.Connection:
        path = f"file:/proc/self/fd/{directory}/{name.decode()}?mode={mode}"
        return sqlite3.connect(path, uri=True, isolation_level=None, factory=Late)

    monkeypatch.setattr(sqlite, "_open", late)
    try:
        with pytest.raises(DataError, match=r"app\.db"):
            copied(tenants)
        assert opened
    finally:
        for fd in opened:
            os.close(fd)
