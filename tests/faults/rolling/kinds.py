"""Real file systems of many kinds, mounted for a test: the kernel's own and those in user space."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.support.waiting import eventually

Mounted: TypeAlias = Callable[[Path], AbstractContextManager[Path]]


def run(*words: str | Path) -> None:
    done = subprocess.run([*map(str, words)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def unmount(mount: Path) -> None:
    """Given a mount, unmount it as soon as nobody uses it: what lay in it may just be ending."""

    def unmounted() -> bool:
        done = subprocess.run(["umount", mount], check=False, capture_output=True)
        return done.returncode == 0

    eventually(unmounted, f"{mount} to be used by nobody", every=0.1)


@contextmanager
def mounted(folder: Path, *command: str | Path) -> Iterator[Path]:
    """Given a folder and a command that lacks its last word, the mount, yield where it mounts."""
    mount = folder / "mount"
    mount.mkdir()
    run(*command, mount)
    try:
        eventually(lambda: os.path.ismount(mount), f"{mount} to be mounted")
        yield mount
    finally:
        unmount(mount)


def image(folder: Path, *mkfs: str, size: str = "320M") -> Path:
    """Given an empty folder and a command that lacks its last word, make an image with it."""
    path = folder / "image"
    run("truncate", "-s", size, path)
    run(*mkfs, path)
    return path


def on_loop(*mkfs: str, size: str = "320M", kind: str = "") -> Mounted:
    def mount(folder: Path) -> AbstractContextManager[Path]:
        kinds = ["-t", kind] if kind else []
        return mounted(folder, "mount", *kinds, "-o", "loop", image(folder, *mkfs, size=size))

    return mount


def bindfs(*options: str) -> Mounted:
    def mount(folder: Path) -> AbstractContextManager[Path]:
        (folder / "back").mkdir()
        return mounted(folder, "bindfs", *options, folder / "back")

    return mount


@contextmanager
def compressed_btrfs(folder: Path) -> Iterator[Path]:
    with on_loop("mkfs.btrfs", "-q")(folder) as mount:
        run("btrfs", "property", "set", mount, "compression", "zstd")
        yield mount


def tmpfs(folder: Path) -> AbstractContextManager[Path]:
    return mounted(folder, "mount", "-t", "tmpfs", "none")


def overlayfs(folder: Path) -> AbstractContextManager[Path]:
    lower, upper, work = (folder / name for name in ("lower", "upper", "work"))
    for path in (lower, upper, work):
        path.mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    return mounted(folder, "mount", "-t", "overlay", "overlay", "-o", options)


def mergerfs(folder: Path) -> AbstractContextManager[Path]:
    for name in ("one", "two"):
        (folder / name).mkdir()
    branches = f"{folder}/one:{folder}/two"
    options = "allow_other,use_ino,category.create=mfs,minfreespace=1M"
    return mounted(folder, "mergerfs", "-o", options, branches)


def ntfs(*options: str) -> Mounted:
    def mount(folder: Path) -> AbstractContextManager[Path]:
        disk = image(folder, "mkntfs", "-F", "-Q", size="100M")
        return mounted(folder, "ntfs-3g", *options, disk)

    return mount


@contextmanager
def fuse2fs(folder: Path) -> Iterator[Path]:
    mount = folder / "mount"
    mount.mkdir()
    run("fuse2fs", image(folder, "mkfs.ext4", "-q"), mount, "-o", "fakeroot,rw")
    try:
        eventually(lambda: os.path.ismount(mount), f"{mount} to be mounted")
        yield mount
    finally:
        unmount(mount)


def gocryptfs(folder: Path) -> AbstractContextManager[Path]:
    (folder / "cipher").mkdir()
    (folder / "word").write_text("x")
    words = ("gocryptfs", "-q", "-passfile", folder / "word")
    run(*words, "-init", "-scryptn", "10", folder / "cipher")
    return mounted(folder, *words, "-allow_other", folder / "cipher")


@contextmanager
def glusterfs(folder: Path) -> Iterator[Path]:
    """A server with one brick and its client, which meet on the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "brick").mkdir()
    (folder / "server.vol").write_text(
        f"volume disk\n type storage/posix\n option directory {folder}/brick\nend-volume\n"
        "volume locks\n type features/locks\n subvolumes disk\nend-volume\n"
        "volume brick\n type protocol/server\n option transport-type tcp\n"
        " option transport.socket.bind-address 127.0.0.1\n"
        f" option transport.socket.listen-port {port}\n"
        " option auth.addr.locks.allow 127.0.0.1\n subvolumes locks\nend-volume\n"
    )
    (folder / "client.vol").write_text(
        "volume client\n type protocol/client\n option transport-type tcp\n"
        f" option remote-host 127.0.0.1\n option remote-port {port}\n"
        " option remote-subvolume locks\nend-volume\n"
    )
    server = subprocess.Popen(
        [*("glusterfsd", "-N", "-l", folder / "server.log"), *("-f", folder / "server.vol")]
    )
    try:
        eventually(lambda: _listens(port), f"glusterfsd to listen on port {port}")
        words = ("glusterfs", "--acl", "-l", folder / "client.log", "-f", folder / "client.vol")
        with mounted(folder, *words) as mount:
            yield mount
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    disk = image(folder, "mkfs.exfat", size="64M")
    found = subprocess.run(
        ["losetup", "-f", "--show", disk], check=True, capture_output=True, text=True
    )
    device = found.stdout.strip()
    try:
        with mounted(folder, "mount.exfat-fuse", device) as mount:
            yield mount
    finally:
        run("losetup", "-d", device)


KINDS: dict[str, Mounted] = {
    "ext4": on_loop("mkfs.ext4", "-q"),
    "bindfs": bindfs(),
    "XFS": on_loop("mkfs.xfs", "-q"),
    "bindfs --chown-ignore": bindfs("--chown-ignore"),
    "btrfs, compressed": compressed_btrfs,
    "bindfs --chown-deny": bindfs("--chown-deny"),
    "tmpfs": tmpfs,
    "bindfs --chmod-ignore": bindfs("--chmod-ignore"),
    "overlayfs on ext4": overlayfs,
    "bindfs --xattr-none": bindfs("--xattr-none"),
    "ext4 with small inodes": on_loop("mkfs.ext4", "-q", "-I", "128"),
    "mergerfs": mergerfs,
    "ntfs-3g with permissions": ntfs("-o", "permissions"),
    "glusterfs": glusterfs,
    "ntfs-3g": ntfs(),
    "gocryptfs": gocryptfs,
    "fuse2fs": fuse2fs,
}
"""In an order in which neighbours differ much: each is copied from the one before it, and restored
to the one after it.
"""


@dataclass(slots=True)
class Disks:
    """File systems, each mounted when it is asked for. They lie on one of ext4, so that what those
    in user space keep does not depend on the machine's own.
    """

    base: Path
    stack: ExitStack = field(default_factory=ExitStack)
    found: dict[str, Path] = field(default_factory=dict)

    def __call__(self, name: str) -> Path:
        """Given the name of a kind, return an empty directory on such a file system."""
        if name not in self.found:
            folder = self.base / f"kind-{len(self.found)}"
            folder.mkdir()
            self.found[name] = self.stack.enter_context({**KINDS, "exFAT": exfat}[name](folder))
        taken = len(list(self.found[name].iterdir()))
        path = self.found[name] / f"place-{taken}"
        path.mkdir()
        return path


@contextmanager
def disks(folder: Path) -> Iterator[Disks]:
    """Given an empty folder, yield the file systems, and unmount them at the end."""
    with on_loop("mkfs.ext4", "-q", size="3G")(folder) as base:
        found = Disks(base)
        with found.stack:
            yield found
