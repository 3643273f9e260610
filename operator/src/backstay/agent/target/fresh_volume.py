"""A volume that a restore of a repository writes to: whose half of a restore it may have, and
whether there is room.

A killed restore leaves half of it behind, which the next one goes on with; what anybody else has
left there it must not mix with. Nothing outside of a volume can say which it is, so while it is
being filled there is a file in it with the name of the restore, which goes last.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backstay.agent.fs.syscalls import fsync
from backstay.domain.errors import UserError
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

MARKER: Final = ".backstay-restoring"
OWN: Final = (MARKER, "lost+found")
"""Entries of a volume's root that are not content."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A directory that is filled, below the root of a volume."""

    root: Path
    path: str

    @property
    def target(self) -> Path:
        return self.root / self.path

    @property
    def _marker(self) -> Path:
        return self.root / MARKER

    def prepare(self, restore: str, *, overwrite: bool) -> None:
        """Given the name of a restore, and whether it may write over what is there, mark the volume
        as being filled by it, and make the directory.

        Raise RepositoryError TargetNotEmpty if somebody else's content is there.
        """
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise RepositoryError(
                Reason.TARGET_NOT_WRITABLE,
                f"user {os.geteuid()}, as whom the mover runs, may not write to the volume: "
                "annotate the namespace backstay.dev/privileged-movers=true, or set runAsUser and "
                "fsGroup in spec.mover.securityContext of the BackupRepository",
            )
        if not overwrite and self._marked_by() != restore and (found := self.content()):
            raise RepositoryError(
                Reason.TARGET_NOT_EMPTY,
                f"the new volume is not empty: it has {found[0]!r}"
                f"{f' and {len(found) - 1} more' if len(found) > 1 else ''}, which nobody knows "
                "whose it is; its class gives used volumes",
            )
        self._mark(restore)
        self._make_path()

    def content(self) -> list[str]:
        """Return the names in the volume's root that are content."""
        return sorted(name for name in os.listdir(self.root) if name not in OWN)

    def finish(self) -> None:
        """Take the mark away: all of it is there, and verified."""
        self._marker.unlink(missing_ok=True)

    def _marked_by(self) -> str:
        try:
            fd = os.open(self._marker, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return ""
        with os.fdopen(fd, "rb") as file:
            return file.read(256).decode(errors="replace").strip()

    def _mark(self, restore: str) -> None:
        # Its name first, then its content: a try that dies in between has written nothing else.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        fd = os.open(self._marker, flags, 0o600)
        try:
            os.write(fd, restore.encode() + b"\n")
            fsync(fd)
        finally:
            os.close(fd)
        top = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fsync(top)
        finally:
            os.close(top)

    def _make_path(self) -> None:
        """Make the directory, and never through a link, which may lead anywhere."""
        here = self.root
        for part in filter(None, self.path.split("/")):
            here /= part
            try:
                here.mkdir()
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(here).st_mode):
                    raise UserError(
                        "NotADirectory",
                        f"{here.relative_to(self.root)} in the volume is no "
                        "directory, and what was stored of the claim is one",
                    ) from None


def room_for(target: Path, needed: int) -> str:
    """Given a directory and the bytes that are to be in it, return why there is too little room for
    that, "" if there is enough or nobody knows.

    What is there counts as room: it is what a killed try has left, or is overwritten.
    """
    look = os.statvfs(target)
    if not look.f_blocks:
        return ""  # Some network file systems do not say.
    free = look.f_bavail * look.f_frsize
    if needed <= free or needed <= (there := free + _allocated(target)):
        return ""
    return f"there is room for {there} bytes, and {needed} are to be restored"


def _allocated(target: Path) -> int:
    """The bytes on the disk of all that is below."""
    found = 0
    for _, folders, names, at in os.fwalk(target):
        for name in (*folders, *names):
            try:
                found += os.stat(name, dir_fd=at, follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:
                continue
    return found
