"""Give an inode its owner, attributes, mode and times, as far as its file system keeps them.

Invariants: in the one order that loses nothing; no link is followed; what was refused, or is known
not to be kept, is in the record that comes back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable
from typing import Final, ParamSpec

from backstay.agent.fs import attributes
from backstay.agent.fs.abilities import EVERYTHING, Abilities
from backstay.agent.fs.attributes import Record, Values
from backstay.agent.fs.inode import Stat

P = ParamSpec("P")
_NOTHING: Final[Record] = {}


def set_metadata(
    target: int | str,
    wanted: Stat,
    values: Values,
    able: Abilities = EVERYTHING,
    *,
    fresh: bool,
    made: int | None = None,
) -> Record:
    """Given an inode (a path is not followed), what it is to be, its attributes, and what its file
    system is able to keep, set owner, attributes, mode and time; `fresh`: it has no attributes yet;
    `made`: the mode that it was made with just now. Return its record: attributes, and what it
    could not be given.
    """
    # In this order: chown drops capabilities, an ACL sets mode bits, all of it moves the time.
    # Looked at, because a directory with setgid gives its group to what is made in it.
    follow = isinstance(target, int)
    there = os.stat(target, follow_symlinks=follow)
    lacking: list[str] = []
    owner = wanted.uid, wanted.gid
    if (there.st_uid, there.st_gid) != owner and not (
        able.owners and _takes(os.chown, target, *owner, follow_symlinks=follow)
    ):
        lacking.append(attributes.OWNER)
    refused: Collection[str] = ()
    if values or not fresh:
        refused = attributes.give(target, values, fresh=fresh, kept=able.attributes)
    link = stat.S_ISLNK(wanted.mode)
    mode = stat.S_IMODE(wanted.mode)
    if not link and not able.modes:
        lacking += [attributes.MODE] if there.st_mode != wanted.mode else []
    elif not link and (values or mode != made) and not _takes(_chmod, target, mode):
        lacking.append(attributes.MODE)
    taken = _takes(os.utime, target, ns=(wanted.mtime, wanted.mtime), follow_symlinks=follow)
    if not taken or not able.keeps_time(wanted.mtime, link=link):
        lacking.append(attributes.TIME)
    if not values and not lacking:
        return _NOTHING
    return _record(wanted, values, refused, lacking)


def _record(
    wanted: Stat, values: Values, refused: Collection[str], lacking: Iterable[str]
) -> Record:
    if not stat.S_ISLNK(wanted.mode):
        mode = stat.S_IMODE(wanted.mode)
        refused = {*refused, *attributes.contradicted(values, mode)}
    record = attributes.recorded(values, refused, whole=stat.S_ISDIR(wanted.mode))
    return {**record, **dict.fromkeys(lacking, attributes.LACKS)}


def _chmod(target: int | str, mode: int) -> None:
    if isinstance(target, int):
        os.fchmod(target, mode)
        return
    # chmod(2) follows what somebody puts there meanwhile.
    fd = os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _takes(act: Callable[P, None], *given: P.args, **named: P.kwargs) -> bool:
    """Whether a file system does what is asked; raise OSError where something else is wrong."""
    try:
        act(*given, **named)
    except OSError as error:
        if error.errno in attributes.REFUSED:
            return False
        raise
    return True


def inherit_nothing(directory: int) -> None:
    """Given a new directory, take what it would hand down to all that is made in it: the setgid
    bit, which is there where a volume has an fsGroup, and ACLs.
    """
    for name in attributes.read(directory):
        if name.startswith(attributes.ACL):
            os.removexattr(directory, name)
    # What takes no mode has no setgid bit to hand down; each entry's mode is compared anyway.
    _takes(os.fchmod, directory, 0o700)
