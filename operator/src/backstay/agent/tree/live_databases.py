"""SQLite databases with something in their log: they are copied as of one moment, logs and all.

Invariant: a log is a part of its database, so no tree has it by itself, unless all files are
taken as they are.
"""

from __future__ import annotations

import os
from typing import Any

from backstay.agent.fs import attributes
from backstay.agent.fs.copy_file import hash_file, open_file, settled
from backstay.agent.fs.failures import from_source
from backstay.agent.fs.inode import Stat
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.fs.sqlite import LOGS, SIBLINGS, copy_database, is_database, is_log
from backstay.agent.fs.syscalls import fsync
from backstay.agent.tree.context import Spot
from backstay.agent.tree.placed import NO_NOTE, How, Placed, discard


def note_as_files(spot: Spot, name: bytes) -> dict[str, Any]:
    """Given a file that is taken as it is, return the note of it: whether it is a live database."""
    return {"asFiles": True} if is_live(spot, name) else NO_NOTE


def family_of(spot: Spot, name: bytes) -> bytes | None:
    """Given an entry, return the name of the live database that it belongs to, which is its own or
    that of which it is the log; None if there is none.
    """
    if is_live(spot, name):
        return name
    for suffix in SIBLINGS:
        base = name.removesuffix(suffix)
        if base != name and spot.now.find(base) is not None and is_live(spot, base):
            return base if is_log(name, spot.source) else None
    return None


def is_live(spot: Spot, name: bytes) -> bool:
    """Given an entry of a directory at work, return whether it is a database with something in its
    log or journal.
    """
    for suffix in LOGS:
        at = spot.now.find(name + suffix)
        if at is None or spot.now.stats[at].size == 0 or not is_log(name + suffix, spot.source):
            continue
        return is_database(name, spot.source)
    return False


def place_database(spot: Spot, name: bytes, one: Stat) -> Placed:
    """Given a directory at work and a live database in it, copy that and return what it is there.

    Raise DatabaseBusy if its writers leave no moment for it.
    """
    discard(name, spot.new)
    copy_database(name, spot.source, spot.new)
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=spot.new)
    try:
        digest, size = hash_file(fd)
        original = open_file(name, spot.source)
        try:
            values = from_source(attributes.read, original)
        finally:
            os.close(original)
        record = set_metadata(fd, one, values, spot.able, fresh=not spot.onto)
        if not spot.able.syncs:
            fsync(fd)
    finally:
        os.close(fd)
    spot.pace(size)  # afterwards: it is read in one go, or it would be of no one moment
    note = {"size": size, "database": True}
    return Placed(digest, settled(one), note, How(copied=1, copied_bytes=size), record=record)
