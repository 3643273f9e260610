"""Kill the agent at its k-th change to the file system.

The command runs in a process of its own, forked from here so that hundreds of points take seconds.
Every call that changes something is counted, over all of its worker processes; at the k-th one the
whole group is killed before the call is made. So the points lie before the first change, between
any two, and (with the one after the last) behind all.
"""

from __future__ import annotations

import fcntl
import functools
import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

from backstay.agent import __main__ as agent
from backstay.agent.destination import trash
from backstay.agent.fs import copy_file
from backstay.agent.tree import create

_CALLS = (
    *("mkdir", "rmdir", "link", "symlink", "unlink", "rename", "mknod", "pwrite", "fsync"),
    *("chown", "chmod", "utime", "setxattr", "removexattr", "ftruncate"),
)
_COUNT = struct.Struct("Q")


def run(verb: str, task: dict[str, Any], kill_at: int | None) -> tuple[int, int]:
    """Given a command and the number of the change to be killed at (None: never), run it; return
    its exit status (negative: the signal) and how many changes it made.
    """
    counter = mmap.mmap(-1, _COUNT.size)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setpgid(0, 0)
            _arm(counter, kill_at)
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until it dies
            status = agent.main([verb, json.dumps(task)])
        finally:
            os._exit(status)
    _, how = os.waitpid(child, 0)
    changes = _COUNT.unpack_from(counter)[0]
    counter.close()
    return os.waitstatus_to_exitcode(how), changes


def _arm(counter: mmap.mmap, kill_at: int | None) -> None:
    guard = os.memfd_create("guard")

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            fcntl.lockf(guard, fcntl.LOCK_EX)
            number = _COUNT.unpack_from(counter)[0]
            if number == kill_at:
                os.killpg(0, signal.SIGKILL)
            _COUNT.pack_into(counter, 0, number + 1)
            fcntl.lockf(guard, fcntl.LOCK_UN)
            return call(*arguments, **options)

        return wrapper

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
    for module, name in (
        (create, "syncfs"),
        (create, "make_snapshot"),
        (create, "make_subvolume"),
        (trash, "drop_subvolume"),
        (copy_file, "reflink"),
    ):
        setattr(module, name, counted(getattr(module, name)))
