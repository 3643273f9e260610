"""Which directory a source is: the same path may lead to another disk tomorrow.

Invariant: what is said of a directory stays the same over mounts, reboots and kernels, or nothing
is said. So device numbers are not asked for, nor the file system's id where that is made of one.
"""

from __future__ import annotations

import os
from typing import Final

from backstay.agent.fs.paths import mount_of
from backstay.agent.fs.syscalls import birth_of, xfs_uuid

_WITH_ID: Final = {"ext2", "ext3", "ext4", "btrfs", "tmpfs"}
"""Their f_fsid is made of what was drawn when the file system was (on tmpfs: mounted)."""


def identity_of(fd: int) -> tuple[str, ...]:
    """Given an open directory, return the word that is its own for as long as it is there; () where
    its file system has none that lasts.

    One that is removed and recreated may have the inode number of the old one, so when it was made
    belongs to it.
    """
    kind = mount_of(fd).kind
    if kind == "xfs":
        disk = xfs_uuid(fd)  # its f_fsid is the device number
    else:
        disk = f"{os.fstatvfs(fd).f_fsid:x}" if kind in _WITH_ID else ""
    if disk in {"", "0"}:
        return ()
    return (f"{kind}:{disk}:{os.fstat(fd).st_ino}:{birth_of(fd)}",)
