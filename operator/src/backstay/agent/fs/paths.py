"""Opening what lies below a directory without ever following a symlink.

Each component is opened below the descriptor of the one before it with O_NOFOLLOW, and `..` is
refused: what openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) promises, also where the kernel or a
seccomp profile does not have that call. Whoever owns the tree may rename and replace what he likes
meanwhile; he never leads us out of it.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backstay.agent.fs.syscalls import SUBVOLUME_INODE
from backstay.domain.errors import UserError

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
VANISHED: Final = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}
"""What opening says of something that is not there any more, or is something else."""
NOT_THERE: Final = {*VANISHED, errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG}
"""What a file system says of a name that is not there, or that it cannot have."""
MOUNTS: Final = Path("/proc/self/mountinfo")


def open_beneath(root: int, path: bytes) -> int:
    """Given a directory's descriptor and a relative path (b"" is itself), return a descriptor of
    the directory there. Raise OSError: ELOOP or ENOTDIR at a symlink, EXDEV for `..`.
    """
    fd = os.dup(root)
    for part in parts_of(path):
        try:
            below = os.open(part, DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def parts_of(path: bytes) -> list[bytes]:
    """Given a relative path, return its components. Raise OSError (EXDEV) for `..` or a root."""
    found = [part for part in path.split(b"/") if part not in {b"", b"."}]
    if path.startswith(b"/") or b".." in found:
        raise OSError(errno.EXDEV, "the path leads out", path)
    return found


class Descent:
    """Opens many directories below one, keeping those on the way to the last one open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[bytes, int]] = []
        self._path: bytes | None = b""
        """Where it leads to now; None: a path could not be opened to its end."""

    def __call__(self, path: bytes) -> int:
        """Given a relative path, return a descriptor that is good until the next call."""
        if path != self._path:
            self._lead_to(path)
        return self._open[-1][1] if self._open else self._root

    def _lead_to(self, path: bytes) -> None:
        self._path = None
        parts = path.split(b"/") if path else []
        same = 0
        while same < min(len(parts), len(self._open)) and parts[same] == self._open[same][0]:
            same += 1
        self._close(same)
        for part in parts[same:]:
            above = self._open[-1][1] if self._open else self._root
            self._open.append((part, os.open(part, DIRECTORY, dir_fd=above)))
        self._path = path

    def close(self) -> None:
        """Close what is open."""
        self._close(0)
        self._path = b""

    def _close(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])


def open_allowed(root: str, path: str, field: str) -> int:
    """Given an administrator's root, a path below it and the user's field, return a descriptor.

    Raise UserError naming the field where there is no such directory, or a symlink on the way.
    """
    try:
        top = os.open(root, DIRECTORY)
    except OSError as error:
        raise UserError(
            "SourceNotFound", f"{field}: {error.strerror}: {root} cannot be opened"
        ) from error
    try:
        return open_beneath(top, os.fsencode(path))
    except OSError as error:
        raise _refused(path, field, error) from error
    finally:
        os.close(top)


def _refused(path: str, field: str, error: OSError) -> UserError:
    shown = printable(os.fsencode(path))
    if error.errno == errno.EXDEV:
        return UserError("SourceOutsideRoot", f"{field}: {shown} leads out of its root")
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return UserError(
            "SourceIsSymlink",
            f"{field}: {shown} passes a symlink or a file; name the directory itself",
        )
    return UserError("SourceNotFound", f"{field}: {error.strerror}: {shown}")


@dataclass(frozen=True, slots=True)
class Mount:
    """A row of /proc/self/mountinfo, as far as it matters here (proc(5))."""

    root: str
    point: str
    kind: str
    device: str


def mount_of(fd: int) -> Mount:
    """Given a descriptor, return the mount that it was opened through."""
    info = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    wanted = next(line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:"))
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        row = before.split(" ")
        if row[0] == wanted:
            kind, device, *_ = after.split(" ")
            return Mount(row[3], row[4], kind, device)
    raise OSError(errno.ENOENT, "the mount of this descriptor is not listed")


def is_mounted(fd: int) -> bool:
    """Given a directory's descriptor, return whether a file system is mounted right there.

    A container sees a node's directory through a bind mount of its own, so the mount's root
    decides: the top of a file system (or of a btrfs subvolume), not a directory in one.
    """
    mount = mount_of(fd)
    inside = os.readlink(f"/proc/self/fd/{fd}") == unescaped(mount.point)
    top = mount.root == "/" or (mount.kind == "btrfs" and os.fstat(fd).st_ino == SUBVOLUME_INODE)
    return inside and top


def unescaped(text: str) -> str:
    """Given a path as mountinfo writes it, return it as it is (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)


def same_file_system(one: int, other: int) -> bool:
    """Given two descriptors, return whether losing one's disk loses the other's as well."""
    if os.fstat(one).st_dev == os.fstat(other).st_dev:
        return True
    # btrfs subvolumes have device numbers of their own; the mounts name the same block device.
    first, second = mount_of(one), mount_of(other)
    return first.kind == second.kind == "btrfs" and first.device == second.device


def printable(name: bytes) -> str:
    """Given a file's name, return it for a message: one line, any byte."""
    return os.fsdecode(name).encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
