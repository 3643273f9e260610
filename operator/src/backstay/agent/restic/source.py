"""What restic reads: a directory without a symlink on the way, and what of it is left out.

Invariants: lost+found at the top is left out always, as it is the file system's own; other file
systems are not left out, for a btrfs subvolume looks like one and would be missing in silence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from backstay.agent.fs.paths import is_mounted, open_allowed
from backstay.domain.errors import UserError
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

LOST_FOUND: Final = "lost+found"
_FIELD: Final = "source"
_GLOB: Final = re.compile(r"([\\*?\[])")


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A directory to back up, held open."""

    fd: int
    path: str
    """Where it really is, as restic records it."""

    @property
    def directory(self) -> str:
        """The directory to start restic in, which nobody can have exchanged meanwhile."""
        return f"/proc/self/fd/{self.fd}"

    def below(self, item: str) -> str:
        """Given an entry as restic names it, return its path below the source."""
        return item.removeprefix(self.path).lstrip("/")

    def has(self, item: str) -> bool:
        """Given an entry as restic names it, return whether it is there."""
        try:
            os.lstat(self.below(item) or ".", dir_fd=self.fd)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # it cannot be said, so nothing may rest on its being gone
        return True


@contextmanager
def open_source(root: str, path: str, *, require_mount: bool) -> Iterator[OpenSource]:
    """Given a root, a path below it, and whether something has to be mounted right there, yield
    the directory. Raise RepositoryError if it is missing, empty, or nothing is mounted.
    """
    try:
        fd = open_allowed(root, path, _FIELD)
    except UserError as error:
        raise RepositoryError(Reason.SOURCE_MISSING, error.message) from error
    try:
        if require_mount and not is_mounted(fd):
            raise RepositoryError(
                Reason.SOURCE_NOT_MOUNTED, f"{_FIELD}: nothing is mounted at {path or root}"
            )
        check_not_empty(fd)
        yield OpenSource(fd, os.readlink(f"/proc/self/fd/{fd}"))
    finally:
        os.close(fd)


def check_not_empty(fd: int) -> None:
    """Given a directory's descriptor, raise RepositoryError SourceEmpty if there is nothing in it:
    restic keeps no empty directory, and one that is empty is most often one that is not mounted.
    """
    try:
        names = os.listdir(fd)
    except PermissionError as error:
        raise RepositoryError(
            Reason.SOURCE_UNREADABLE,
            f"{_FIELD}: its top directory cannot be read: give the mover the rights for that",
        ) from error
    if not set(names) - {LOST_FOUND}:
        raise RepositoryError(
            Reason.SOURCE_EMPTY, f"{_FIELD}: it is empty, and restic keeps no empty directory"
        )


def excludes(path: str, patterns: Sequence[str]) -> list[str]:
    """Given where the source really is and patterns of the user, return restic's arguments. In
    those a leading slash is the source's top, for restic the container's.
    """
    top = _GLOB.sub(r"\\\1", path.rstrip("/"))
    found = [f"{top}/{LOST_FOUND}"]
    for pattern in patterns:
        negation = "!" if pattern.startswith("!") else ""
        rest = pattern.removeprefix("!")
        found.append(negation + (top + rest if rest.startswith("/") else rest))
    return [f"--exclude={pattern}" for pattern in found]
