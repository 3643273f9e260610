"""The dumps in a snapshot, which have to be those that were taken before it counts.

Invariants: a dump was verified where it was taken, and what restic read may be another file by
then. So the source's file is looked at before restic reads, and read after it; the snapshot must
show that very file, by inode, size and times, and it must not have changed meanwhile. The
repository is not asked for its content: that would be all of a dump over the line each day.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backstay.agent.fs.beneath import open_file_beneath
from backstay.agent.fs.copy_file import hash_file
from backstay.agent.fs.paths import NOT_THERE, printable
from backstay.agent.restic.engine import NO_LOCK, Restic
from backstay.agent.restic.said import json_objects
from backstay.agent.tasks import ExpectedDump
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason
from backstay.domain.times import parse_time

_SECONDS: Final = 900.0
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What shows that a file is the same one, and as it was; times in whole microseconds."""

    inode: int
    size: int
    modified: datetime
    changed: datetime

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """Given what the kernel says of a file, return its stamp."""
        moments = _moment(found.st_mtime_ns), _moment(found.st_ctime_ns)
        return cls(found.st_ino, found.st_size, *moments)

    def fits(self, node: Mapping[str, Any]) -> bool:
        """Given a file as restic recorded it, return whether that was this one. Raise DataError if
        its times cannot be read.
        """
        times = (parse_time(str(node.get(key))) for key in ("mtime", "ctime"))
        # Older ones do not show the inode.
        same = node.get("inode", self.inode) == self.inode
        return same and (node.get("size"), *times) == (self.size, self.modified, self.changed)


def look_for_dumps(source: int, dumps: Sequence[ExpectedDump]) -> Mapping[str, Stamp]:
    """Given the source's descriptor and the dumps that must be in it, return by path how they are
    now. Raise RepositoryError DumpChanged if the file of one is missing: what would be uploaded
    could not count.
    """
    found = {}
    for dump in dumps:
        with _opened(source, dump) as fd:
            found[dump.path] = Stamp.of(os.fstat(fd))
    return found


def check_dumps(
    restic: Restic,
    snapshot: str,
    source: int,
    dumps: Sequence[ExpectedDump],
    looked: Mapping[str, Stamp],
) -> None:
    """Given restic, a snapshot's id, the source's descriptor, the dumps that must be in it and how
    they were before, see that those are in it. Raise RepositoryError DumpChanged if one is not.
    """
    stored = _nodes(restic, snapshot, dumps) if dumps else {}
    for dump in dumps:
        node, before = stored.get(_inside(dump)), looked[dump.path]
        if node is None:
            raise _changed(dump, "is not in the snapshot: an exclude may leave it out")
        with _opened(source, dump) as fd:
            digest, _ = hash_file(fd)
            # After it was read: until then it could still change.
            after = Stamp.of(os.fstat(fd))
        if before != after or not before.fits(node):
            raise _changed(dump, "was replaced while it was stored")
        if digest.hex() != dump.sha256:
            raise _changed(dump, "was replaced before it was stored: its sha256 is another")


@contextmanager
def _opened(source: int, dump: ExpectedDump) -> Iterator[int]:
    """Yield the file of a dump, open. Never through a symlink: restic stores those as such."""
    try:
        fd = open_file_beneath(source, os.fsencode(dump.path))
    except PermissionError as error:
        raise RepositoryError(
            Reason.SOURCE_UNREADABLE,
            f"dump {dump.name} ({_shown(dump)}) cannot be read: give the mover the rights for that",
        ) from error
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise
        raise _changed(dump, "is not in the source, or is no file there") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _nodes(
    restic: Restic, snapshot: str, dumps: Sequence[ExpectedDump]
) -> dict[str, dict[str, Any]]:
    """By path: the files of dumps as the snapshot has them; those that it has not are left out."""
    words = ("ls", snapshot, *map(_inside, dumps))
    done = restic.run(NO_LOCK, *words, seconds=_SECONDS)
    done.check("listing the dumps in the snapshot")
    lines = json_objects(iter([done.output]))
    return {str(line.get("path")): line for line in lines if line.get("type") == "file"}


def _inside(dump: ExpectedDump) -> str:
    return f"/{dump.path.lstrip('/')}"


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _changed(dump: ExpectedDump, what: str) -> RepositoryError:
    return RepositoryError(Reason.DUMP_CHANGED, f"dump {dump.name} ({_shown(dump)}) {what}")


def _shown(dump: ExpectedDump) -> str:
    return printable(os.fsencode(dump.path))
