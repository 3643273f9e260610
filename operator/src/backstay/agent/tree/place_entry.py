"""Put one entry of the source into a new tree: keep, link, or copy it.

Invariants: an entry is linked only to an older copy that was made of the same inode state (equal
down to ctime), or whose content and attributes were compared with it; and only where no other
inode of the source can claim that older copy too. Everything else is copied.
"""

from __future__ import annotations

import os
from typing import Final

from backstay.agent.fs import attributes
from backstay.agent.fs.copy_file import copy_file, hash_file, open_file, settled
from backstay.agent.fs.failures import SourceError, at, from_source, reading_source, reason_of
from backstay.agent.fs.inode import NO_HASH, Stat, extra_size, stat_of
from backstay.agent.fs.listing import Known
from backstay.agent.fs.paths import VANISHED
from backstay.agent.fs.sqlite import HEADER, LOGS, DatabaseBusy, has_log
from backstay.agent.fs.syscalls import clean_pages
from backstay.agent.tree.context import Spot
from backstay.agent.tree.live_databases import family_of, note_as_files, place_database
from backstay.agent.tree.place_special import place_special
from backstay.agent.tree.placed import NO_NOTE, UNFIT, How, Placed, discard, keep, unfit

_WHY: Final = 200  # characters


def place(spot: Spot, name: bytes, one: Stat) -> Placed | None:
    """Given a directory at work and one entry that is no directory, put it into the new tree.

    Return what it is there, None if it has vanished.
    """
    at(spot.path, name)
    if name in spot.rotten:
        discard(name, spot.new)  # a snapshot has it
    try:
        if not one.is_regular:
            return place_special(spot, name, one)
        return _place_regular(spot, name, one)
    except OSError as error:
        if error.errno in VANISHED and not _is_as_seen(spot, name, one):
            discard(name, spot.new)
            return None
        if spot.lenient and isinstance(error, SourceError):
            return _left_out(spot, name, one, reason_of(error))
        if error.errno in UNFIT | VANISHED:
            raise unfit(os.path.join(spot.path, name), error) from error
        raise
    except DatabaseBusy as error:
        if spot.lenient:
            return _left_out(spot, name, one, error.message)
        raise


def _left_out(spot: Spot, name: bytes, one: Stat, why: str) -> Placed:
    """What an entry becomes that cannot be read: it is in the manifest alone, and so that the next
    run tries it again, for no inode has this ctime.
    """
    discard(name, spot.new)
    note = {"omitted": True, "unreadable": why[:_WHY]}
    return Placed(bytes(extra_size(one)), one._replace(ctime=0), note)


def _is_as_seen(spot: Spot, name: bytes, one: Stat) -> bool:
    """Whether the source has an entry as the walk saw it, so that it was the destination which says
    that there is no such thing: as SMB and exFAT do of a name that they cannot have.
    """
    try:
        if not one.is_regular:
            return stat_of(os.stat(name, dir_fd=spot.source, follow_symlinks=False)) == one
        # Opened, because what is said of it may be remembered from the walk (in user space, NFS).
        fd = open_file(name, spot.source)
        try:
            return stat_of(os.fstat(fd)) == one
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in VANISHED:
            return False
        raise


def _place_regular(spot: Spot, name: bytes, one: Stat) -> Placed:
    family = None if spot.as_files else from_source(family_of, spot, name)
    if family is not None and family != name:
        discard(name, spot.new)
        return Placed(NO_HASH, one, {"omitted": True})
    known = spot.old_entry(name)
    refused = 0
    if known is not None:
        same: Stat | None = None
        if _is_unchanged(spot, name, one, known, live=family is not None):
            same = one
        elif family is None and _is_the_same(spot, name, one, known):
            same = settled(one)
        if same is not None:
            kept = keep(spot, name, same, known)
            if kept is not None:
                return kept._replace(note=note_as_files(spot, name)) if spot.as_files else kept
            refused = 1
    if family is not None:
        return place_database(spot, name, one)
    base = spot.old if known else None
    copied = copy_file(name, spot.source, spot.new, base, spot.pace, onto=spot.onto, able=spot.able)
    is_one = copied.head == HEADER and not spot.as_files
    if is_one and (copied.moved or has_log(name, spot.source)):
        return place_database(spot, name, one)
    note = note_as_files(spot, name) if spot.as_files else NO_NOTE
    how = How(0, 1, copied.copied, int(copied.delta), refused)
    return Placed(
        copied.digest, copied.stat, note, how=how, moved=copied.moved, record=copied.record
    )


def _is_unchanged(spot: Spot, name: bytes, one: Stat, known: Known, *, live: bool) -> bool:
    if known.stat != one or known.note.get("omitted", False):
        return False
    if bool(known.note) != live:
        return False  # it was copied as a live database and is none now, or the other way round
    if not live:
        return True
    # Not by ctime: SQLite gives its logs the owner of the database whenever root opens that.
    for suffix in LOGS:
        before, at = spot.old_entry(name + suffix), spot.now.find(name + suffix)
        if (before is None) != (at is None):
            return False
        if before and at is not None and not before[0].same_but_moved(spot.now.stats[at]):
            return False
    return True


def _is_the_same(spot: Spot, name: bytes, one: Stat, known: Known) -> bool:
    """Whether an inode that is another, or was touched, has the content and the attributes that
    the old tree has. Reads the source.
    """
    before = known.stat
    claimed_by_one = before.links == 1 or before.inode == one.inode
    if known.note or not claimed_by_one or not before.same_but_moved(one) or spot.old is None:
        return False
    fd = from_source(open_file, name, spot.source)
    try:
        with reading_source():
            clean_pages(fd)  # so that whatever is stored after it was read moves a time
            if hash_file(fd)[0] != known.extra or stat_of(os.fstat(fd)) != one:
                return False
            return attributes.is_same(known.record, attributes.read(fd))
    finally:
        os.close(fd)
