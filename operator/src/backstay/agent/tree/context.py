"""What building a tree works from, and one directory of it at work."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from backstay.agent.destination.manifest import Damaged
from backstay.agent.fs.abilities import EVERYTHING, Abilities
from backstay.agent.fs.failures import from_source, reason_of, shown
from backstay.agent.fs.listing import Encoded, Known, Listing
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent, parts_of
from backstay.agent.fs.throttle import Pace
from backstay.agent.tree.scan import Scan


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a tree is built, and from what."""

    source: int
    new: int
    old: int | None
    onto: bool
    """`new` began as a snapshot of `old`."""
    scan: Scan
    before: Encoded
    """What the last manifest says: of all directories, or `onto` of those that matter."""
    pace: Pace
    unchanged: Mapping[bytes, int] = field(default_factory=dict)
    """Directories to be linked as they are, and how many entries they have; none `onto`."""
    spare: frozenset[bytes] = frozenset()
    """Directories that `new` has from a pruned tree; none where it is recreated, or `onto`."""
    strange: bool = False
    """`old` is of another source: what is linked from it has been compared."""
    rotten: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    """By directory: what `old` has otherwise than it was copied. None of it is taken over."""
    lenient: bool = False
    """What cannot be read is left out, and listed."""
    processes: int = 2
    able: Abilities = EVERYTHING
    """What the destination keeps."""
    renewed: bool = False
    """It kept something else when `old` was made, so what directories lack is found again."""
    progress: Callable[[int, int], None] | None = None
    """To be called now and then with the bytes and entries that were copied so far."""
    as_files: bool = False
    """Live databases are copied as the files that are there."""

    def now(self, path: bytes) -> Listing:
        """Given a directory, return what the source has there."""
        return self.scan.changed.get(path) or self.before[path]


@dataclass(frozen=True, slots=True)
class Spot:
    """One directory at work: in the source, the new tree and the old one."""

    path: bytes
    descent: Descent
    """Leads to directories of the source."""
    new: int
    old: int | None
    now: Listing
    before: Listing | None
    onto: bool
    reused: bool
    """`new` may have entries of a pruned tree, and what it hands down to new ones."""
    pace: Pace
    strange: bool = False
    able: Abilities = EVERYTHING
    rotten: frozenset[bytes] = frozenset()
    lenient: bool = False
    as_files: bool = False

    @property
    def source(self) -> int:
        """Opened only when asked for: what is linked needs nothing of it. Raise OSError (one of
        paths.VANISHED) if it is not there any more.
        """
        return from_source(self.descent, self.path)

    def old_entry(self, name: bytes) -> Known | None:
        """Given a name, return what the last manifest says of it."""
        if self.before is None or self.old is None or name in self.rotten:
            return None
        at = self.before.find(name)
        if at is None:
            return None
        known = self.before.known(at)
        # No inode has this ctime: it is taken for one that was moved, and compared by content.
        return known._replace(stat=known.stat._replace(ctime=-1)) if self.strange else known


@contextmanager
def at_work(plan: Plan, path: bytes, source: Descent) -> Iterator[Spot]:
    """Given a directory, make it in the new tree if it is not there, and open it in both trees."""
    before = plan.before.get(path)
    new = made_beneath(plan.new, path) if plan.spare else _made(plan.new, path)
    old = None
    try:
        if plan.old is not None and before is not None:
            old = _opened(plan.old, path)
        yield Spot(
            path=path,
            descent=source,
            new=new,
            old=old,
            now=plan.now(path),
            before=before,
            onto=plan.onto,
            reused=bool(plan.spare),
            pace=plan.pace,
            strange=plan.strange,
            able=plan.able,
            rotten=plan.rotten.get(path, frozenset()),
            lenient=plan.lenient,
            as_files=plan.as_files,
        )
    finally:
        os.close(new)
        if old is not None:
            os.close(old)


def _opened(root: int, path: bytes) -> int | None:
    """None where an older tree has lost a directory: its files are copied then."""
    try:
        return os.open(path or b".", DIRECTORY, dir_fd=root)
    except OSError as error:
        if error.errno in VANISHED:
            return None
        raise


def made_beneath(root: int, path: bytes) -> int:
    """Given a tree that began as a pruned one and a directory, make that if it is not there, and
    return a descriptor of it. Raise Damaged where something else is in its place: a symlink, which
    may be a tenant's, must not lead to what is emptied then.
    """
    fd = os.dup(root)
    for part in parts_of(path):
        try:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=fd)
            below = os.open(part, DIRECTORY, dir_fd=fd)
        except OSError as error:
            why = f"{reason_of(error)} at {shown(path)}"
            raise Damaged(f"{why}: a pruned tree cannot be used") from error
        finally:
            os.close(fd)
        fd = below
    return fd


def _made(root: int, path: bytes) -> int:
    try:
        if path:
            os.mkdir(path, 0o700, dir_fd=root)
    except FileNotFoundError:
        os.close(_made(root, os.path.dirname(path)))
        _make_named(root, path)
    except FileExistsError:
        pass  # on the way to another one, or by the snapshot
    return os.open(path or b".", DIRECTORY, dir_fd=root)


def _make_named(root: int, path: bytes) -> None:
    """Make a directory in one that is there."""
    try:
        os.mkdir(path, 0o700, dir_fd=root)
    except FileExistsError:
        pass  # by another process
    except FileNotFoundError as error:
        # So SMB and exFAT say that they cannot have a name.
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path) from error
