"""The dumps in a new tree, read again before the tree counts.

A dump is verified where it was taken. What is copied is read later: on a live volume somebody may
have replaced it meanwhile, and of a copy only what is in it can be restored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from backstay.agent.fs.beneath import open_file_beneath
from backstay.agent.fs.copy_file import hash_file
from backstay.agent.fs.paths import DIRECTORY, VANISHED, printable
from backstay.agent.tasks import ExpectedDump
from backstay.domain.errors import UserError


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
    try:
        # Never through a symlink: the tree has whatever ones the source has.
        fd = open_file_beneath(top, os.fsencode(dump.path))
    except OSError as error:
        if error.errno not in VANISHED:
            raise
        raise UserError(
            "DumpMissing",
            f"dump {dump.name} is not in the copy: {_shown(dump)} was removed before it was "
            "copied, could not be read, or spec.rolling.exclude leaves it out",
        ) from error
    try:
        return hash_file(fd)[0].hex()
    finally:
        os.close(fd)


def _shown(dump: ExpectedDump) -> str:
    return printable(os.fsencode(dump.path))
