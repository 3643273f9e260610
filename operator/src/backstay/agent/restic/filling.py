"""Fill a directory by restic, and judge what it says while it does.

Invariants: an entry that restic complains of is not restored, whatever its exit code; why the
target took no more is said before why the repository gave no more, since it is what a person can
change at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from backstay.agent.restic.engine import NO_LOCK, RETRY_LOCK, Restic
from backstay.agent.restic.progress import Progress
from backstay.agent.target.fresh_volume import OWN
from backstay.domain.stores.repository.exits import judge
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

SHOWN: Final = 5
_NO_ROOM: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_LOADED: Final = re.compile(r"ReadFull|Load\(|decrypting blob|from pack|StreamPack|loading")
"""What restic says of a pack; everything else is of the target, whose names may spell anything."""
_GONE: Final = re.compile(r"no such file or directory|does not exist|not found", re.IGNORECASE)
_PATTERN: Final = re.compile(r"[\\*?\[]")
_CAPABILITIES: Final = ((31, "security.capability"), (21, "trusted.*"))
"""Bits of CAP_SETFCAP and CAP_SYS_ADMIN, and the attributes that take them."""
_NEVER: Final = ("security.selinux", "security.ima", "security.evm", "security.apparmor")
"""Attributes that the node gives to files, each its own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a snapshot goes where."""

    snapshot: str
    root: str
    """The directory of it that becomes the target; "": its root."""
    target: Path
    include: Sequence[str] = ()
    """Paths below the root, without a slash at their beginning; none is everything."""
    delete: bool = False

    @property
    def source(self) -> str:
        """What restic calls it."""
        return f"{self.snapshot}:{self.root}" if self.root.strip("/") else self.snapshot


@dataclass(slots=True)
class Complaints:
    """What restic could not restore."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    no_room: bool = False
    lines: list[str] = field(default_factory=list)

    def add(self, item: str, words: str) -> None:
        """Given an entry and what was wrong with it, take note of it."""
        self.count += 1
        self.no_room = self.no_room or _NO_ROOM.search(words) is not None
        if len(self.examples) < SHOWN:
            self.examples.append(f"{item}: {words}"[:300])
            self.lines.append(words)

    @property
    def reason(self) -> Reason:
        """Why: something of the repository, or what the target does not take."""
        of_repository = [line for line in self.lines if _LOADED.search(line)]
        if any(_GONE.search(line) for line in of_repository):
            return Reason.DAMAGED
        return judge(1, of_repository).reason if of_repository else Reason.FAILED


def fill(restic: Restic, wanted: Wanted, *, lock: bool) -> Complaints:
    """Given what goes where, and whether a lock may be written, have restic restore it; return what
    it could not restore.

    Raise RepositoryError if it could not work, or the target has no room.
    """
    complaints, progress = Complaints(), Progress()
    words = [*(RETRY_LOCK if lock else (NO_LOCK,)), "restore", wanted.source]
    words += ["--target", str(wanted.target), "--verify", "--sparse", *options(wanted)]
    with restic.running(*words, on_error=complaints.add) as run:
        for found in run.objects():
            if found.get("message_type") == "status":
                progress(_number(found, "bytes_restored"), _number(found, "total_bytes"))
        done = run.done()
    if complaints.no_room:
        raise RepositoryError(
            Reason.NO_ROOM,
            f"the target is full: {complaints.count} entries have no room, as "
            f"{complaints.examples[0]}",
        )
    if not complaints.count:
        done.check("restoring")
    return complaints


def options(wanted: Wanted) -> list[str]:
    """Given what goes where, return restic's options for that."""
    found = ["--delete"] if wanted.delete else []
    if wanted.include:
        found += [word for path in wanted.include for word in ("--include", literal(path))]
    else:
        # Together with --include restic takes none; what is included is none of these.
        found += [word for name in OWN for word in ("--exclude", literal(name))]
    return found + [word for name in forbidden() for word in ("--exclude-xattr", name)]


def literal(path: str) -> str:
    """Given a path below the root, return the pattern that matches it alone."""
    return "/" + _PATTERN.sub(r"\\\g<0>", path)


def forbidden() -> list[str]:
    """Return the attributes that this process may not set, or had better not."""
    held = _capabilities()
    return [*_NEVER, *(name for bit, name in _CAPABILITIES if not held >> bit & 1)]


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _number(raw: dict[str, Any], key: str) -> int:
    found = raw.get(key)
    return found if isinstance(found, int) else 0
