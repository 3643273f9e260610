"""The programs that the bench of rolling copies times, and the disks that they work on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COMPILED = {
    **os.environ,
    "PYTHONPATH": str(ROOT / "operator/src"),
    "PYTHONDONTWRITEBYTECODE": "",
}
"""An installed agent has its bytecode beside it: so has this one, from its first run on."""
EVERYTHING = ("-aHAXS", "--numeric-ids", "--modify-window=-1")


@dataclass(frozen=True, slots=True)
class Rsync:
    """An rsync, and what makes it as fast as it was before its checks of every path."""

    path: str
    version: tuple[int, ...]

    @classmethod
    def at(cls, path: str) -> Rsync:
        text = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
        found = re.search(r"version (\d+)\.(\d+)\.(\d+)", text.stdout)
        if found is None:
            raise RuntimeError(f"{path} does not say its version")
        return cls(path, tuple(int(part) for part in found.groups()))

    @property
    def quick(self) -> tuple[str, ...]:
        return ("--insecure-links",) if self.version >= (3, 5) else ()

    @property
    def name(self) -> str:
        return "rsync " + ".".join(map(str, self.version)) + "".join(f" {o}" for o in self.quick)


def older_rsync(folder: Path) -> Rsync:
    """Given an empty folder, return rsync 3.2 from Debian 12 where apt has it, else the machine's
    own.
    """
    listed = subprocess.run(
        ["apt-cache", "madison", "rsync"], capture_output=True, text=True, check=False
    )
    version = re.search(r"\| (3\.2\.[^ ]+) \|", listed.stdout)
    if version:
        words = ["apt-get", "download", "-qq", f"rsync={version[1]}"]
        done = subprocess.run(words, cwd=folder, check=False, capture_output=True)
        for package in folder.glob("rsync_*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder / "rsync"], check=True)
        if done.returncode == 0:
            return Rsync.at(str(folder / "rsync/usr/bin/rsync"))
    return Rsync.at("rsync")


@contextmanager
def disk(folder: Path, kind: str, size: str) -> Iterator[Path]:
    """Given a folder, mount a new file system of a kind in it; at the end it is gone."""
    image, mount = folder / f"{kind}.img", folder / kind
    mount.mkdir()
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    attach(image, mount)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)
        image.unlink()


def attach(image: Path, mount: Path) -> None:
    """Given an image and a directory, mount it; without caching what it holds twice."""
    device = subprocess.run(
        ["losetup", "--find", "--show", "--direct-io=on", image],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(["mount", "-o", "noatime", device, mount], check=True)
    # It goes away by itself when it is unmounted.
    subprocess.run(["losetup", "-d", device], check=True)


def remount(mount: Path) -> None:
    """Given a mount, mount it again: XFS gives back what it had set aside."""
    subprocess.run(["umount", mount], check=True)
    attach(mount.with_name(f"{mount.name}.img"), mount)


def settle(mount: Path) -> None:
    """Given a mount, have its file system write all that it still has in its journal."""
    for way in ("-f", "-u"):
        subprocess.run(["fsfreeze", way, mount], check=True)


def forget_caches() -> None:
    """Have the kernel forget what it keeps of files and directories (proc_sys_vm(5))."""
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")


def timed(words: Sequence[str | Path], mount: Path | None = None) -> float:
    """Given a command, return its seconds, flushing its file system included."""
    began = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    if mount is not None:
        subprocess.run(["sync", "-f", mount], check=True)
    return time.monotonic() - began


class Ran(NamedTuple):
    """A command of the agent's: what it said, the seconds until then, and those after it."""

    result: dict[str, Any]
    answered: float
    after: float


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent on one source and one destination."""

    source: Path
    destination: Path

    def __call__(self, verb: str, **more: Any) -> Ran:
        """Given a verb and its fields, run it."""
        task = {
            "destination": {"path": str(self.destination), "allowSameFilesystem": True},
            "series": {
                "namespace": "bench",
                "policy": "bench",
                "kind": "hostPath",
                "holder": "node",
                "path": "/source",
            },
            **more,
        }
        began = answered = time.monotonic()
        last = ""
        with subprocess.Popen(
            [sys.executable, "-m", "backstay.agent", verb, json.dumps(task)],
            env=COMPILED,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stdout or ():
                last, answered = line, time.monotonic()
        if process.returncode != 0:
            raise RuntimeError(f"{verb}: status {process.returncode}: {last}")
        return Ran(json.loads(last), answered - began, time.monotonic() - answered)

    def copy(self, run: str) -> tuple[dict[str, Any], float]:
        """Given a run, copy; return the result and the seconds, flushing included."""
        source = {"root": str(self.source.parent), "path": self.source.name}
        ran = self("copy", run=run, source=source)
        return ran.result, ran.answered + ran.after

    def data(self, run: str) -> Path:
        """Given a run that made a tree, return where its files are."""
        return next(self.destination.glob(f"bench/bench/*/trees/{run}/data"))

    def prune(self, point: dict[str, Any]) -> tuple[float, float]:
        """Given a point, remove it; return after how many seconds the agent answered, without
        the start of Python, and how long it gave back the space after that.
        """
        seen = {"stamp": point["stamp"], "version": point["version"]}
        ran = self("prune", points=[seen])
        if ran.result["points"][0]["outcome"] != "done":
            raise RuntimeError(f"not pruned: {ran.result}")
        return ran.result["seconds"], ran.after


def used(mount: Path) -> int:
    """Given a mount, return the bytes that are taken."""
    subprocess.run(["sync", "-f", mount], check=True)
    found = os.statvfs(mount)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def remove(path: Path) -> None:
    """Given a tree that the bench made, remove it."""
    shutil.rmtree(path)
