"""Make the special files of a point in a target, which rsync does not.

Invariants: a name is taken only below an open directory, and never through a link, as a tenant may
write there meanwhile; names that were one file are one.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backstay.agent.fs import attributes
from backstay.agent.fs.abilities import Abilities
from backstay.agent.fs.listing import Known
from backstay.agent.fs.paths import NOT_THERE, Descent, open_beneath, printable
from backstay.agent.target.wanted import Wanted
from backstay.agent.tree.placed import DEVICE, link
from backstay.domain.errors import DataError


def make_special_files(target: int, wanted: Wanted, able: Abilities) -> set[bytes]:
    """Given an open directory, what it is to have, and what its file system is able to keep, make
    what rsync does not; return the paths of those that it cannot have. Raise DataError if it fails.
    """
    descent = Descent(target)
    refused = set()
    made: dict[int, bytes] = {}
    kinds = {stat.S_IFREG, stat.S_IFDIR, *([stat.S_IFLNK] if able.symlinks else [])}
    for path, known in wanted.entries():
        if stat.S_IFMT(known.stat.mode) in kinds:
            continue
        parent, _, name = path.rpartition(b"/")
        first = made.get(known.stat.inode) if known.stat.links > 1 else None
        try:
            directory = descent(parent)
            if not _is_there(directory, name, known, target, first):
                _clear(directory, name)
                _make_special(directory, name, known, target, first)
        except OSError as error:
            # EIO is what exFAT in user space says of them.
            if error.errno not in {*NOT_THERE, *attributes.REFUSED, errno.EIO}:
                raise DataError(f"{error.strerror}: {printable(path)}") from error
            # It may have made a file of that name all the same.
            with suppress(OSError):
                _clear(descent(parent), name)
            refused.add(path)
            continue
        made.setdefault(known.stat.inode, path)
    descent.close()
    return refused


def _is_there(directory: int, name: bytes, known: Known, target: int, first: bytes | None) -> bool:
    try:
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if first is not None:
        with _parent(target, first) as (above, other):
            return os.path.samestat(now, os.stat(other, dir_fd=above, follow_symlinks=False))
    same = stat.S_IFMT(now.st_mode) == stat.S_IFMT(known.stat.mode)
    return same and (not known.extra or DEVICE.pack(now.st_rdev) == known.extra)


@contextmanager
def _parent(root: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """A path's directory, opened through no link, and its name there."""
    parent, _, name = path.rpartition(b"/")
    fd = open_beneath(root, parent)
    try:
        yield fd, name
    finally:
        os.close(fd)


def _clear(directory: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=directory)


def _make_special(
    directory: int, name: bytes, known: Known, target: int, first: bytes | None
) -> None:
    if first is not None:
        with _parent(target, first) as (above, other):
            link(other, above, name, directory)
        return
    if stat.S_ISLNK(known.stat.mode):
        os.symlink(known.extra, name, dir_fd=directory)
        return
    device = DEVICE.unpack(known.extra)[0] if known.extra else 0
    os.mknod(name, stat.S_IFMT(known.stat.mode) | 0o600, device, dir_fd=directory)
