"""Put one entry of the source into a new tree: keep, link, or copy it.

Invariants: an entry is linked only to an older copy that was made of the same inode state (equal
down to ctime), or whose content and attributes were compared with it; and only where no other
inode of the source can claim that older copy too. Everything else is copied.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import suppress
from typing import Any, Final, NamedTuple

from backstay.agent.fs import attributes
from backstay.agent.fs.attributes import Record
from backstay.agent.fs.copy_file import copy_file, hash_file, open_file, settled
from backstay.agent.fs.failures import SourceError, at, from_source, reading_source, reason_of
from backstay.agent.fs.inode import NO_HASH, Stat, extra_size, stat_of
from backstay.agent.fs.listing import Known
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.fs.paths import VANISHED, printable
from backstay.agent.fs.sqlite import (
    HEADER,
    LOGS,
    SIBLINGS,
    DatabaseBusy,
    copy_database,
    has_log,
    is_database,
    is_log,
)
from backstay.agent.fs.syscalls import clean_pages, fsync
from backstay.agent.tree.context import Spot
from backstay.domain.errors import UserError

UNLINKABLE: Final = {errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP}
"""What a file system says of one more link: of this file, of a symlink, or over its own parts."""
DEVICE: Final = struct.Struct("<Q")


class How(NamedTuple):
    """What was done with entries, as counts."""

    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    deltas: int = 0
    not_linked: int = 0
    """Older copies that refused another link (65,000 on ext4, immutable files)."""

    def plus(self, *others: How) -> How:
        return How(*map(sum, zip(self, *others, strict=True)))


NOTHING: Final = How()
_WHY: Final = 200  # characters
_NO_NOTE: Final[dict[str, Any]] = {}
_NO_RECORD: Final[Record] = {}
UNFIT: Final = {errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.EFBIG}
"""What a file system says of a name or a size that it cannot hold."""


class Placed(NamedTuple):
    """One entry of the new tree."""

    extra: bytes
    stat: Stat
    note: dict[str, Any] = _NO_NOTE
    how: How = NOTHING
    moved: bool = False
    record: Record = _NO_RECORD


def place(spot: Spot, name: bytes, one: Stat) -> Placed | None:
    """Given a directory at work and one entry that is no directory, put it into the new tree.

    Return what it is there, None if it has vanished.
    """
    at(spot.path, name)
    if name in spot.rotten:
        discard(name, spot.new)  # a snapshot has it
    try:
        if not one.is_regular:
            return _place_special(spot, name, one)
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


def unfit(path: bytes, error: OSError) -> UserError:
    """Given an entry that the destination cannot hold and what it said, return that in words."""
    shown = printable(path)
    return UserError(
        "EntryUnfit",
        f"spec.rolling.destination: its file system cannot hold an entry ({error.strerror});"
        f" exclude it, or use another file system: {shown}",
    )


def discard(name: bytes, directory: int) -> None:
    """Given a name that may be there, remove it."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _place_regular(spot: Spot, name: bytes, one: Stat) -> Placed:
    family = None if spot.as_files else from_source(_family_of, spot, name)
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
            kept = _keep(spot, name, same, known)
            if kept is not None:
                return kept._replace(note=_note_as_files(spot, name)) if spot.as_files else kept
            refused = 1
    if family is not None:
        return _place_database(spot, name, one)
    base = spot.old if known else None
    copied = copy_file(name, spot.source, spot.new, base, spot.pace, onto=spot.onto, able=spot.able)
    is_one = copied.head == HEADER and not spot.as_files
    if is_one and (copied.moved or has_log(name, spot.source)):
        return _place_database(spot, name, one)
    note = _note_as_files(spot, name) if spot.as_files else _NO_NOTE
    how = How(0, 1, copied.copied, int(copied.delta), refused)
    return Placed(
        copied.digest, copied.stat, note, how=how, moved=copied.moved, record=copied.record
    )


def _note_as_files(spot: Spot, name: bytes) -> dict[str, Any]:
    """What is to be known of a file that is taken as it is, whatever belongs to it."""
    return {"asFiles": True} if is_live(spot, name) else _NO_NOTE


def _family_of(spot: Spot, name: bytes) -> bytes | None:
    """The live database that a file belongs to: its own name, or that of which it is the log."""
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


def _keep(spot: Spot, name: bytes, one: Stat, known: Known) -> Placed | None:
    """Have an entry that the old tree has as it is in the new one too; None if it cannot be
    linked (or is missing there), and must be made from the source again.
    """
    if not spot.onto:
        if spot.old is None:
            return None
        try:
            if attributes.needs_copy(known.record):
                there = attributes.read(f"/proc/self/fd/{spot.old}/{os.fsdecode(name)}")
                if attributes.difference(known.record, there) is not None:
                    return None  # it has lost what only the source has then
            link(name, spot.old, name, spot.new)
        except OSError as error:
            if error.errno not in {*UNLINKABLE, errno.ENOENT}:
                raise
            return None
    return Placed(known.extra, one, known.note, How(linked=1), record=known.record)


def link(old: bytes, old_directory: int, new: bytes, new_directory: int) -> None:
    """Given a name and its directory, and a second one, make a hard link; of a symlink too."""
    os.link(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory, follow_symlinks=False)


def _place_database(spot: Spot, name: bytes, one: Stat) -> Placed:
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


def _place_special(spot: Spot, name: bytes, one: Stat) -> Placed:
    known = spot.old_entry(name)
    refused = 0
    if known is not None and known.stat == one and not known.note:
        kept = _keep(spot, name, one, known)
        if kept is not None:
            return kept
        refused = 1
    discard(name, spot.new)
    return _make_special(spot, name, one, How(copied=1, not_linked=refused))


def _make_special(spot: Spot, name: bytes, one: Stat, how: How) -> Placed:
    """Make a symlink, pipe, socket or device like the source's; where the destination can have no
    such thing, it is in the manifest alone.
    """
    source, target = spot.source, spot.new
    original = f"/proc/self/fd/{source}/{os.fsdecode(name)}"
    extra = b""
    if stat.S_ISLNK(one.mode):
        try:
            extra = os.fsencode(from_source(os.readlink, name, dir_fd=source))
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise _something_else(name) from error
            raise
        os.symlink(extra, name, dir_fd=target)
    else:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(one.mode):
            raise _something_else(name)
        if stat.S_ISCHR(one.mode) or stat.S_ISBLK(one.mode):
            extra = DEVICE.pack(found.st_rdev)
        if not spot.able.takes(one.mode):
            said = attributes.recorded(attributes.read(original), (), whole=True)
            return Placed(extra, one, {"absent": True}, how, record=said)
        os.mknod(name, stat.S_IFMT(one.mode) | 0o600, found.st_rdev, dir_fd=target)
    copy = f"/proc/self/fd/{target}/{os.fsdecode(name)}"
    # In a snapshot, the directory may have given it an ACL already.
    record = set_metadata(
        copy, one, from_source(attributes.read, original), spot.able, fresh=not spot.onto
    )
    return Placed(extra, one, how=how, record=record)


def _something_else(name: bytes) -> OSError:
    return OSError(errno.ENOENT, "it is something else now", name)
