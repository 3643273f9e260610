"""One builder, one `up` or `down` at a time, also between processes."""

import fcntl
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
