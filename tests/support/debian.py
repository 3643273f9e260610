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

from hack.cluster.kit import packages


def require(programs: Mapping[str, str]) -> None:
    """Given a Debian package by each program that it brings, install what is missing."""
    packages.ensure([packages.Package(name, program) for program, name in programs.items()])


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
        server.wait(timeout=120)
