"""What is in a snapshot, without restoring it: restic's ls.

Invariant: a path is a name and never a pattern; one that is not there yields nothing, and restic
ends with 0 all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backstay.agent.restic.engine import NO_LOCK, Restic
from backstay.domain.errors import DataError

DIRECTORY: Final = "dir"
FILE: Final = "file"
_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Node:
    """An entry of a snapshot."""

    path: str
    kind: str
    size: int
    mode: int
    """Permissions, with the bits for setting ids."""
    uid: int
    gid: int


def nodes(
    restic: Restic, snapshot: str, paths: Sequence[str] = (), *, recursive: bool = False
) -> Iterator[Node]:
    """Given restic, a snapshot (`ID`, or `ID:PATH` for a directory of it, which is its root then)
    and absolute paths in it, yield these and what is in them (recursive: and everything below), or
    all of it where no path is given.

    Raise RepositoryError if the snapshot cannot be read.
    """
    words = ("ls", *(("--recursive",) if recursive else ()), snapshot, *paths)
    with restic.running(NO_LOCK, *words, seconds=_SECONDS) as run:
        for found in run.objects():
            if found.get("struct_type") == "node":
                yield _node(found)
        run.done().check("reading the snapshot's directories")


_SET_BITS: Final = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))
"""Go's bits of a mode, and those of stat."""


def _node(raw: dict[str, Any]) -> Node:
    mode = _number(raw, "mode")
    path, kind = raw.get("path"), raw.get("type")
    if not isinstance(path, str) or not isinstance(kind, str):
        raise DataError("restic lists an entry without its path and type")
    return Node(
        path=path,
        kind=kind,
        size=_number(raw, "size"),
        mode=mode & 0o777 | sum(ours for theirs, ours in _SET_BITS if mode & theirs),
        uid=_number(raw, "uid"),
        gid=_number(raw, "gid"),
    )


def _number(raw: dict[str, Any], key: str) -> int:
    found = raw.get(key, 0)
    return found if isinstance(found, int) and found >= 0 else 0
