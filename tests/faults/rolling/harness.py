"""The agent as a Job runs it, on real directories and real file systems."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backstay.agent.destination.layout import Folder, folder_of
from backstay.agent.destination.manifest import Manifest
from backstay.agent.destination.points import read_points
from backstay.agent.tree.check import differences
from backstay.domain.stores.copies.points import RollingPoint, Series

ROOT = Path(__file__).resolve().parents[3]
SERIES = Series("shop", "uploads", "hostPath", "worker-1", "/srv/uploads")
SHRINKS = {"shrink": {"allow": True}}
ACL = "u:1111:rwx,g::r-x,o::---"
KEEP = {"backstay.dev/retain": "daily_weekly_monthly"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command answered."""

    code: int
    result: dict[str, Any]
    lines: list[str]

    @property
    def reason(self) -> str:
        return str(self.result["reason"])


@dataclass(frozen=True, slots=True)
class Place:
    """A source and a destination, and the agent that works on them."""

    source: Path
    destination: Path
    series: Series = SERIES

    @property
    def folder(self) -> Folder:
        return folder_of(str(self.destination), self.series)

    def task(self, **more: Any) -> dict[str, Any]:
        return {
            "destination": {"path": str(self.destination), "allowSameFilesystem": True},
            "series": self.series.to_json(),
            "lockSeconds": 5,
            **more,
        }

    def copy_task(self, run: str, **more: Any) -> dict[str, Any]:
        source = {"root": str(self.source.parent), "path": self.source.name}
        return {**self.task(run=run, source=source, labels=KEEP), **more}

    def agent(
        self, verb: str, task: dict[str, Any], clock: str = "", *, before: Sequence[str] = ()
    ) -> Outcome:
        """Given a verb, a task, what the node's clock says (faketime's words, "" is the time) and
        words to put before the command, run it and return what it answered.
        """
        moved = ["faketime", clock] if clock else []
        done = subprocess.run(
            [*moved, *before, sys.executable, "-m", "backstay.agent", verb],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT / "operator/src"),
                "BACKSTAY_TASK": json.dumps(task),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines[-1]) <= 4096
        return Outcome(done.returncode, json.loads(lines[-1]), lines[:-1])

    def init(self) -> None:
        assert self.agent("init", {"destination": {"path": str(self.destination)}}).code == 0

    def copy(self, run: str, **more: Any) -> dict[str, Any]:
        """Given a run, copy; insist that it works, and that the tree is what rsync and the
        manifest say.
        """
        return self.copy_at("", run, **more)

    def copy_at(self, clock: str, run: str, **more: Any) -> dict[str, Any]:
        """Given what the node's clock says, copy as above."""
        outcome = self.agent("copy", self.copy_task(run, **more), clock)
        assert outcome.code == 0, outcome
        return outcome.result

    def data(self, run: str) -> Path:
        return self.folder.data(run)

    def points(self) -> list[RollingPoint]:
        found = read_points(self.folder)
        assert found.damaged == []
        return found.found

    def point(self, run: str) -> RollingPoint:
        return next(point for point in self.points() if point.run == run)

    def seen(self, run: str) -> dict[str, str]:
        """Given a run, return its point as a caller of relabel and prune names it."""
        point = self.point(run)
        return {"stamp": point.stamp, "version": point.version}

    def assert_trees_are_whole(self) -> None:
        """Whatever looks like a tree is what its manifest says, to the byte."""
        for point in self.points():
            assert self.data(point.tree).is_dir(), f"{point.stamp} has no tree"
        for tree in self.folder.trees.iterdir() if self.folder.trees.is_dir() else ():
            if not tree.name.startswith("."):
                assert tree_differences(tree) == []

    def assert_settled(self) -> None:
        """Nothing half-done lies about, and people find every point."""
        self.assert_trees_are_whole()
        named = {point.tree for point in self.points()}
        assert {tree.name for tree in self.folder.trees.iterdir()} - self._spare() == named
        stamps = {point.stamp for point in self.points()}
        assert {path.name for path in self.folder.points.iterdir()} == {
            f"{stamp}.json" for stamp in stamps
        }
        links = {path.name: path for path in self.folder.path.iterdir() if path.is_symlink()}
        assert links.keys() == stamps
        assert all(path.is_dir() for path in links.values())

    def _spare(self) -> set[str]:
        """The name of the spare, which has nothing that the newest tree does not have."""
        points = self.points()
        spare = self.folder.spare(points[-1].tree) if points else None
        if spare is None or not spare.exists():
            return set()
        newest = self.data(points[-1].tree)
        for path, one in walk(spare / "data"):
            there = os.lstat(newest / os.fsdecode(path))
            kinds = stat.S_ISDIR(one.st_mode), stat.S_ISDIR(there.st_mode)
            assert kinds == (True, True) or os.path.samestat(one, there), path
        return {spare.name}


def tree_differences(tree: Path) -> list[bytes]:
    """Given a tree's folder, return what is not as its manifest says."""
    listings = Manifest.load(tree / "manifest").listings()
    fd = os.open(tree / "data", os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list(differences(fd, listings, hashes=True, processes=1))
    finally:
        os.close(fd)


def assert_equal_to_rsync(one: Path, other: Path) -> None:
    """Two trees have nothing that rsync would change: content, owners, ACLs, attributes, links."""
    options = ["-aHAXS", "--numeric-ids", "--modify-window=-1", "-n", "-c", "-i", "--delete"]
    options.append("--filter=-x trusted.SGI_ACL_*")  # what XFS shows of an ACL besides the ACL
    done = subprocess.run(
        ["rsync", *options, f"{one}/", f"{other}/"], capture_output=True, check=True
    )
    assert done.stdout == b"", done.stdout
    assert link_groups(one) == link_groups(other)


def link_groups(top: Path) -> set[frozenset[bytes]]:
    """Given a tree, return the sets of names that share an inode."""
    groups: dict[int, set[bytes]] = {}
    for path, one in walk(top):
        if not stat.S_ISDIR(one.st_mode):
            groups.setdefault(one.st_ino, set()).add(path)
    return {frozenset(names) for names in groups.values() if len(names) > 1}


def walk(top: Path) -> Iterator[tuple[bytes, os.stat_result]]:
    """Given a directory, yield every path below it with its inode."""
    root = os.fsencode(top)
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), os.lstat(path)


def fingerprint(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """Given a tree, return everything that must not change in it."""
    found: dict[bytes, tuple[Any, ...]] = {}
    for path, one in walk(top):
        content = b""
        if stat.S_ISREG(one.st_mode):
            content = hashlib.sha256(
                (Path(os.fsdecode(os.fsencode(top))) / os.fsdecode(path)).read_bytes()
            ).digest()
        found[path] = (one.st_mode, one.st_uid, one.st_gid, one.st_size, one.st_mtime_ns, content)
    return found


def assert_links_add_up(top: Path) -> None:
    """Every file below a directory has exactly as many links as it has names there."""
    names: dict[tuple[int, int], int] = {}
    links: dict[tuple[int, int], int] = {}
    for _, one in walk(top):
        if not stat.S_ISDIR(one.st_mode):
            inode = one.st_dev, one.st_ino  # btrfs snapshots repeat the numbers
            names[inode] = names.get(inode, 0) + 1
            links[inode] = one.st_nlink
    assert names == links


@contextmanager
def disk(folder: Path, kind: str, size: str = "400M", *options: str) -> Iterator[Path]:
    """Given an empty folder, a kind of file system and options of its mkfs, mount a new one of it
    and yield where.
    """
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop,noatime", image, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)
        image.unlink()


@contextmanager
def read_only(place: Place, mount: Path) -> Iterator[Place]:
    """Given a place and an empty directory, yield the place as a Job sees it: its source is mounted
    read-only, there.
    """
    mount.mkdir()
    subprocess.run(["mount", "--bind", place.source, mount], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", mount], check=True)
        yield replace(place, source=mount)
    finally:
        subprocess.run(["umount", mount], check=True)


def same_as(one: Path, other: Path) -> None:
    """Given a directory and one that is not there yet, copy it there with all its links."""
    shutil.rmtree(other, ignore_errors=True)
    subprocess.run(["cp", "-a", one, other], check=True)


def spare_of(place: Place) -> Path:
    """Given a place where a pruned tree was kept, return that."""
    (spare,) = place.folder.trees.glob(".spare-*")
    return spare


def without_spare(place: Place, kept: Path) -> dict[str, Any]:
    """Given a place, return what the next copy does when its pruned tree is not there."""
    same_as(place.destination, kept)
    other = replace(place, destination=kept)
    shutil.rmtree(spare_of(other))
    return dict(other.copy("r3", **SHRINKS)["stats"])


def setfacl(option: str, path: Path, *, acl: bool = True) -> None:
    """Given an option of setfacl and a path, change its ACL."""
    subprocess.run(["setfacl", option, *([ACL] if acl else []), path], check=True)


def fill(top: Path) -> None:
    """Put one of everything into a directory."""
    (top / "plain").write_bytes(b"plain")
    (top / "empty").touch()
    (top / "deep/er/and/deeper").mkdir(parents=True)
    (top / "deep/er/file").write_bytes(os.urandom(70_000))
    (top / "large").write_bytes(os.urandom(3 << 20))
    for name in ("one", "deep/two", "deep/er/three"):
        if name == "one":
            (top / name).write_bytes(b"linked")
        else:
            os.link(top / "one", top / name)
    os.symlink("plain", top / "link")
    os.link(top / "link", top / "link-too", follow_symlinks=False)
    os.symlink("/etc/shadow", top / "absolute")
    os.symlink("../../../outside", top / "deep/escape")
    os.mkfifo(top / "pipe", 0o640)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 0))
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(top)  # a socket's address is short
        server.bind("socket")
        os.chdir(here)
    with (top / "sparse").open("wb") as file:
        file.truncate(20 << 20)
        file.seek(9 << 20)
        file.write(b"island")
    for raw in (b"new\nline", b"not-utf-8-\xff\xfe", b"#tab\tand space ", b"-dash", b"quote'\"\\"):
        path = os.path.join(os.fsencode(top), raw)
        with open(path, "wb") as file:
            file.write(raw)
    os.mkdir(os.path.join(os.fsencode(top), b"dir-\xff\n"))
    (top / "owned").write_bytes(b"owned")
    os.chown(top / "owned", 1234, 5678)
    os.chmod(top / "owned", 0o4751)  # noqa: S103 - kept as it is
    for mode in (0o000, 0o400, 0o640, 0o666, 0o777, 0o1644, 0o2755, 0o4711):
        for owner in (0, 1234):
            moded = top / f"mode-{mode:o}-of-{owner}"
            moded.write_bytes(b"mode")
            os.chown(moded, owner, owner)
            moded.chmod(mode)
    os.chown(top / "deep", 4321, 8765)
    os.chmod(top / "deep", 0o2775)  # noqa: S103
    os.chown(top / "link", 77, 88, follow_symlinks=False)
    os.setxattr(top / "plain", "user.colour", b"blue\0and\xff")
    os.setxattr(top / "deep", "user.kind", b"folder")
    subprocess.run(["setfacl", "-m", "u:1111:rw,g:2222:r", top / "large"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:1111:rwx", top / "deep/er"], check=True)
    (top / "ping").write_bytes(b"\x7fELF")
    subprocess.run(["setcap", "cap_net_raw+ep", top / "ping"], check=True)
    os.utime(top / "plain", ns=(1, 1_234_567_890_123_456_789))
    os.utime(top / "deep/er", ns=(1, 987_654_321_000_000_001))
    os.utime(top / "link", ns=(1, 5), follow_symlinks=False)
