"""Give back the space of removed trees, with several processes.

Invariants: only `.trash-*` of a series is looked at; what cannot be removed (an immutable file) is
left for the next time and said; two that reclaim at the same time do not mind each other.
"""

from __future__ import annotations

import os
import stat

from backstay.agent.destination.layout import TRASH, Folder
from backstay.agent.fs.parallel import apart, spread
from backstay.agent.fs.paths import DIRECTORY, VANISHED
from backstay.agent.fs.syscalls import SUBVOLUME_INODE, allow_open_files, drop_subvolume

_UNITS = 64


def reclaim(folder: Folder, processes: int = 2) -> list[str]:
    """Given a series' folder, remove its trash; return what could not be removed, in words."""
    if not folder.trees.is_dir():
        return []
    left: list[str] = []
    for name in sorted(os.listdir(folder.trees)):
        if name.startswith(TRASH):
            left += remove_tree(os.fsencode(folder.trees / name), processes)
    return left


def remove_tree(top: bytes, processes: int = 2) -> list[str]:
    """Given a directory, remove it with all its content; return what could not be removed."""
    allow_open_files()
    _drop_subvolume(top)
    levels = [[top]]
    # Broad enough to share the work out; what lies above is empty when that is done.
    while 0 < len(levels[-1]) < _UNITS:
        below = [path for parent in levels[-1] for path in _below(parent)]
        if not below:
            break
        levels.append(below)
    left: list[str] = []
    if len(levels[-1]) > 1:
        # Half of them wait for a disk: what is removed is old, and in no cache any more. Neighbours
        # have their inodes in the same blocks, whose locks the processes would wait for.
        count = 2 * processes
        for failed in spread(_remove, apart(levels[-1], count), count):
            left += failed
    for level in reversed(levels):
        for path in level:
            if os.path.lexists(path):
                left += _remove(path)
    return left


def remove_foreign_tree(top: bytes) -> list[str]:
    """Given the same where others may write meanwhile: nothing in it is reached by a path, which
    might lead elsewhere by then.
    """
    allow_open_files()
    return _remove(top)


def _drop_subvolume(top: bytes) -> None:
    try:
        fd = os.open(top, DIRECTORY)
    except OSError:
        return  # removed by another, or to be reported by whoever removes it
    try:
        one = os.stat("data", dir_fd=fd, follow_symlinks=False)
        if one.st_ino == SUBVOLUME_INODE and stat.S_ISDIR(one.st_mode):
            drop_subvolume(fd, "data")
    except FileNotFoundError:
        pass
    finally:
        os.close(fd)


def _below(path: bytes) -> list[bytes]:
    """Clear a directory, and return the paths of the directories in it."""
    try:
        fd = os.open(path, DIRECTORY)
    except OSError:
        return []
    try:
        return [path + b"/" + os.fsencode(name) for name in _clear_files(fd)]
    finally:
        os.close(fd)


def _clear_files(fd: int) -> list[str]:
    """Unlink what is no directory in one, and return the names of the directories.

    What cannot be unlinked keeps its directory there, which is reported.
    """
    below = []
    try:
        for entry in os.scandir(fd):
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
                continue
            try:
                os.unlink(entry.name, dir_fd=fd)
            except OSError:
                continue
    except OSError:
        pass  # what was not listed is still there
    return below


def _remove(top: bytes) -> list[str]:
    """Remove a directory and what is in it; return what could not be removed."""
    try:
        fd = os.open(top, DIRECTORY)
    except OSError as error:
        return _failure(os.fsdecode(top), error)
    left: list[str] = []
    # (descriptor, name, names still to visit), each opened below the one above: its path may be
    # long, even longer than a path can be.
    stack = [(fd, os.fsdecode(top), _clear_files(fd))]
    while stack:
        fd, name, names = stack[-1]
        try:
            if names:
                name = names.pop()
                below = os.open(name, DIRECTORY, dir_fd=fd)
                inner = _clear_files(below)
                if inner:
                    stack.append((below, name, inner))
                    continue
                os.close(below)
                os.rmdir(name, dir_fd=fd)  # as most of them: without a turn of its own
                continue
            os.close(fd)
            stack.pop()
            os.rmdir(name, dir_fd=stack[-1][0] if stack else None)
        except OSError as error:
            # The last one will do: a directory that stays keeps those above it.
            left = _failure("/".join([*(above for _, above, _ in stack), name]), error) or left
    return left


def _failure(path: str, error: OSError) -> list[str]:
    return [] if error.errno in VANISHED else [f"{path}: {error.strerror}"]
