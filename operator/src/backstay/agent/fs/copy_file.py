"""Copy one file with everything that it has, and say what was copied.

Invariants: the source is opened without following a symlink and without blocking on a pipe; the
hash is of the bytes that were read; a file that moved while it was read is read again, and if it
never stands still, that is reported and its record is such that the next run reads it again, as
that of one which was changed just before: a later change may leave no other time; what is written
to is always an inode that no older tree has.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from backstay.agent.fs import attributes
from backstay.agent.fs.abilities import EVERYTHING, Abilities
from backstay.agent.fs.attributes import Record
from backstay.agent.fs.failures import as_source_error, from_source
from backstay.agent.fs.inode import Stat, stat_of
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.fs.syscalls import clean_pages, fsync, reflink, write_small_extents
from backstay.agent.fs.throttle import Pace

BLOCK: Final = 1 << 20
PAGE: Final = 4096
BIG: Final = 8 << 20
"""From this size on, a changed file starts from its predecessor where it can be reflinked."""
_TRIES: Final = 3
_LEASE: Final = 60
"""Seconds; after 45 the kernel takes a lease away (/proc/sys/fs/lease-break-time)."""
_HEAD: Final = 16
_UNSETTLED: Final = 0
"""No inode has this ctime: the next run takes the file for changed."""
_COARSE: Final = 2 * 10**9
_TICK: Final = 20 * 10**6
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UMASK: Final = os.umask(0)
os.umask(_UMASK)
_MODE: Final = 0o777 & ~_UMASK
"""What a new file may have from the start: setting its mode is as dear as its times."""
_NOTHING: Final[Record] = {}


class Copied(NamedTuple):
    """The outcome of one file."""

    stat: Stat
    """The source as it was when its content was read."""
    digest: bytes
    moved: bool = False
    """It changed while it was read, each time."""
    delta: bool = False
    copied: int = 0
    """Bytes written."""
    head: bytes = b""
    """The first bytes, which show a database."""
    record: Record = _NOTHING


def open_file(name: bytes, directory: int) -> int:
    """Given a name and its directory's descriptor, open a regular file for reading.

    Raise OSError: ENOENT where it is gone, ELOOP where it is no regular file any more.
    """
    return _opened(name, directory)[0]


def _opened(name: bytes, directory: int) -> tuple[int, os.stat_result]:
    fd = _open_unleased(name, directory)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, "no regular file any more", name)
    return fd, found


def _open_unleased(name: bytes, directory: int) -> int:
    """A file server may hold a lease on a file. The kernel asks it to give that up, and does not
    wait: O_NONBLOCK, which keeps us from waiting for a pipe, says so.
    """
    patience = time.monotonic() + _LEASE
    while True:
        try:
            return os.open(name, _READ, dir_fd=directory)
        except BlockingIOError:
            if time.monotonic() > patience:
                raise
        time.sleep(0.05)


def copy_file(
    name: bytes,
    source: int,
    target: int,
    base: int | None,
    pace: Pace,
    *,
    onto: bool,
    able: Abilities = EVERYTHING,
) -> Copied:
    """Given a name, the directories that it is copied from and to, and the directory with its
    predecessor (None: there is none), copy it at that pace to a file system that is able to keep
    so much. `onto`: the target has a private copy of the predecessor (a snapshot) under this name
    already, to be turned into the new one.
    """
    read, before = from_source(_opened, name, source)
    try:
        write, delta = _open_target(name, target, base, before, onto=onto)
        try:
            copied = _copy_still(read, write, before, pace, delta=delta)
            made = None if onto else before.st_mode & _MODE
            values = from_source(attributes.read, read)
            record = set_metadata(write, copied.stat, values, able, fresh=not onto, made=made)
            if not able.syncs:
                fsync(write)
        finally:
            os.close(write)
    finally:
        os.close(read)
    return copied._replace(record=record) if record else copied


def _open_target(
    name: bytes, target: int, base: int | None, before: os.stat_result, *, onto: bool
) -> tuple[int, bool]:
    size = before.st_size
    if onto:
        try:
            there = os.lstat(name, dir_fd=target)
        except FileNotFoundError:
            there = None
        if there is not None:
            if stat.S_ISREG(there.st_mode) and there.st_nlink == 1 and size >= BIG:
                return os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target), True
            os.unlink(name, dir_fd=target)
        base = None
    write = os.open(name, _WRITE, before.st_mode & _MODE, dir_fd=target)
    if base is None or size < BIG:
        return write, False
    write_small_extents(write)
    try:
        old = open_file(name, base)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP}:
            return write, False
        raise
    try:
        return write, reflink(old, write)
    finally:
        os.close(old)


def _copy_still(
    read: int, write: int, before: os.stat_result, pace: Pace, *, delta: bool
) -> Copied:
    """Copy until the source stood still from the first byte to the last."""
    for last in range(1, _TRIES + 1):
        # So that whatever is stored from here on moves a time, now or for the next run.
        from_source(clean_pages, read)
        digest, copied, head = _copy(read, write, before, pace, delta=delta)
        after = from_source(os.fstat, read)
        seen = stat_of(before)
        times = after.st_mtime_ns, after.st_ctime_ns
        if after.st_size == seen.size and times == (before.st_mtime_ns, before.st_ctime_ns):
            return Copied(settled(seen), digest, delta=delta, copied=copied, head=head)
        if last == _TRIES:
            size = os.fstat(write).st_size
            unsettled = seen._replace(ctime=_UNSETTLED, size=size)
            return Copied(unsettled, digest, moved=True, delta=delta, copied=copied, head=head)
        if not delta:
            os.ftruncate(write, 0)
        os.lseek(read, 0, os.SEEK_SET)
        before = after
    raise AssertionError("unreachable")


def settled(one: Stat) -> Stat:
    """Given a file as it was before its content was read, return what a manifest says of it: where
    a later change may leave no other time, that is such that the next run reads it again.
    """
    # Not our clock, but that which the kernel stamps files with.
    return one._replace(ctime=_UNSETTLED) if is_fresh(one.ctime, time.time_ns()) else one


def is_fresh(changed: int, now: int) -> bool:
    """Given when an inode was changed and now, in nanoseconds, return whether another change may
    get the same time. Some file systems store seconds (FAT two of them); a kernel stamps with the
    time of its last tick.
    """
    return abs(now - changed) < (_COARSE if changed % 10**9 == 0 else _TICK)


def _copy(
    read: int, write: int, before: os.stat_result, pace: Pace, *, delta: bool
) -> tuple[bytes, int, bytes]:
    """Copy the content once; return its hash, how much was written, and its first bytes."""
    size = before.st_size
    if not delta and size <= BLOCK and before.st_blocks * 512 >= size:
        data = from_source(os.read, read, size + 1)
        if len(data) == size:
            _write_all(write, data, 0)
            pace(size)
            return hashlib.sha256(data).digest(), size, data[:_HEAD]
        os.lseek(read, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    copied = 0
    at = 0
    if not delta and before.st_blocks * 512 < size:
        os.ftruncate(write, size)  # a size that it cannot have is refused before hours of zeros
    end = os.fstat(write).st_size
    head = b""
    for data, hole in _pieces(read, before):
        digest.update(data)
        head = head or data[:_HEAD]
        if delta:
            # A hole that grew stays one: what is behind the old end is none of the predecessor's.
            changed = data[: max(0, end - at)] if hole else data
            written = _write_difference(write, changed, at)
        elif not hole:
            _write_all(write, data, at)
            written = len(data)
        else:
            written = 0
        pace(written)
        copied += written
        at += len(data)
    os.ftruncate(write, at)
    return digest.digest(), copied, head


def _pieces(read: int, before: os.stat_result) -> Iterator[tuple[bytes, bool]]:
    """Yield the content in blocks, and for each whether it is a hole."""
    sparse = before.st_blocks * 512 < before.st_size
    zeros = bytes(BLOCK)
    at = 0
    end = before.st_size
    while at < end:
        data_at = _seek(read, at, os.SEEK_DATA, end) if sparse else at
        while at < data_at:
            size = min(BLOCK, data_at - at)
            yield zeros[:size], True
            at += size
        data_end = _seek(read, at, os.SEEK_HOLE, end) if sparse and at < end else end
        while at < data_end:
            data = from_source(os.pread, read, min(BLOCK, data_end - at), at)
            if not data:
                return  # it was truncated meanwhile
            yield data, False
            at += len(data)


def _seek(fd: int, at: int, whence: int, end: int) -> int:
    try:
        return min(end, os.lseek(fd, at, whence))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return end  # only a hole is left
        if error.errno == errno.EINVAL:  # its file system knows of no holes
            return at if whence == os.SEEK_DATA else end
        raise as_source_error(error) from error


def _write_difference(write: int, data: bytes, at: int) -> int:
    """Write the pages that differ from what is there, and return how many bytes that were."""
    old = os.pread(write, len(data), at)
    if old == data:
        return 0
    written = 0
    start = None
    for page in range(0, len(data) + PAGE, PAGE):
        differs = page < len(data) and old[page : page + PAGE] != data[page : page + PAGE]
        if differs and start is None:
            start = page
        elif not differs and start is not None:
            _write_all(write, data[start:page], at + start)
            written += min(page, len(data)) - start
            start = None
    return written


def _write_all(fd: int, data: bytes, at: int) -> None:
    done = os.pwrite(fd, data, at)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], at + done)


def hash_file(fd: int) -> tuple[bytes, int]:
    """Given an open file, return the sha256 and the size of its content."""
    digest = hashlib.sha256()
    size = 0
    while data := os.read(fd, BLOCK):
        digest.update(data)
        size += len(data)
    return digest.digest(), size
