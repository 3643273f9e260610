"""The dumps in a new tree, read again before the tree counts.

A dump is verified where it was taken. What is copied is read later: on a live volume somebody may
have replaced it meanwhile, and of a copy only what is in it can be restored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from backstay.agent.fs.copy_file import open_file
from backstay.agent.fs.paths import DIRECTORY, VANISHED, open_beneath, printable
from backstay.agent.tasks import ExpectedDump
from backstay.domain.errors import UserError

_BLOCK: Final = 1 << 20


def check_dumps(data: Path, dumps: Iterable[ExpectedDump]) -> None:
    """Given the directory of a tree, and the dumps that must be in it, read each.

    Raise UserError if one is missing or is not as it was taken: no other try of the same copy finds
    another.
    """
    top = os.open(data, DIRECTORY)
    try:
        for dump in dumps:
            if _digest(top, dump) != dump.sha256:
                raise UserError(
                    "DumpReplaced",
                    f"dump {dump.name} was replaced before it was copied: {_shown(dump)} does not "
                    "have the sha256 that it was taken with",
                )
    finally:
        os.close(top)


def _digest(top: int, dump: ExpectedDump) -> str:
    """The sha256 of a dump's file, in hex."""
    folder, name = os.path.split(os.fsencode(dump.path))
    try:
        # Never through a symlink: the tree has whatever ones the source has.
        directory = open_beneath(top, folder)
        try:
            fd = open_file(name, directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno not in VANISHED:
            raise
        raise UserError(
            "DumpMissing",
            f"dump {dump.name} is not in the copy: {_shown(dump)} was removed before it was "
            "copied, could not be read, or spec.rolling.exclude leaves it out",
        ) from error
    digest = hashlib.sha256()
    try:
        while block := os.read(fd, _BLOCK):
            digest.update(block)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _shown(dump: ExpectedDump) -> str:
    return printable(os.fsencode(dump.path))
