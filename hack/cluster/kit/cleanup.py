"""Taking an instance down, also after a crash: nothing of it stays on the machine.

Invariants: only what is provably the instance's own is touched (processes with its mark in
their environment or in its control groups, mounts below its root, its bridges and groups);
files are deleted last, and never while anything is still mounted among them.
"""

import os
import shutil
import signal
from pathlib import Path

from . import bridges, cgroups, mounts, packages
from .errors import KitError
from .layout import MAX_NODES, Layout
from .processes import Identity, identify, owned, send, stop, wait_gone

_SANDBOX_LOGS = Path("/var/log/containers")
_CNI_RESULTS = Path("/var/lib/cni/results")


def down(layout: Layout) -> bool:
    """Given a layout, remove the instance. Return whether there was one.

    Raise KitError if a process, mount or control group cannot be removed.
    """
    packages.require_root("the cluster")
    existed = layout.marker.exists()
    if layout.root.exists() and not existed and any(layout.root.iterdir()):
        raise KitError(f"{layout.root} is not a cluster of this kit; it is left alone")
    _end_processes(layout)
    shims = _shim_sockets(layout)
    mounts.unmount_below(layout.root)
    mounts.detach_loops(layout.storage_image)
    cgroups.remove(layout.cgroup)
    for number in range(1, MAX_NODES + 1):
        bridges.remove(layout.node(number).bridge)
    remove_strays(layout, shims)
    if mounts.below(layout.root):
        raise KitError(f"something is still mounted below {layout.root}; its files are left alone")
    if layout.root.exists():
        shutil.rmtree(layout.root)
    return existed


def _contained(layout: Layout) -> list[Identity]:
    found = (identify(pid) for pid in cgroups.members(layout.cgroup))
    return [identity for identity in found if identity]


def _end_processes(layout: Layout) -> None:
    """End daemons first, so that nobody restarts a container, then what they started."""
    while mine := owned(layout.root):
        stop(mine, grace=3)
    while inside := _contained(layout):
        send(inside, signal.SIGKILL)
        if stuck := wait_gone(inside, 10):
            raise KitError(f"container processes {[one.pid for one in stuck]} do not end")


def _shim_sockets(layout: Layout) -> list[Path]:
    """Return the sockets in /run/containerd/s that our shims noted in their bundles."""
    found = []
    for number in range(1, MAX_NODES + 1):
        state = layout.node(number).root / "containerd" / "state"
        notes = state.glob("io.containerd.runtime.v2.task/*/*/address")
        found += [Path(note.read_text().strip().removeprefix("unix://")) for note in notes]
    return [path for path in found if path.is_relative_to("/run/containerd/s")]


def remove_strays(layout: Layout, shims: list[Path]) -> None:
    """Remove what containerd, CNI and the kubelet leave outside the root."""
    for socket in shims:
        socket.unlink(missing_ok=True)
    for link in _SANDBOX_LOGS.glob("*.log"):
        if link.is_symlink() and Path(os.readlink(link)).is_relative_to(layout.root):
            link.unlink()
    for number in range(1, MAX_NODES + 1):
        bridge = layout.node(number).bridge
        for result in _CNI_RESULTS.glob(f"{bridge}-*-eth0"):
            # The loopback's result says only which sandbox it was of.
            sandbox = result.name.removeprefix(f"{bridge}-").removesuffix("-eth0")
            (_CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
            result.unlink()
