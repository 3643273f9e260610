"""Whether a destination has room for what is about to be copied, beside the copies under way there.

Invariants: what copies under way are still to write is taken by nobody else; each says how much
that is in a file of its own (`.backstay.room/`), which counts only as long as the copy holds that
file's lock, so what a killed one has left counts nothing. The destination's lock is held only while
these files are read and one is written.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from backstay.agent.destination.locks import moment
from backstay.agent.fs.copy_file import BIG
from backstay.agent.fs.inode import Stat
from backstay.agent.fs.paths import Descent
from backstay.agent.tasks import CopyTask
from backstay.agent.tree.context import Plan
from backstay.domain.errors import Transient, UserError
from backstay.domain.naming import digest

_DIRECTORY_BYTES = 4096  # what ext4 takes for each; others take less
_RESERVED: Final = ".backstay.room"
_PAUSE: Final = 2.0  # seconds between two looks
_FORM: Final = struct.Struct("<QQ")


class Room(NamedTuple):
    """Bytes and inodes."""

    size: int = 0
    inodes: int = 0


@contextmanager
def reserved(task: CopyTask, plan: Plan) -> Iterator[Plan]:
    """Given a plan, reserve what its tree takes at most, and yield the plan with what is to be
    called as it is built. Raise UserError if its destination has too few bytes or inodes for it,
    Transient if it has them only without other copies that do not end in where.lock_seconds.
    """
    need = _need(plan)
    path = Path(task.where.path, _RESERVED, digest(task.series.folder))
    fd = _reserve(task, plan, need, path)
    try:
        yield replace(plan, progress=_progress_writer(fd, need, os.fstatvfs(plan.new).f_frsize))
    finally:
        with suppress(OSError):  # it counts nothing once it is closed
            path.unlink()
        os.close(fd)


def _reserve(task: CopyTask, plan: Plan, need: Room, path: Path) -> int:
    """Write down what is needed as soon as it is there; return the file, which is locked."""
    patience = time.monotonic() + task.where.lock_seconds
    while True:
        with moment(task.where):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)  # of a killed copy of this series, whose lock we hold
            busy = _check(task, plan, need, _of_others(path.parent))
            if busy is None:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
                os.pwrite(fd, _FORM.pack(*need), 0)
                return fd
        if time.monotonic() > patience:
            raise busy
        time.sleep(_PAUSE)


def _of_others(folder: Path) -> Room:
    """What copies under way are still to write; what ended ones left is removed."""
    found = Room()
    for path in folder.iterdir():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # that copy has just ended
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            text = os.pread(fd, _FORM.size, 0)
            if len(text) == _FORM.size:
                found = Room(*map(sum, zip(found, _FORM.unpack(text), strict=True)))
        finally:
            os.close(fd)
    return found


def _progress_writer(fd: int, need: Room, block: int) -> Callable[[int, int], None]:
    """What writes down how much is left to be written, now and then."""
    reported = need

    def report(written: int, entries: int) -> None:
        nonlocal reported
        size = max(0, need.size - written - block * entries)
        if reported.size - size > need.size // 64:
            reported = Room(size, max(0, need.inodes - entries))
            with suppress(OSError):  # then more is kept free than has to be
                os.pwrite(fd, _FORM.pack(*reported), 0)

    return report


def _check(task: CopyTask, plan: Plan, need: Room, others: Room) -> Transient | None:
    """Raise UserError where there is too little room; return why it is to be waited for, None if
    there is enough.
    """
    found = os.fstatvfs(plan.new)
    free = found.f_bavail * found.f_frsize
    # One in user space may not say at all how big it is.
    if found.f_blocks and need.size + task.keep_bytes > free:
        raise UserError(
            "TooLittleSpace",
            f"spec.rolling.destination: {free} bytes are free, this copy needs up to {need.size}"
            f" and spec.rolling.keepFree.bytes is {task.keep_bytes}; make room or keep fewer"
            " points",
        )
    # btrfs has no fixed number and says 0.
    if found.f_files and need.inodes + task.keep_inodes > found.f_favail:
        raise UserError(
            "TooFewInodes",
            f"spec.rolling.destination: {found.f_favail} inodes are free, this copy needs up to"
            f" {need.inodes} and spec.rolling.keepFree.inodes is {task.keep_inodes}; make a file"
            " system with more of them or keep fewer points",
        )
    if need.size + others.size + task.keep_bytes > free or (
        found.f_files and need.inodes + others.inodes + task.keep_inodes > found.f_favail
    ):
        return Transient(
            f"spec.rolling.destination: {free} bytes are free, of which other copies under way"
            f" there are still to write up to {others.size}, and this one needs up to"
            f" {need.size}; it is tried again"
        )
    return None


def _need(plan: Plan) -> Room:
    """Bytes and inodes that the tree takes at most."""
    shares = plan.old is not None and (plan.onto or plan.able.reflinks)
    block = max(1, os.fstatvfs(plan.new).f_frsize)
    source = Descent(plan.source)
    # A snapshot has its directories already, a tree of links makes those that no pruned one left.
    made = plan.scan.changed.keys() - (plan.before.keys() if plan.onto else set())
    directories = len((made | plan.unchanged.keys()) - plan.spare)
    size, files = 0, 0
    seen: set[int] = set()
    for path, listing in plan.scan.changed.items():
        before = plan.before.get(path)
        for name, one in zip(listing.names, listing.stats, strict=True):
            at = before.find(name) if before is not None else None
            kept = before is not None and at is not None and before.stats[at] == one
            kept = kept and name not in plan.rotten.get(path, ())
            if kept or one.is_directory or (one.links > 1 and one.inode in seen):
                continue
            seen.add(one.inode)
            files += 1
            if one.is_regular and not (shares and at is not None and one.size >= BIG):
                needed = _allocated(source, path, name, one) if plan.able.holes else one.size
                size += -(-needed // block) * block
    source.close()
    return Room(size + _DIRECTORY_BYTES * directories, files + directories)


def _allocated(source: Descent, path: bytes, name: bytes, one: Stat) -> int:
    """How much of a file is no hole; looked up for big ones only."""
    if one.size < BIG:
        return one.size
    try:
        found = os.stat(name, dir_fd=source(path), follow_symlinks=False)
    except OSError:
        return one.size  # gone or hidden: the copy will see
    return min(one.size, found.st_blocks * 512)
