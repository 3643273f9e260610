"""Find what a file system keeps of what is written to it, by doing it.

Invariants: nothing is believed of a file system's name, but that one in user space flushes only
what is flushed by name; the probe works in one folder, whose name says to every later command that
it may go, and leaves nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, ParamSpec

from backstay.agent.fs import attributes
from backstay.agent.fs.abilities import FIELD, Abilities, insist
from backstay.agent.fs.inode import FIRST_TIME, LAST_SECOND, LAST_TIME, SECOND
from backstay.agent.fs.paths import DIRECTORY, mount_of
from backstay.agent.fs.syscalls import reflink
from backstay.domain.errors import UserError

_PROBE: Final = ".backstay-probe-"
_LEFT: Final = 3600
"""Seconds, after which a probe is what a killed command left."""
P = ParamSpec("P")
_GRAINS: Final = (1, 100, 1000, 10**6, SECOND, 2 * SECOND)
_PAST: Final = (0, -SECOND, FIRST_TIME)
_FUTURE: Final = (
    *(2**31 * SECOND - SECOND, 2**31 * SECOND, 2**32 * SECOND, 4_354_819_200 * SECOND),
    *(9_223_372_036 * SECOND, (2**34 - 2**31 - 1) * SECOND, LAST_SECOND, LAST_TIME),
)
"""Where the known ways to store a time end: 32 bits, DOS, nanoseconds in 64 bits, ext4, XFS."""
_NO_ID: Final = 0xFFFFFFFF
_ACL: Final = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, _NO_ID), (2, 4, 1111), (4, 4, _NO_ID), (16, 4, _NO_ID), (32, 0, _NO_ID))
)
"""user::rw,user:1111:r,group::r,mask::r,other::- (acl(5), as the kernel takes it)."""
_CAPABILITY: Final = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""cap_net_raw+ep (capabilities(7), version 2)."""
_VALUES: Final = {
    "user.": ("user.backstay", b"probe"),
    "trusted.": ("trusted.backstay", b"probe"),
    attributes.ACL: (f"{attributes.ACL}access", _ACL),
    "security.capability": ("security.capability", _CAPABILITY),
    "security.NTACL": ("security.NTACL", b"probe"),
}


def examine(destination: Path) -> Abilities:
    """Given a directory that is to become a destination, return what its file system keeps; remove
    what a killed one left. Others may do the same at that time.

    Raise UserError if copies cannot be kept there, or nothing can be written.
    """
    try:
        ours = Path(tempfile.mkdtemp(prefix=_PROBE, dir=destination))
        try:
            # By its own clock, not ours.
            before = ours.stat().st_mtime - _LEFT
            for path in destination.glob(f"{_PROBE}*"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        shutil.rmtree(path)
            found = probe(ours, "probe")
        finally:
            shutil.rmtree(ours)
    except OSError as error:
        raise UserError(
            "DestinationUnfit", f"destination: cannot be written to ({error.strerror})"
        ) from error
    insist(found, "destination")
    return found


def probe(parent: Path, name: str, field: str = FIELD) -> Abilities:
    """Given a directory, the name of a folder that is not in it, and the field that names it to a
    user, return what its file system keeps. Raise UserError if it is full, OSError if nothing can
    be written there.
    """
    folder = parent / name
    try:
        folder.mkdir(mode=0o700)
        try:
            return _look(folder)
        finally:
            shutil.rmtree(folder)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise UserError(
            "TooLittleSpace",
            f"{field}: its file system is full ({error.strerror}); make room",
        ) from error


def _look(folder: Path) -> Abilities:
    file, link, inner = folder / "file", folder / "link", folder / "folder"
    file.write_bytes(bytes(4096))
    inner.mkdir()
    symlinks = _does(_is_symlink, link)
    top = os.open(folder, DIRECTORY)
    try:
        syncs = not mount_of(top).kind.startswith("fuse")
    finally:
        os.close(top)
    kept_times = _times(file)
    return Abilities(
        hard_links=_does(_is_linked, file, folder / "hard link"),
        symlinks=symlinks,
        cases=_is_apart(folder, "Case", "cASE") and _is_apart(folder, "\u00e9", "e\u0301"),
        raw_names=_does(_is_made, os.fsencode(folder) + b"/\xff"),
        odd_names=_does(_is_made, os.fsencode(folder) + b'/\\:*?"<>|'),
        pipes=all(_does(_is_node, folder, k) for k in (stat.S_IFIFO, stat.S_IFSOCK)),
        devices=_does(_is_node, folder, stat.S_IFCHR),
        holes=_has_holes(folder / "sparse"),
        reflinks=_has_reflinks(folder),
        owners=all(_does(_is_owned, p) for p in (file, inner, *[link] * symlinks)),
        modes=all(
            _does(_has_mode, p, m)
            for p, m in ((file, 0o4751), (file, 0), (file, 0o640), (inner, 0o3775), (inner, 0o700))
        ),
        link_times=symlinks and _does(_has_time, link, SECOND),
        grain=kept_times[0],
        first=kept_times[1],
        last=kept_times[2],
        attributes=tuple(one for one in attributes.DATA if _does(_has_attribute, file, inner, one)),
        syncs=syncs,
    )


_CANNOT: Final = {
    *attributes.REFUSED,
    *(errno.EILSEQ, errno.EEXIST, errno.EMLINK, errno.EXDEV),
}


def _does(act: Callable[P, bool], *given: P.args, **named: P.kwargs) -> bool:
    try:
        return act(*given, **named)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise


def _is_symlink(path: Path) -> bool:
    path.symlink_to("file")
    return os.readlink(path) == "file"


def _is_linked(file: Path, other: Path) -> bool:
    os.link(file, other)
    return stat.S_ISREG(other.lstat().st_mode)


def _is_apart(folder: Path, one: str, other: str) -> bool:
    (folder / one).touch()
    return not (folder / other).exists()


def _is_made(path: bytes) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileNotFoundError:  # as SMB and exFAT say it of a name
        return False
    return True


def _is_node(folder: Path, kind: int) -> bool:
    path = folder / f"node {kind}"
    try:
        os.mknod(path, kind | 0o600, os.makedev(1, 3) if kind == stat.S_IFCHR else 0)
    except OSError as error:
        if error.errno == errno.EIO:  # as exFAT in user space says it
            return False
        raise
    found = path.lstat()
    return stat.S_IFMT(found.st_mode) == kind and (
        kind != stat.S_IFCHR or found.st_rdev == os.makedev(1, 3)
    )


def _has_holes(path: Path) -> bool:
    with path.open("wb") as file:
        file.truncate(1 << 20)
    return path.stat().st_blocks * 512 < 1 << 19


def _has_reflinks(folder: Path) -> bool:
    with (folder / "one").open("w+b") as one, (folder / "other").open("w+b") as other:
        one.write(bytes(4096))
        one.flush()
        return reflink(one.fileno(), other.fileno())


def _is_owned(path: Path) -> bool:
    os.chown(path, 12345, 54321, follow_symlinks=False)
    found = path.lstat()
    os.chown(path, 0, 0, follow_symlinks=False)
    return (found.st_uid, found.st_gid) == (12345, 54321)


def _has_mode(path: Path, mode: int) -> bool:
    path.chmod(mode)
    return stat.S_IMODE(path.stat().st_mode) == mode


def _has_time(path: Path, moment: int) -> bool:
    os.utime(path, ns=(moment, moment), follow_symlinks=False)
    return path.lstat().st_mtime_ns == moment


def _times(path: Path) -> tuple[int, int, int]:
    """The grain of a file's times, and the first and the last that it keeps."""
    kept = [grain for grain in _GRAINS if _does(_has_time, path, 1234567891 * grain)]
    grain = next((one for one in kept), 2 * SECOND)

    def edge(moments: tuple[int, ...]) -> int:
        last = SECOND
        for moment in moments:
            rounded = moment - moment % grain
            if not _does(_has_time, path, rounded):
                break
            last = moment
        return last

    first, last = edge(_PAST), edge(_FUTURE)
    return grain, first, last


def _has_attribute(file: Path, folder: Path, beginning: str) -> bool:
    name, value = _VALUES[beginning]

    for path in (file, *([folder] if beginning == "user." else [])):
        os.setxattr(path, name, value)
        # As a copy is read: what is not listed is not found again.
        if attributes.read(str(path)).get(name) != value:
            return False
    return True
