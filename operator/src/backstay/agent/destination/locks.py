"""Who may work where: one lock for each series, and the destination's own for short moments.

Invariants: a series' lock is held exclusively by whoever changes its trees or points, and shared
by whoever needs a tree to stay; nobody holds that of one series for the sake of another. The
destination's own lock is held only while something that all series share is looked at and written
(the marker, the room that copies under way will take), or what readers find (rot), never over a
walk or a copy.
Both may be had through a read-only descriptor: on a disk that is mounted read-only, what was locked
there before is locked, and where there is no lock file, nothing can change.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backstay.agent.tasks import Where
from backstay.domain.errors import Transient, UserError

LOCK: Final = ".backstay.lock"
SERIES_LOCK: Final = ".lock"
_READ_ONLY: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def read_only(where: Where) -> UserError:
    """Given where, return why nothing is written there."""
    return UserError(
        "DestinationReadOnly",
        "spec.rolling.destination: it is mounted read-only, as a disk is that had an error; nothing"
        " is copied, changed or removed there until it is mounted writable (the node's kernel log"
        f" says what happened). What is there can be listed, verified and restored. ({where.path})",
    )


def is_read_only(where: Where) -> bool:
    """Given where, return whether it is mounted read-only."""
    return bool(os.statvfs(where.path).f_flag & os.ST_RDONLY)


@contextmanager
def moment(where: Where) -> Iterator[None]:
    """Given where, hold the destination's own lock: for a moment, as all series wait for it.

    Raise Transient if it is not free within where.lock_seconds, UserError if it is read-only.
    """
    busy = f"the lock of {where.path} was not free for {where.lock_seconds} s: try again"
    with holding(Path(where.path, LOCK), where, busy, exclusive=True):
        yield


@contextmanager
def holding(path: Path, where: Where, busy: str, *, exclusive: bool) -> Iterator[None]:
    """Given a lock file, where it lies and what to say of one that is not free, hold it.

    Raise Transient if it is not free within where.lock_seconds, UserError if it is to be exclusive
    on a disk that is read-only.
    """
    fd = _opened(path, where, exclusive)
    if fd is None:
        yield
        return
    try:
        _lock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, where, busy)
        yield
    finally:
        os.close(fd)


def _opened(path: Path, where: Where, exclusive: bool) -> int | None:
    """None: the lock file is not there and cannot be made, so nothing else can be changed there."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in {*_READ_ONLY, *_FULL} or (exclusive and error.errno in _FULL):
            raise
        if exclusive:
            raise read_only(where) from error
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _lock(fd: int, kind: int, where: Where, busy: str) -> None:
    def give_up(*_: object) -> None:
        raise Transient(busy)

    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if where.lock_seconds == 0:
            raise Transient(busy) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            "DestinationWithoutLocks",
            f"spec.rolling.destination: its file system has no locks ({error.strerror}), so two"
            f" Jobs could work on one copy; mount it with locks, or use another. ({where.path})",
        ) from error
    else:
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(where.lock_seconds)
    try:
        fcntl.flock(fd, kind)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
