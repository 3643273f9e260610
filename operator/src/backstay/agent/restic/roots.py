"""Which directory of a snapshot is what was backed up.

A snapshot says the path, but not whether its tree begins there: `restic backup /data/shop` makes
/data and shop in it, `cd /data && restic backup .` (VolSync's form, and ours) what is in /data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backstay.agent.restic.engine import Restic
from backstay.agent.restic.trees import nodes
from backstay.domain.stores.repository.listing import Kind, Snapshot

VOLSYNC: Final = "volsync"
"""The host of all that VolSync makes."""


def root_of(restic: Restic, snapshot: Snapshot, path: str) -> str:
    """Given restic, a snapshot, and the path that is wanted of it ("": the only one that it has),
    return the directory in it that has what was at that path, "" for its root.

    Raise RepositoryError if the snapshot cannot be read.
    """
    wanted = path or (snapshot.paths[0] if len(snapshot.paths) == 1 else "")
    if snapshot.kind is not Kind.FOREIGN or snapshot.host == VOLSYNC or not wanted.strip("/"):
        return ""
    above = ancestors(wanted)
    listed = {n.path for n in nodes(restic, snapshot.id, above)} - set(above)
    found = sorted(listed | {p for p in above if p != "/"})
    return wanted if is_absolute(found, snapshot.paths, wanted) else ""


def ancestors(path: str) -> list[str]:
    """Given an absolute path, return the directories above it, from the root on."""
    parts = path.strip("/").split("/")[:-1]
    return ["/", *("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))]


def is_absolute(found: Iterable[str], backed_up: Iterable[str], wanted: str) -> bool:
    """Given what a snapshot has in the directories above the path that is wanted, the paths that
    were backed up, and that path, return whether it has each directory above them and nothing
    beside: then its tree begins at the root, and not at that path.

    A tree of the other form whose one directory has the name of its own path looks the same.
    """
    steps = {step for path in backed_up for step in (*ancestors(path)[1:], path.rstrip("/"))}
    entries = set(found)
    return wanted in entries and entries <= steps
