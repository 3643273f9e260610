"""Put a symlink, pipe, socket or device of the source into a new tree."""

from __future__ import annotations

import errno
import os
import stat

from backstay.agent.fs import attributes
from backstay.agent.fs.failures import from_source
from backstay.agent.fs.inode import Stat
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.tree.context import Spot
from backstay.agent.tree.placed import DEVICE, How, Placed, discard, keep


def place_special(spot: Spot, name: bytes, one: Stat) -> Placed:
    """Given a directory at work and an entry that is neither file nor directory, keep or make it;
    return what it is there.
    """
    known = spot.old_entry(name)
    refused = 0
    if known is not None and known.stat == one and not known.note:
        kept = keep(spot, name, one, known)
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
