"""Real servers of the machine, from Debian's packages, for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def install(*packages: str) -> None:
    """Given Debian packages, install them. Raise RuntimeError naming them where that cannot be."""
    wanted = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"these tests need the Debian packages {wanted}: install them")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    step = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        # A bare image has no package lists yet.
        subprocess.run(["apt-get", "update"], env=environment, capture_output=True, check=True)
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"apt-get install {wanted} failed: {done.stderr[-500:]}")


def require(packages: Mapping[str, str]) -> None:
    """Given a Debian package by each program that it brings, install what is missing."""
    missing = {package for program, package in packages.items() if shutil.which(program) is None}
    if missing:
        install(*sorted(missing))


def unprivileged(user: str = "nobody") -> Sequence[str]:
    """Return what goes before the command of a server that had better not run as root."""
    if os.geteuid() != 0:
        return ()
    account = pwd.getpwnam(user)
    ids = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}")
    return ("setpriv", *ids, "--clear-groups", "--")


def home(room: int, user: str = "nobody") -> Path:
    """Given the bytes that a server's data may take, and its user, make a folder of that user's:
    in memory if there is room.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > room
    path = Path(tempfile.mkdtemp(prefix="backstay-db-", dir=memory if roomy else None))
    if os.geteuid() == 0:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    path.chmod(0o755)
    return path


@contextmanager
def process(argv: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Given a server's command, run it in a folder, with its words in the folder's file `log`;
    it ends with the block.
    """
    with (folder / "log").open("wb") as log:
        # What a shell runs in the background ignores SIGQUIT, and so would what it starts.
        argv = ["env", "--default-signal=QUIT", *argv]
        server = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
    try:
        yield server
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=30)
