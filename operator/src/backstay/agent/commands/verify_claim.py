"""Verify a restored claim: it mounts, and its dumps are the ones on record.

Invariants: nothing is written to the claim. A dump passes only if its size and sha256 are those
that were recorded when it was taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backstay.domain.errors import DataError

BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ExpectedDump:
    """A dump that must be there: path inside the claim, size in bytes, sha256 in hex."""

    name: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Task:
    """Where the claim is mounted and what must be on it."""

    mount: Path
    dumps: tuple[ExpectedDump, ...]

    @classmethod
    def parse(cls, text: str) -> Task:
        """Given `{"mount": path, "dumps": [{name, path, bytes, sha256}]}`, return the task.

        Raise DataError if it is not of that form.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            dumps = tuple(
                ExpectedDump(str(d["name"]), str(d["path"]), int(d["bytes"]), str(d["sha256"]))
                for d in data["dumps"]
            )
            return cls(Path(data["mount"]), dumps)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the verify task cannot be read: {error!r}") from error


def verify(task: Task) -> str:
    """Given a task, return what was found in words. Raise DataError if anything is not right."""
    if task.dumps:
        return "; ".join(_check(task.mount, dump) for dump in task.dumps)
    try:
        return f"the claim is mounted, {len(os.listdir(task.mount))} entries at its root"
    except PermissionError:
        # As a database's directory is. Who could list it is not on record without a dump.
        return "the claim is mounted; its root is closed to other users"
    except OSError as error:
        raise DataError(f"the claim cannot be read: {error.strerror}") from error


def _check(mount: Path, dump: ExpectedDump) -> str:
    path = mount / dump.path
    try:
        # Whoever wrote the claim may have put a pipe there, which would block an open.
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"dump {dump.name}: {dump.path} is not a regular file")
            size = found.st_size
            if size != dump.bytes:
                raise DataError(
                    f"dump {dump.name}: {dump.path} has {size} bytes, {dump.bytes} are on record"
                )
            digest = hashlib.sha256()
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise DataError(f"dump {dump.name}: {dump.path}: {error.strerror}") from error
    if digest.hexdigest() != dump.sha256:
        raise DataError(f"dump {dump.name}: {dump.path} does not have the sha256 on record")
    return f"dump {dump.name}: {size} bytes, sha256 as recorded"


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
