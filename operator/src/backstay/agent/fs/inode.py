"""An inode as the source had it, and how a manifest keeps it.

Invariant: times are kept as nanoseconds since FIRST_TIME, which holds all of ext4 and XFS; what is
outside of that (btrfs has more) is the nearest inside, and its record says so.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import Final, NamedTuple

STAT: Final = struct.Struct("<IIIIQQQQ")
SECOND: Final = 10**9
"""In nanoseconds, as all times here."""
FIRST_TIME: Final = -(2**31) * SECOND
"""1901-12-13, the first time of ext4 and XFS, in nanoseconds since 1970."""
LAST_TIME: Final = FIRST_TIME + 2**64 - 1
"""2486-07-02, within the last second of XFS."""
LAST_SECOND: Final = LAST_TIME - LAST_TIME % SECOND
NO_HASH: Final = bytes(32)


class Stat(NamedTuple):
    """An inode as the source had it. Times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    links: int
    size: int
    mtime: int
    ctime: int
    inode: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    def same_but_moved(self, other: Stat) -> bool:
        """Whether only ctime, inode and links differ, as after a move to another disk."""
        return self[:3] == other[:3] and self[4:6] == other[4:6]


def stat_of(found: os.stat_result) -> Stat:
    """Given what the kernel says of an inode, return it as a manifest keeps it."""
    mode, inode, _, links, uid, gid, size = found[:7]
    mtime, ctime = found.st_mtime_ns, found.st_ctime_ns
    if not (FIRST_TIME <= mtime <= LAST_TIME and FIRST_TIME <= ctime <= LAST_TIME):
        mtime, ctime = (min(max(moment, FIRST_TIME), LAST_TIME) for moment in (mtime, ctime))
    return Stat(mode, uid, gid, links, size, mtime, ctime, inode)


def pack(one: Stat) -> bytes:
    """Given an entry's inode, return it as a manifest keeps it."""
    mode, uid, gid, links, size, mtime, ctime, inode = one
    return STAT.pack(mode, uid, gid, links, size, mtime - FIRST_TIME, ctime - FIRST_TIME, inode)


def unpack(columns: bytes) -> list[Stat]:
    """Given packed inodes, return them."""
    return [
        Stat(mode, uid, gid, links, size, mtime + FIRST_TIME, ctime + FIRST_TIME, inode)
        for mode, uid, gid, links, size, mtime, ctime, inode in STAT.iter_unpack(columns)
    ]


def extra_size(one: Stat) -> int:
    """Given an entry that is no symlink, return how many bytes its extra has."""
    if one.is_regular:
        return len(NO_HASH)
    if stat.S_ISCHR(one.mode) or stat.S_ISBLK(one.mode):
        return 8
    return 0
