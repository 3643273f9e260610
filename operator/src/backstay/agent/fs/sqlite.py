"""A consistent copy of a SQLite database that somebody may be writing to.

Copying its file while a writer commits gives a torn one, and copying its journal beside it is no
better. SQLite's own backup call, asked for all pages in one step, reads under one lock: the
result is the database at one moment, page for page. (The command-line tool's `.backup` goes in
steps and starts again at each foreign commit, so it may never end.)

Invariants: the database is reached by descriptors that no symlink was followed for; every file that
SQLite really opened is compared with what is there, before a byte is copied and after the last one.
"""

# ruff: noqa: N818 - an error is named after what it is about, as in domain/errors.py

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Collection
from contextlib import closing, suppress
from typing import Final
from urllib.parse import quote

from backstay.agent.fs.copy_file import open_file
from backstay.agent.fs.paths import VANISHED, printable
from backstay.domain.errors import DataError

HEADER: Final = b"SQLite format 3\0"
LOGS: Final = (b"-wal", b"-journal")
SIBLINGS: Final = (*LOGS, b"-shm")
_WAIT: Final = 60  # seconds for a lock
_BEGINNINGS: Final = {
    b"-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
    b"-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", bytes(8)),
    b"-shm": (b"\x18\xe2\x2d\x00", b"\x00\x2d\xe2\x18", bytes(4)),
}
"""How a log begins (SQLite's file format, sections 3 and 4, and walformat.html); of a -shm the
number of its version, in the order of bytes of its machine."""
_LONGEST: Final = 8


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


def is_log(name: bytes, directory: int) -> bool:
    """Given a file with the name of a database's log, return whether it has the form of one: a
    diary may be called `app.db-journal`. Raise OSError if it cannot be read.

    A journal has no magic yet before its first page is synced, and none any more when its commit
    is done and it is kept (PRAGMA journal_mode=PERSIST).
    """
    suffix = next((one for one in SIBLINGS if name.endswith(one)), b"")
    try:
        fd = open_file(name, directory)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in VANISHED:
            raise
        return True  # a symlink, which SQLite follows: whoever copies the database is to see that
    try:
        begin = os.pread(fd, _LONGEST, 0)
    finally:
        os.close(fd)
    return not begin or begin.startswith(_BEGINNINGS.get(suffix, ()))


def has_log(name: bytes, directory: int) -> bool:
    """Given a database that was read as a plain file, return whether it has a journal or a log
    now: then a commit may have been halfway through all the while, moving nothing.
    """
    for suffix in LOGS:
        with suppress(FileNotFoundError):
            log = name + suffix
            there = os.stat(log, dir_fd=directory, follow_symlinks=False)
            if there.st_size > 0 and is_log(log, directory):
                return True
    return False


def copy_database(name: bytes, source: int, target: int) -> None:
    """Given a database's name and the directories that it is copied from and to (where it is not
    yet), copy it as of one moment. Raise DatabaseBusy if that cannot be had.

    To be called in a process without another descriptor of that file: closing one drops locks.
    """
    try:
        with closing(_open(target, name, "rwc")) as new:
            new.execute("PRAGMA synchronous=OFF")
            new.execute("PRAGMA journal_mode=MEMORY")
            ours = _open_files()
            with closing(_open(source, name, "ro")) as old:
                old.execute("BEGIN")
                old.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock
                _insist_on(name, source, _open_files() - ours)
                old.backup(new, pages=-1)
                _insist_on(name, source, _open_files() - ours)
    except (sqlite3.Error, OSError) as error:
        why = (error.strerror or error) if isinstance(error, OSError) else error
        raise DatabaseBusy(
            f"the SQLite database {printable(name)} is in use and cannot be copied as of one"
            f" moment ({why}); stop its writer, exclude it, or back up a dump or a snapshot",
        ) from error


def _open(directory: int, name: bytes, mode: str) -> sqlite3.Connection:
    path = f"/proc/self/fd/{directory}/".encode() + name
    uri = f"file:{quote(path)}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT)


def _open_files() -> set[tuple[int, int, int]]:
    """Return descriptor, device and inode of every regular file that this process has open."""
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            one = os.stat(fd)
        except OSError:
            continue  # the listing's own
        if stat.S_ISREG(one.st_mode):
            found.add((fd, one.st_dev, one.st_ino))
    return found


def _insist_on(name: bytes, directory: int, opened: Collection[tuple[int, int, int]]) -> None:
    """Raise OSError unless what was opened is the database in this directory and its logs there.

    SQLite makes a path of the database once and opens the logs by that, later: whoever swaps a
    directory on the way for a symlink would have another one's log read into his copy.
    """
    inodes = {(device, inode) for _, device, inode in opened}
    main = _inode(name, directory)
    own = {main}
    for suffix in SIBLINGS:
        with suppress(FileNotFoundError):
            own.add(_inode(name + suffix, directory))
    if main not in inodes or not inodes <= own:
        raise OSError("it or its log was replaced while it was opened")


def _inode(name: bytes, directory: int) -> tuple[int, int]:
    one = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return one.st_dev, one.st_ino
