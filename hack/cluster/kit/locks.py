"""One builder, one `up` or `down` at a time, also between processes; folders to build in."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .console import say


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Given a lock file, hold it; say `waiting` if another process has it.

    The kernel drops the lock with its owner, so a killed owner blocks nobody.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """Given a parent and a prefix whose lock is held, yield a new folder; remove it at the end.

    Folders that a killed holder of the lock left behind go first.
    """
    for stale in parent.glob(f"{prefix}*"):
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as folder:
        yield Path(folder)
