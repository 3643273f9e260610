"""The few system calls that Python has no name for.

Each says with False that the file system or the kernel cannot do it, and raises OSError for
everything else.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import struct
from typing import Final

_FICLONE: Final = 0x40049409
_FS_IOC_FSGETXATTR: Final = 0x801C581F
_FS_IOC_FSSETXATTR: Final = 0x401C5820
_BTRFS_SNAP_CREATE: Final = 0x50009401
_BTRFS_SUBVOL_CREATE: Final = 0x5000940E
_BTRFS_SNAP_DESTROY: Final = 0x5000940F
_XFS_IOC_FSGEOMETRY_V1: Final = 0x80705864
_XFS_GEOMETRY: Final = struct.Struct("64x16s32x")
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
_STATX: Final = struct.Struct("I76xqI164x")
"""Of 256 bytes: the mask of what was answered, and when the inode was made."""
_VOLUME_ARGS: Final = struct.Struct("q4088s")
_XATTR_FLAGS: Final = struct.Struct("IIIII8s")
_COWEXTSIZE_FLAG: Final = 0x00010000
_PR_SET_PDEATHSIG: Final = 1
_WAIT_WRITE_WAIT: Final = 7
_WHOLE: Final = ctypes.c_int64(0)
"""Offset 0 and length 0 are the whole file (sync_file_range(2))."""
_CANNOT: Final = {errno.ENOTTY, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOSYS}
SUBVOLUME_INODE: Final = 256
"""The inode number of a btrfs subvolume's root (BTRFS_FIRST_FREE_OBJECTID)."""

_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(fd: int) -> None:
    """Given a descriptor, write out its whole file system. Raise OSError for errors since open."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fsync(fd: int) -> None:
    """Given a descriptor, flush what it is of. Where a file system has nothing to do so (as for
    directories on vboxsf and on some in user space), that is as durable as it makes it.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS}:
            raise


def clean_pages(fd: int) -> None:
    """Given an open file, write out its dirty pages, without waiting for a journal.

    A store into a mapped page that is dirty already moves no time (mmap(2): between the first
    store and the writeback). Into one that was just written out it does.
    """
    if _libc.sync_file_range(fd, _WHOLE, _WHOLE, _WAIT_WRITE_WAIT) != 0:
        number = ctypes.get_errno()
        if number not in _CANNOT:
            raise OSError(number, os.strerror(number))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, so that a killed run is over."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def allow_open_files() -> None:
    """Let this process have as many files open as it may: one for each level of a deep tree."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def reflink(source: int, target: int) -> bool:
    """Given two files, make the target share all of the source's blocks."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def write_small_extents(fd: int) -> None:
    """Given a new file on XFS, copy on write only the blocks that are written, not 128 KiB around
    them. A hint: other file systems need none.
    """
    size = os.fstatvfs(fd).f_bsize
    try:
        found = fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, bytes(_XATTR_FLAGS.size))
        flags, extent, count, project, _, pad = _XATTR_FLAGS.unpack(found)
        wanted = _XATTR_FLAGS.pack(flags | _COWEXTSIZE_FLAG, extent, count, project, size, pad)
        fcntl.ioctl(fd, _FS_IOC_FSSETXATTR, wanted)
    except OSError as error:
        if error.errno not in {*_CANNOT, errno.EPERM}:
            raise


def xfs_uuid(fd: int) -> str:
    """Given anything open on XFS, return its file system's UUID in hex, "" if it does not say."""
    try:
        found = fcntl.ioctl(fd, _XFS_IOC_FSGEOMETRY_V1, bytes(_XFS_GEOMETRY.size))
    except OSError as error:
        if error.errno in _CANNOT:
            return ""
        raise
    uuid: bytes = _XFS_GEOMETRY.unpack(found)[0]
    return uuid.hex()


def birth_of(fd: int) -> int:
    """Given anything open, return when its inode was made, in nanoseconds since 1970; 0 where that
    is not known.
    """
    found = ctypes.create_string_buffer(_STATX.size)
    if _libc.statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, found) != 0:
        return 0
    mask, seconds, nanoseconds = _STATX.unpack(found.raw)
    return seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else 0


def make_subvolume(parent: int, name: str) -> bool:
    """Given a directory and a name, make a btrfs subvolume there."""
    return _volume(_BTRFS_SUBVOL_CREATE, parent, 0, name)


def make_snapshot(parent: int, name: str, source: int) -> bool:
    """Given a directory, a name and a subvolume, make a writable snapshot of it there."""
    return _volume(_BTRFS_SNAP_CREATE, parent, source, name)


def drop_subvolume(parent: int, name: str) -> bool:
    """Given a directory and the name of a subvolume in it, drop that with all its content.

    False also where we may not (it needs CAP_SYS_ADMIN or user_subvol_rm_allowed).
    """
    return _volume(_BTRFS_SNAP_DESTROY, parent, 0, name)


def _volume(request: int, parent: int, source: int, name: str) -> bool:
    arguments = bytearray(_VOLUME_ARGS.pack(source, os.fsencode(name)))
    try:
        fcntl.ioctl(parent, request, arguments)
    except OSError as error:
        if error.errno in {*_CANNOT, errno.EPERM, errno.EACCES}:
            return False
        raise
    return True
