"""How many files a directory has, and how many bytes, as restic counts them when it stores: each
name of a regular file, so that one with two names is counted twice.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Counted:
    """Files, and the bytes of their content."""

    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return f"{self.files} files with {self.bytes} bytes"

    def holds(self, other: Counted) -> bool:
        """Return whether another may be a part of this."""
        return self.files >= other.files and self.bytes >= other.bytes


def count(top: Path, *, without: Collection[str] = ()) -> Counted:
    """Given a directory, and names right in it that do not count, return what is in it. Raise
    OSError if a directory cannot be read.
    """
    files = size = 0
    for at, folders, names, fd in os.fwalk(top, onerror=_fail):
        if at == str(top):
            folders[:] = [name for name in folders if name not in without]
            names[:] = [name for name in names if name not in without]
        for name in names:
            look = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(look.st_mode):
                files += 1
                size += look.st_size
    return Counted(files, size)


def _fail(error: OSError) -> None:
    raise error
