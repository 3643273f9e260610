"""Have a call of the agent fail, as a disk or a file server would: in a process forked from here.

Errors look as CPython makes them: with the path that a call was given, or the number of the
descriptor where it was given one, or with none of both.
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backstay.agent import __main__ as agent
from backstay.agent.fs import copy_file
from backstay.agent.tree import create

_WITH_PATH = (
    *("open", "stat", "lstat", "mkdir", "rmdir", "link", "symlink", "unlink", "rename", "mknod"),
    *("chown", "chmod", "utime", "listxattr", "getxattr", "setxattr", "removexattr", "scandir"),
    *("listdir", "readlink", "statvfs"),
)
_READING = ("open", "readlink")
_OF_DESCRIPTOR = ("read", "pread", "pwrite", "fsync", "fstat", "fstatvfs", "ftruncate", "fchmod")
_OURS = ((create, "syncfs"), (copy_file, "clean_pages"))

Fails = Callable[[str, tuple[Any, ...], int | None], int | None]
"""Given a call, its arguments and the directory that its name is in (None: it has none), the error
that it fails with, None if it does not.
"""


def run(
    verb: str, task: dict[str, Any], fails: Fails, at_end: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Given a command and which of its calls fail, run it; return its result."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                sys.stdout = said
                sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until it ends
                _arm(fails)
                status = agent.main([verb, json.dumps(task)])
                said.flush()
                at_end()
            finally:
                os._exit(status)
        _, how = os.waitpid(child, 0)
        said.seek(0)
        lines = said.read().splitlines()
    assert lines, f"no result, and exit status {os.waitstatus_to_exitcode(how)}"
    result: dict[str, Any] = json.loads(lines[-1])
    return {**result, "code": os.waitstatus_to_exitcode(how)}


def kth(number: int, error: int = errno.EIO) -> Fails:
    """Given a number, return what has that call fail."""
    calls = itertools.count()
    return lambda *_: error if next(calls) == number else None


def count_calls(verb: str, task: dict[str, Any]) -> int:
    """Given a command that works with one process, return how many calls it makes."""
    with tempfile.TemporaryFile() as counted:

        def fails(*_: Any) -> None:
            counted.write(b"x")

        assert run(verb, task, fails, at_end=counted.flush)["code"] == 0
        return counted.seek(0, os.SEEK_END)


def of_names(top: Path, *names: bytes, error: int = errno.EIO) -> Fails:
    """Given a directory and names, return what has these unreadable below it."""
    readlink = os.readlink

    def fails(call: str, arguments: tuple[Any, ...], directory: int | None) -> int | None:
        if call not in _READING or directory is None:
            return None
        first = arguments[0]
        if not isinstance(first, str | bytes) or os.fsencode(first) not in names:
            return None
        there = Path(readlink(f"/proc/self/fd/{directory}"))
        return error if there.is_relative_to(top) else None

    return fails


def _arm(fails: Fails) -> None:
    def failing(name: str, call: Callable[..., Any], *, has_path: bool) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            number = fails(name, arguments, options.get("dir_fd"))
            if number is None:
                return call(*arguments, **options)
            if has_path:
                raise OSError(number, os.strerror(number), arguments[0])
            raise OSError(number, os.strerror(number))

        return wrapper

    for name in _WITH_PATH:
        setattr(os, name, failing(name, getattr(os, name), has_path=True))
    for name in _OF_DESCRIPTOR:
        setattr(os, name, failing(name, getattr(os, name), has_path=False))
    for module, name in _OURS:
        setattr(module, name, failing(name, getattr(module, name), has_path=False))
