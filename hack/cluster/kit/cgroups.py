"""The control groups of a node, on cgroup v1, v2 and the hybrid of both.

Invariant: all groups of an instance lie below one top group named after it, in every
hierarchy, so its members and leftovers are found without the kubelet's help.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import KitError

_MOUNTS = Path("/proc/self/mounts")
# What the kubelet hands out on cgroup v2 (k8s.io/kubernetes/pkg/kubelet/cm).
_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup hierarchy."""

    path: Path
    version: int
    cpuset: bool


def parse_mounts(text: str) -> list[Hierarchy]:
    """Given /proc/self/mounts, return the cgroup hierarchies in it."""
    found = []
    for line in text.splitlines():
        _, path, kind, options, *_ = line.split()
        if kind == "cgroup":
            found.append(Hierarchy(Path(path), 1, "cpuset" in options.split(",")))
        elif kind == "cgroup2":
            found.append(Hierarchy(Path(path), 2, False))
    return found


def hierarchies() -> list[Hierarchy]:
    return parse_mounts(_MOUNTS.read_text())


def create(group: str) -> None:
    """Given a group (a/b), make it in every hierarchy, ready for a kubelet's cgroupRoot.

    Raise KitError if no hierarchy is mounted or a v2 controller cannot be delegated.
    """
    every = hierarchies()
    if not every:
        raise KitError("no cgroup file system is mounted; mount one at /sys/fs/cgroup")
    for hierarchy in every:
        current = hierarchy.path
        for part in PurePosixPath(group).parts:
            if hierarchy.version == 2:
                _delegate(current)
            current = current / part
            current.mkdir(exist_ok=True)
            if hierarchy.cpuset:
                _inherit_cpuset(current)
        if hierarchy.version == 2:
            _delegate(current)


def _inherit_cpuset(group: Path) -> None:
    # A new v1 cpuset group is empty and takes no process until it is filled.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (group / name).read_text().strip():
            (group / name).write_text((group.parent / name).read_text())


def _delegate(group: Path) -> None:
    available = (group / "cgroup.controllers").read_text().split()
    control = group / "cgroup.subtree_control"
    enabled = control.read_text().split()
    for name in _WANTED:
        if name in available and name not in enabled:
            try:
                control.write_text(f"+{name}")
            except OSError as error:
                raise KitError(
                    f"cannot enable the {name} controller in {control}: {error.strerror}; "
                    "in a container, first move its processes from the root group into a child"
                ) from error


def _folders(group: str) -> list[Path]:
    """Return all folders of the group in all hierarchies, the deepest first."""
    found = []
    for hierarchy in hierarchies():
        top = hierarchy.path / group
        found += [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
    return found


def members(group: str) -> set[int]:
    """Given a top group, return the pids in it and below."""
    pids: set[int] = set()
    for folder in _folders(group):
        try:
            pids.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
        except (FileNotFoundError, OSError):
            continue  # removed meanwhile, or a threaded group, whose parent lists the pids
    return pids


def remove(group: str, *, seconds: float = 10) -> None:
    """Given a top group without processes, remove it and all below from every hierarchy.

    Raise KitError if it is still busy after `seconds`: the kernel needs a moment after
    the last process is gone.
    """
    deadline = time.monotonic() + seconds
    while folders := _folders(group):
        for folder in folders:
            try:
                folder.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise KitError(f"cannot remove cgroup {folder}: {error.strerror}") from error
        time.sleep(0.05)
