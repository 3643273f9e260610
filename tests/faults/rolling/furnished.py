"""A directory with one of everything that its file system takes, and what is there afterwards."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults.rolling.harness import Place, link_groups, walk

RAW = b"not-utf-8-\xff"
NO_ID = 0xFFFFFFFF
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 7, NO_ID), (2, 7, 1111), (4, 5, NO_ID), (16, 7, NO_ID), (32, 0, NO_ID))
)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ATTRIBUTES = {
    "user.colour": b"blue\0and\xff",
    "user.long": b"long" * 600,
    "security.NTACL": b"samba",
    "security.capability": CAPABILITY,
    "system.posix_acl_access": ACL,
}


def furnish(top: Path) -> None:
    """Put one of everything that its file system takes into a directory."""

    def give(act: Callable[..., Any], *given: Any, **named: Any) -> None:
        with suppress(OSError):
            act(*given, **named)

    for folder in ("deep", "deep/er", "owned", "with-acl"):
        (top / folder).mkdir()
    (top / "plain").write_bytes(b"plain")
    (top / "deep/er/file").write_bytes(os.urandom(70_000))
    with (top / "sparse").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"island")
    for name in ("one", "deep/two"):
        (top / name).write_bytes(b"linked") if name == "one" else os.link(top / "one", top / name)
    os.symlink("plain", top / "link")
    give(os.mkfifo, top / "pipe", 0o640)
    give(os.mknod, top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(top)  # a socket's address is short
        give(server.bind, "socket")
        os.chdir(here)
    give(Path(os.fsdecode(os.path.join(os.fsencode(top), RAW))).write_bytes, b"raw")
    for mode in (0o400, 0o666, 0o1644, 0o2755, 0o4711):
        moded = top / f"owned/{mode:o}"
        moded.write_bytes(b"mode")
        give(os.chown, moded, 1234, 5678)
        give(moded.chmod, mode)
    give(os.chown, top / "owned", 4321, 8765)
    give((top / "owned").chmod, 0o2775)
    give(os.chown, top / "link", 77, 88, follow_symlinks=False)
    for name, value in ATTRIBUTES.items():
        path = top / f"with {name}"
        path.write_bytes(b"attribute")
        give(os.setxattr, path, name, value)
    (top / "with system.posix_acl_access").chmod(0o770)  # as a kernel does it with the ACL
    give(os.setxattr, top / "deep", "user.kind", b"folder")
    give(os.setxattr, top / "with-acl", "system.posix_acl_default", ACL)
    for moment in (
        1_234_567_890_123_456_789,
        -5_000_000_001,
        2**31 * 10**9,
        10_413_792_000 * 10**9,
    ):
        path = top / f"at {moment}"
        path.write_bytes(b"time")
        give(os.utime, path, ns=(moment, moment))
    give(os.utime, top / "deep/er", ns=(1, 987_654_321_000_000_001))
    give(os.utime, top / "link", ns=(1, 5), follow_symlinks=False)


def change(top: Path) -> None:
    (top / "plain").write_bytes(b"changed")
    (top / "deep/er/file").unlink()
    (top / "deep/new").write_bytes(b"new")


def look(top: Path) -> dict[str, dict[bytes, Any]]:
    """Given a directory, return what it has, by what of it a file system may not keep."""
    found: dict[str, dict[bytes, Any]] = {
        kind: {} for kind in ("content", "owner", "mode", "time", "attributes")
    }
    for path, one in (*walk(top), (b".", top.lstat())):
        full = os.path.join(os.fsencode(top), path)
        content: Any = stat.S_IFMT(one.st_mode), one.st_rdev
        if stat.S_ISREG(one.st_mode):
            content = hashlib.sha256(Path(os.fsdecode(full)).read_bytes()).digest()
        elif stat.S_ISLNK(one.st_mode):
            content = os.readlink(full)
        found["content"][path] = content
        found["owner"][path] = one.st_uid, one.st_gid
        found["mode"][path] = None if stat.S_ISLNK(one.st_mode) else one.st_mode
        found["time"][path] = one.st_mtime_ns
        found["attributes"][path] = attributes_of(full)
    found["content"][b"links"] = link_groups(top)
    return found


def attributes_of(path: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            if name in {*ATTRIBUTES, "user.kind", "system.posix_acl_default"}:
                with suppress(OSError):
                    found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def unlike(one: dict[str, dict[bytes, Any]], other: dict[str, dict[bytes, Any]]) -> set[str]:
    found = set()
    for kind, those in one.items():
        for path in those.keys() | other[kind].keys():
            was, now = those.get(path), other[kind].get(path)
            if was != now:
                sys.stdout.write(f"{path!r}: {kind} {was!r}, then {now!r}\n")  # if it fails
                found.add(kind)
    return found


def restored(place: Place, run: str, at: Path) -> tuple[dict[str, Any], Path]:
    task = place.task(stamp=place.point(run).stamp, target={"root": str(at), "path": "back"})
    outcome = place.agent("restore", task)
    assert outcome.code == 0, outcome
    return outcome.result, at / "back"
