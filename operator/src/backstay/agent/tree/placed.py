"""One entry of a new tree: what it is there, how it came there, and what a destination refuses."""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from typing import Any, Final, NamedTuple

from backstay.agent.fs import attributes
from backstay.agent.fs.attributes import Record
from backstay.agent.fs.inode import Stat
from backstay.agent.fs.listing import Known
from backstay.agent.fs.paths import printable
from backstay.agent.tree.context import Spot
from backstay.domain.errors import UserError

UNLINKABLE: Final = {errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP}
"""What a file system says of one more link: of this file, of a symlink, or over its own parts."""
DEVICE: Final = struct.Struct("<Q")


class How(NamedTuple):
    """What was done with entries, as counts."""

    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    deltas: int = 0
    not_linked: int = 0
    """Older copies that refused another link (65,000 on ext4, immutable files)."""

    def plus(self, *others: How) -> How:
        return How(*map(sum, zip(self, *others, strict=True)))


NOTHING: Final = How()
NO_NOTE: Final[dict[str, Any]] = {}
_NO_RECORD: Final[Record] = {}
UNFIT: Final = {errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.EFBIG}
"""What a file system says of a name or a size that it cannot hold."""


class Placed(NamedTuple):
    """One entry of the new tree."""

    extra: bytes
    stat: Stat
    note: dict[str, Any] = NO_NOTE
    how: How = NOTHING
    moved: bool = False
    record: Record = _NO_RECORD


def unfit(path: bytes, error: OSError) -> UserError:
    """Given an entry that the destination cannot hold and what it said, return that in words."""
    shown = printable(path)
    return UserError(
        "EntryUnfit",
        f"spec.rolling.destination: its file system cannot hold an entry ({error.strerror});"
        f" exclude it, or use another file system: {shown}",
    )


def discard(name: bytes, directory: int) -> None:
    """Given a name that may be there, remove it."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def keep(spot: Spot, name: bytes, one: Stat, known: Known) -> Placed | None:
    """Given an entry that the old tree has as it is, have it in the new one too.

    Return what it is there; None if it cannot be linked (or is missing there), and must be made
    from the source again.
    """
    if not spot.onto:
        if spot.old is None:
            return None
        try:
            if attributes.needs_copy(known.record):
                there = attributes.read(f"/proc/self/fd/{spot.old}/{os.fsdecode(name)}")
                if attributes.difference(known.record, there) is not None:
                    return None  # it has lost what only the source has then
            link(name, spot.old, name, spot.new)
        except OSError as error:
            if error.errno not in {*UNLINKABLE, errno.ENOENT}:
                raise
            return None
    return Placed(known.extra, one, known.note, How(linked=1), record=known.record)


def link(old: bytes, old_directory: int, new: bytes, new_directory: int) -> None:
    """Given a name and its directory, and a second one, make a hard link; of a symlink too."""
    os.link(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory, follow_symlinks=False)
