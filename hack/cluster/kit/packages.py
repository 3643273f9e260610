"""What the kit needs from the distribution: found, installed by apt-get, or named."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .command import run
from .console import say
from .errors import KitError
from .layout import cache_from
from .locks import locked

_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
# Service users' PATH often lacks the folders where these programs are.
_MORE_PATH = ("/usr/sbin", "/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package and what shows that it is there: a program's name or some paths."""

    name: str
    program: str = ""
    paths: Sequence[Path] = ()

    @property
    def present(self) -> bool:
        if self.program:
            return shutil.which(self.program) is not None
        return any(path.exists() for path in self.paths)


CLUSTER = (
    Package("containerd", "containerd"),
    Package("runc", "runc"),
    Package("containernetworking-plugins", paths=[folder / "bridge" for folder in _CNI_FOLDERS]),
    Package("btrfs-progs", "mkfs.btrfs"),
    Package("openssl", "openssl"),
    Package("iproute2", "ip"),
    Package("mount", "losetup"),
)
IMAGES = (
    Package("buildah", "buildah"),
    Package("debootstrap", "debootstrap"),
)
# What the tests and the bench of rolling copies use.
ROLLING = (
    Package("rsync", "rsync"),
    Package("acl", "setfacl"),
    Package("attr", "setfattr"),
    Package("libcap2-bin", "setcap"),
    Package("e2fsprogs", "mkfs.ext4"),
    Package("xfsprogs", "mkfs.xfs"),
    Package("btrfs-progs", "mkfs.btrfs"),
    Package("mount", "losetup"),
    Package("faketime", "faketime"),
)
# File systems in user space, as destinations of rolling copies and targets of restores.
FILE_SYSTEMS = (
    Package("bindfs", "bindfs"),
    Package("mergerfs", "mergerfs"),
    Package("ntfs-3g", "ntfs-3g"),
    Package("fuse2fs", "fuse2fs"),
    Package("gocryptfs", "gocryptfs"),
    Package("glusterfs-server", "glusterfsd"),
    Package("glusterfs-client", "glusterfs"),
    Package("exfat-fuse", "mount.exfat-fuse"),
    Package("exfatprogs", "mkfs.exfat"),
)
VENV = Package("python3-venv", paths=[Path(os.__file__).parent / "ensurepip" / "__main__.py"])


def extend_path() -> None:
    """Make programs of /usr/sbin and the like findable for us and what we start."""
    known = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*known, *(p for p in _MORE_PATH if p not in known)])


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise KitError(f"{what} mounts file systems and makes control groups: run it as root")


def ensure(packages: Sequence[Package]) -> None:
    """Given packages, install what is missing. Raise KitError with their names if we cannot."""
    missing = [package.name for package in packages if not package.present]
    if not missing:
        return
    install(*missing)
    left = [package.name for package in packages if not package.present]
    if left:
        raise KitError(f"installed, but still not to be found: {' '.join(left)}")


def install(*names: str) -> None:
    """Install Debian packages. Raise KitError with their names if we cannot.

    Test workers side by side may all miss a package, and a second apt-get does not wait: it fails.
    """
    wanted = " ".join(names)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise KitError(f"missing on this machine (named as in Debian): {wanted}; install them")
    with locked(cache_from(os.environ) / "apt.lock", f"Waiting for another apt-get: {wanted}"):
        say(f"Installing Debian packages: {wanted}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names], env=quiet)


def cni_plugins() -> Path:
    """Return the folder with the CNI plug-ins. Raise KitError if there is none."""
    for folder in _CNI_FOLDERS:
        if (folder / "bridge").exists():
            return folder
    raise KitError("no CNI plug-ins found; install containernetworking-plugins")
