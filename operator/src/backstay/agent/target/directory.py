"""Where a restore goes: the directory, those above it, and what is mounted inside.

Invariants: no symlink is followed or replaced on the way; a directory that must be made above the
target is like the one that it is made in, as no copy says how it was; what is made carries a
partial name until it is whole, so that whoever comes next knows it for a rest and removes it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from backstay.agent.destination.trash import remove_foreign_tree
from backstay.agent.fs.paths import DIRECTORY, MOUNTS, mount_of, parts_of, printable, unescaped
from backstay.agent.fs.syscalls import syncfs
from backstay.agent.results import answer
from backstay.agent.tasks import Fields
from backstay.domain.errors import DataError, UserError

PARTIAL: Final = ".backstay-partial-"
_NAME_MAX: Final = 255
FIELD: Final = "spec.directory"


@dataclass(frozen=True, slots=True)
class Target:
    """An open directory that is there: the target itself, or the last one above it that is."""

    fd: int
    missing: tuple[bytes, ...]
    """The names below it that are to be made, the target's last; () where the target is there."""


@contextmanager
def opened(root: str, path: str) -> Iterator[Target]:
    """Given what is mounted for a restore and the path below it, open the target, as far as it is
    there. Raise UserError where something else is in its place.
    """
    try:
        fd = os.open(root, DIRECTORY)
    except OSError as error:
        raise UserError(
            "TargetNotFound", f"{FIELD}: {root} cannot be opened: {error.strerror}"
        ) from error
    try:
        parts = _parts(path)
        while parts:
            try:
                below = os.open(parts[0], DIRECTORY, dir_fd=fd)
            except FileNotFoundError:
                break
            except OSError as error:
                raise _in_the_way(path, parts[0], error) from error
            os.close(fd)
            fd, parts = below, parts[1:]
        yield Target(fd, tuple(parts))
    finally:
        os.close(fd)


def _parts(path: str) -> list[bytes]:
    try:
        return parts_of(os.fsencode(path).lstrip(b"/"))
    except OSError as error:
        raise UserError(
            "TargetOutsideRoot", f"{FIELD}: {printable(os.fsencode(path))} leads out of its root"
        ) from error


def _in_the_way(path: str, part: bytes, error: OSError) -> UserError:
    shown = printable(os.fsencode(path))
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return UserError(
            "TargetIsSymlink",
            f"{FIELD}: {printable(part)} in {shown} is a symlink or a file; move it away, or name"
            " the directory that it leads to",
        )
    return UserError(
        "TargetNotFound",
        f"{FIELD}: {printable(part)} in {shown} cannot be opened: {error.strerror}",
    )


@contextmanager
def opened_above(root: str, path: str) -> Iterator[Target]:
    """Given the same, open what is above a target that is to be made, as far as it is there."""
    *above, name = _parts(path) or [b""]
    if not name:
        raise UserError("TargetNotFound", f"{FIELD}: {root} is not there, and cannot be made")
    with opened(root, os.fsdecode(b"/".join(above))) as found:
        yield Target(found.fd, (*found.missing, name))


@contextmanager
def new_directory(target: Target) -> Iterator[int]:
    """Given a target that is not there, make a directory that takes its name at the end, and yield
    it. If anything fails nothing is left of it, nor of those made above it.
    """
    above, made = _made_above(target)
    name = target.missing[-1]
    partial = _partial(name)
    try:
        clear(above, name)
        os.mkdir(partial, 0o700, dir_fd=above)
        try:
            fd = os.open(partial, DIRECTORY, dir_fd=above)
            try:
                yield fd
                syncfs(fd)
            finally:
                os.close(fd)
            os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)
        except BaseException:
            clear(above, name)
            _unmake(target.fd, made)
            raise
        os.fsync(above)
    finally:
        os.close(above)


def _partial(name: bytes) -> bytes:
    found = os.fsencode(PARTIAL) + name
    if len(found) > _NAME_MAX:
        return os.fsencode(PARTIAL + hashlib.sha256(name).hexdigest())
    return found


def clear(above: int, name: bytes) -> None:
    """Given a directory and the name of a target in it, remove what a restore that was killed left
    of that. Raise DataError if some of it stays.
    """
    partial = _partial(name)
    try:
        os.stat(partial, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return
    if left := remove_foreign_tree(f"/proc/self/fd/{above}/".encode() + partial):
        where = printable(partial)
        raise DataError(f"{where}, which a failed restore left, cannot be removed: {left[0]}")


def _made_above(target: Target) -> tuple[int, list[bytes]]:
    """Make the directories above a target that is not there; return the last one, and those that
    were made, by path below the one that is there.
    """
    fd, made = os.dup(target.fd), list[bytes]()
    try:
        for part in target.missing[:-1]:
            one = os.fstat(fd)
            with make_whole(fd, part) as new:
                os.chown(new, one.st_uid, one.st_gid)
                os.chmod(new, stat.S_IMODE(one.st_mode))
            made.append(os.path.join(made[-1], part) if made else part)
            below = os.open(part, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        _unmake(target.fd, made)
        raise
    return fd, made


@dataclass(frozen=True, slots=True)
class DiscardTask:
    """What `discard` is asked for: the target of a restore that is over."""

    root: str
    path: str

    @classmethod
    def read(cls, task: Fields) -> DiscardTask:
        target = task.child("target")
        return cls(target.text("root"), target.text("path"))


def discard(task: DiscardTask) -> dict[str, Any]:
    """Given the target of a restore to a new directory that was killed, remove what is left of it
    and return the result. Raise DataError if some of it stays.
    """
    if _parts(task.path):  # what is mounted is there, and nothing was made beside it
        with opened_above(task.root, task.path) as target:
            clear(target.fd, target.missing[0])
    return answer("Discarded", f"nothing is left of the restore to {task.path}")


@contextmanager
def make_whole(above: int, name: bytes) -> Iterator[int]:
    """Given a directory and a name, make a directory that has that name when the caller has
    finished it, and yield it.
    """
    clear(above, name)
    partial = _partial(name)
    os.mkdir(partial, 0o700, dir_fd=above)
    fd = os.open(partial, DIRECTORY, dir_fd=above)
    try:
        yield fd
        os.rename(partial, name, src_dir_fd=above, dst_dir_fd=above)
    except BaseException:
        clear(above, name)
        raise
    finally:
        os.close(fd)


def _unmake(root: int, made: list[bytes]) -> None:
    for path in reversed(made):
        try:
            os.rmdir(path, dir_fd=root)
        except OSError:
            return  # somebody else has put something into it


def insist_on_room_for_name(target: Target) -> None:
    """Given a target of a restore to a new directory, raise UserError unless nothing is there, or
    an empty directory in which no other disk is mounted.
    """
    if target.missing:
        return
    if os.listdir(target.fd):
        raise UserError(
            "TargetNotEmpty",
            f"{FIELD}: the target is there and not empty; name a new directory, or restore in"
            " place",
        )
    if mount_of(target.fd).point == os.readlink(f"/proc/self/fd/{target.fd}"):
        raise UserError(
            "TargetIsMount",
            f"{FIELD}: a file system is mounted at the target; name a new directory in it",
        )


def mounts_inside(directory: int) -> list[bytes]:
    """Given an open directory, return the paths below it at which something is mounted."""
    top = os.fsencode(os.readlink(f"/proc/self/fd/{directory}")).rstrip(b"/") + b"/"
    found = set()
    for line in MOUNTS.read_bytes().splitlines():
        point = os.fsencode(unescaped(os.fsdecode(line.split(b" ")[4])))
        if point.startswith(top):
            found.add(point.removeprefix(top))
    return sorted(found)
