"""Give back the space of removed trees, with several processes.

Invariants: only `.trash-*` of a series is looked at; what cannot be removed (an immutable file) is
left for the next time and said; two that reclaim at the same time do not mind each other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from backstay.agent.layout import TRASH, Folder
from backstay.agent.linux import SUBVOLUME_INODE, drop_subvolume
from backstay.agent.parallel import spread
from backstay.agent.paths import DIRECTORY, VANISHED

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
    _drop_subvolume(top)
    levels = [[top]]
    # Broad enough to share the work out; what lies above is empty when that is done.
    while 0 < len(levels[-1]) < _UNITS:
        below = [path for parent in levels[-1] for path in _clear_files(parent)]
        if not below:
            break
        levels.append(below)
    left: list[str] = []
    if len(levels[-1]) > 1:
        for failed in spread(_remove, levels[-1], processes):
            left += failed
    for level in reversed(levels):
        for path in level:
            if os.path.lexists(path):
                left += _remove(path)
    return left


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


def _clear_files(path: bytes) -> list[bytes]:
    """Unlink what is no directory in one, and return the directories.

    What cannot be unlinked keeps its directory there, which is reported.
    """
    below = []
    try:
        fd = os.open(path, DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(path + b"/" + os.fsencode(entry.name))
                    continue
                try:  # by name below its directory: the way to it is long
                    os.unlink(entry.name, dir_fd=fd)
                except OSError:
                    continue
    except OSError:
        return below
    finally:
        os.close(fd)
    return below


def _remove(top: bytes) -> list[str]:
    """Remove a directory and what is in it; return what could not be removed."""
    failed: Sequence[str] = []
    directories = [top]
    for path in directories:  # grows while it is walked: parents stand before children
        directories += _clear_files(path)
    for path in reversed(directories):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in VANISHED:
                failed = [f"{os.fsdecode(path)}: {error.strerror}"]
    return list(failed)
