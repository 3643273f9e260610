"""Which extended attributes are data, and what a manifest says of them.

Invariants: one rule decides, for copy, comparison, scrub and restore alike; what a kernel or a file
system makes by itself is none of the file's data, so it is neither copied out nor restored; what a
disk refuses is known by name, and its value is in the manifest.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

Values: TypeAlias = Mapping[str, bytes | None]
"""Attributes by name. None: listed, but its file system does not hand the value out."""
Record: TypeAlias = Mapping[str, str]
"""What an entry has beside its inode, and what its copy lacks, by name. Of an attribute one of

    =BASE64   the value, which the copy has as well
    #HEX      the digest of a long one, which only the copy has
    !BASE64   the value, which the copy's file system refused
    ?         its own file system did not hand it out

and of OWNER, MODE and TIME `!`: the copy has another one, or a manifest holds only the nearest.
"""

OWNER: Final = "owner"
MODE: Final = "mode"
TIME: Final = "time"
ATTRIBUTES: Final = "attributes"
INODE: Final = {OWNER, MODE, TIME}
"""No name of an attribute: those begin with a namespace and a dot."""
LACKS: Final = "!"

ACL: Final = "system.posix_acl_"
DATA: Final = ("user.", "trusted.", ACL, "security.capability", "security.NTACL")
"""Beside what people set: ACLs of POSIX and of Samba, and capabilities. Not the labels of SELinux,
SMACK, IMA and EVM, which are of the machine that they are on, nor what shows a file system's own
things (btrfs.*, system.nfs4_acl, system.ntfs_*, system.cifs_*, ceph.*): no other takes those.
"""
_NOT_DATA: Final = (
    *("user.mergerfs.", "user.cifs.", "user.overlay.", "user.fuseoverlayfs."),
    *("trusted.overlay.", "trusted.SGI_"),  # XFS's second view of an ACL
    *("trusted.gfid", "trusted.glusterfs.", "trusted.afr.", "trusted.ec.", "trusted.bit-rot."),
    *("trusted.lov", "trusted.lma", "trusted.lmv", "trusted.link", "trusted.fid", "trusted.hsm"),
    *("trusted.som", "trusted.dmv"),
)
"""Inside those namespaces: what mergerfs, CIFS, overlayfs, XFS, GlusterFS and Lustre keep there.
user.DOSATTRIB is data: Samba writes it as people set it."""

_ACL_HEADER: Final = 4
_ACL_ENTRY: Final = struct.Struct("<HHI")
_ACL_OWNER, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = 1, 4, 16, 32

_NONE: Final = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
REFUSED: Final = {
    *(*_NONE, errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOVERFLOW),
    *(errno.E2BIG, errno.ERANGE, errno.ENAMETOOLONG, errno.ENODATA),
}
"""What a file system says of an attribute, owner, mode or time that it does not take."""
_INLINE: Final = 512
"""Longest value that a manifest has itself: ACLs of sixty names, capabilities, labels of Samba."""
_DIGEST: Final = 16


def is_data(name: str) -> bool:
    """Return whether an attribute of that name is data of the file."""
    return name.startswith(DATA) and not name.startswith(_NOT_DATA)


def read(path: int | str) -> Values:
    """Given a descriptor or a path (not followed), return the attributes that are data."""
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NONE:
            return {}
        raise
    if not names:
        return {}
    found: dict[str, bytes | None] = {}
    for name in filter(is_data, names):
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.ENODATA:
                continue  # removed meanwhile
            if error.errno not in {*_NONE, errno.EPERM, errno.EACCES}:
                raise
            found[name] = None
    return found


def give(path: int | str, wanted: Values, *, fresh: bool, kept: Iterable[str] = DATA) -> set[str]:
    """Given an inode and the attributes that it is to have, set them, and unless it is fresh take
    away what it has besides; return the names that it does not take. `kept`: the beginnings of
    those that its file system is known to keep.
    """
    follow = isinstance(path, int)
    there: Values = {} if fresh else read(path)
    for name in there.keys() - wanted.keys():
        os.removexattr(path, name, follow_symlinks=follow)
    refused = set()
    kept = tuple(kept)
    for name, value in wanted.items():
        if value is None or there.get(name) == value:
            continue
        if not name.startswith(kept):
            refused.add(name)
            continue
        try:
            os.setxattr(path, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in REFUSED and not _too_long(path, error):
                raise
            refused.add(name)
    return refused


def _too_long(path: int | str, error: OSError) -> bool:
    """Whether the inode has no room for an attribute, as ext4 says it; or the disk has none."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return False
    try:
        found = os.statvfs(path if isinstance(path, int) else os.path.dirname(path))
    except OSError:
        return False
    return error.errno == errno.ENOSPC and found.f_bavail > 0


def recorded(values: Values, refused: Collection[str], *, whole: bool = False) -> dict[str, str]:
    """Given attributes and the names of those that the copy does not have, return the record;
    `whole`: with long values too.
    """
    return {
        name: _word(value, refused=name in refused, whole=whole) for name, value in values.items()
    }


def _word(value: bytes | None, *, refused: bool, whole: bool) -> str:
    if value is None:
        return "?"
    if not refused and not whole and len(value) > _INLINE:
        return "#" + _digest(value)
    return (LACKS if refused else "=") + base64.b64encode(value).decode("ascii")


def _digest(value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=_DIGEST).hexdigest()


def values_of(record: Record, copy: Values) -> tuple[dict[str, bytes], set[str]]:
    """Given a record and what the copy has, return the attributes of the original, and the names
    of those that are in neither.
    """
    found: dict[str, bytes] = {}
    lost = set()
    for name, word in record.items():
        if name in INODE:
            continue
        if word[0] in "=!":
            found[name] = base64.b64decode(word[1:])
            continue
        there = copy.get(name)
        if word[0] == "#" and there is not None and _digest(there) == word[1:]:
            found[name] = there
        else:
            lost.add(name)
    return found, lost


def needs_copy(record: Record) -> bool:
    """Whether a record has a value by digest alone, so that only the copy has it."""
    return any(word[0] == "#" for word in record.values())


def lacks(record: Record) -> set[str]:
    """Given a record, return what the copy lacks: OWNER, MODE, TIME, names of attributes."""
    return {name for name, word in record.items() if word[0] in "!?"}


def contradicted(values: Values, mode: int) -> set[str]:
    """Given attributes and a mode, return the name of an ACL that says something else of owner,
    mask and others than the mode does: they are one thing, but not to every file system in user
    space, and no other can have both.
    """
    acl = values.get(f"{ACL}access")
    if acl is None or len(acl) % _ACL_ENTRY.size != _ACL_HEADER:
        return set()
    found = {tag: bits for tag, bits, _ in _ACL_ENTRY.iter_unpack(acl[_ACL_HEADER:])}
    group = found.get(_ACL_MASK, found.get(_ACL_GROUP, 0))
    said = found.get(_ACL_OWNER, 0) << 6 | group << 3 | found.get(_ACL_OTHER, 0)
    return {f"{ACL}access"} if said != mode & 0o777 else set()


def count_lacks(records: Iterable[Record]) -> Counter[str]:
    """Given records, return of how many entries the copy lacks the OWNER, the MODE, the TIME and
    ATTRIBUTES.
    """
    return Counter(
        kind
        for record in records
        for kind in {name if name in INODE else ATTRIBUTES for name in lacks(record)}
    )


def is_same(record: Record, there: Values) -> bool:
    """Whether a source that has those attributes now has what is recorded."""
    wanted = record.keys() - INODE
    return wanted == there.keys() and all(
        _matches(record[name], value) for name, value in there.items()
    )


def _matches(word: str, value: bytes | None) -> bool:
    if value is None or word == "?":
        return value is None and word == "?"
    if word[0] == "#":
        return _digest(value) == word[1:]
    return base64.b64decode(word[1:]) == value


def difference(record: Record, there: Values) -> str | None:
    """Given a record and what the copy has, return in words how its attributes differ."""
    for name, word in record.items():
        if name in INODE or word[0] in "!?":
            continue
        if name not in there:
            return f"attribute {name} is missing"
        if not _matches(word, there[name]):
            return f"another value of attribute {name}"
    extra = sorted(there.keys() - record.keys())
    return f"attribute {extra[0]}, which is not recorded" if extra else None
