"""A consistent copy of a SQLite database that somebody may be writing to.

Copying its file while a writer commits gives a torn one, and copying its journal beside it is no
better. SQLite's own backup call, told to take all pages in one step, reads under one lock: the
result is the database at one moment, page for page. (The command-line tool's `.backup` goes in
steps and starts anew at each foreign commit, so it may never end.)

Invariants: the database is reached by descriptors that no symlink was followed for; what SQLite
really opened is compared with them before a byte is believed.
"""

# ruff: noqa: N818 - an error is named after what it is about, as in domain/errors.py

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from typing import Final
from urllib.parse import quote

from backstay.agent.files import open_file
from backstay.agent.paths import printable
from backstay.domain.errors import DataError

HEADER: Final = b"SQLite format 3\0"
LOGS: Final = (b"-wal", b"-journal")
SIBLINGS: Final = (*LOGS, b"-shm")
_WAIT: Final = 60  # seconds for a lock


class DatabaseBusy(DataError):
    """A live database could not be copied as of one moment."""


def is_database(name: bytes, directory: int) -> bool:
    """Given a file, return whether it is a SQLite database."""
    try:
        fd = open_file(name, directory)
    except OSError:
        return False
    try:
        return os.pread(fd, len(HEADER), 0) == HEADER
    finally:
        os.close(fd)


def is_live(name: bytes, sizes: dict[bytes, int]) -> bool:
    """Given a database's name and the sizes of the files beside it, return whether it has a write
    ahead log or a journal with something in it.
    """
    return any(sizes.get(name + suffix, 0) > 0 for suffix in LOGS)


def has_log(name: bytes, directory: int) -> bool:
    """Given a database that was read as a plain file, return whether it has a journal or a log
    now: then a commit may have been halfway through all the while, moving nothing.
    """
    sizes = {}
    for suffix in LOGS:
        with suppress(FileNotFoundError):
            found = os.stat(name + suffix, dir_fd=directory, follow_symlinks=False)
            sizes[name + suffix] = found.st_size
    return is_live(name, sizes)


def copy_database(name: bytes, source: int, target: int) -> None:
    """Given a database's name and the directories that it is copied from and to (where it is not
    yet), copy it as of one moment. Raise DatabaseBusy if that cannot be had.

    To be called in a process without another descriptor of that file: closing one drops locks.
    """
    try:
        with (
            closing(_open(source, name, "ro")) as old,
            closing(_open(target, name, "rwc")) as new,
        ):
            old.execute("BEGIN")
            old.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock
            _insist_on(name, source, _descriptors())
            new.execute("PRAGMA synchronous=OFF")
            new.execute("PRAGMA journal_mode=MEMORY")
            old.backup(new, pages=-1)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseBusy(
            f"the SQLite database {printable(name)} is in use and cannot be copied as of one"
            f" moment ({error}); stop its writer, exclude it, or back up a dump or a snapshot",
        ) from error


def _open(directory: int, name: bytes, mode: str) -> sqlite3.Connection:
    path = f"/proc/self/fd/{directory}/".encode() + name
    uri = f"file:{quote(path)}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT)


def _descriptors() -> set[tuple[int, int]]:
    """Return device and inode of every regular file that this process has open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            one = os.stat(int(fd))
        except OSError:
            continue  # the listing's own
        found.add((one.st_dev, one.st_ino))
    return found


def _insist_on(name: bytes, directory: int, opened: Collection[tuple[int, int]]) -> None:
    """Raise OSError unless the database that was opened is the one in this directory."""
    one = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if (one.st_dev, one.st_ino) not in opened:
        raise OSError("it was replaced while it was opened")
