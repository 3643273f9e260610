"""What was stored of what is to be restored: how many files and bytes, the dumps on record, how its
top directory was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.agent.commands.verify_claim import ExpectedDump
from backstay.agent.restic.engine import Restic
from backstay.agent.restic.trees import DIRECTORY, FILE, Node, nodes
from backstay.agent.target.counting import Counted
from backstay.agent.tasks import Fields
from backstay.domain.stores.repository.choice import Chosen
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.listing import Snapshot
from backstay.domain.stores.repository.reasons import Reason
from backstay.domain.stores.repository.top import Top, recorded_top


@dataclass(frozen=True, slots=True)
class Stored:
    """What is to be restored, as it was stored."""

    snapshot: Snapshot
    root: str
    include: Sequence[str]
    counted: Counted
    """As restic counted it then; of a part, what its directories say."""
    dumps: tuple[ExpectedDump, ...] = ()
    top: Top | None = None
    """None: a snapshot of this form does not have it."""

    def exactly(self, restic: Restic, without: Collection[str]) -> Counted:
        """Given names in the top directory that do not count, return what its directories say."""
        return _counted(restic, _source(self.snapshot, self.root), self.include, without)


def look_at(restic: Restic, chosen: Chosen, root: str, include: Sequence[str]) -> Stored:
    """Given a snapshot, the directory of it that is wanted and the paths below ("" and none: all),
    return what was stored of that.

    Raise RepositoryError PathMissing if one of them is not in the snapshot.
    """
    data = chosen.data
    node = _insist_on_root(restic, data, root) if root.strip("/") else None
    recorded = chosen.record or {}
    top = Top(node.uid, node.gid, node.mode) if node is not None else recorded_top(recorded)
    # What restic counted is of all of it, and older ones did not.
    if include or data.files is None or data.bytes is None or len(data.paths) > 1:
        counted = _counted(restic, _source(data, root), include, ())
    else:
        counted = Counted(data.files, data.bytes)
    return Stored(data, root, include, counted, _dumps(recorded), top)


def _source(data: Snapshot, root: str) -> str:
    return f"{data.id}:{root}" if root.strip("/") else data.id


def _insist_on_root(restic: Restic, data: Snapshot, root: str) -> Node:
    parent = root.rstrip("/").rpartition("/")[0] or "/"
    for node in nodes(restic, data.id, (parent,)):
        if node.path == root.rstrip("/") and node.kind == DIRECTORY:
            return node
    raise RepositoryError(Reason.PATH_MISSING, f"snapshot {data.id[:8]} has no directory {root}")


def _counted(
    restic: Restic, source: str, include: Sequence[str], without: Collection[str]
) -> Counted:
    files = size = 0
    missing = {f"/{path}" for path in include}
    skipped = tuple(f"/{name}/" for name in without)
    seen: set[str] = set()
    for node in nodes(restic, source, sorted(missing), recursive=True):
        seen |= {node.path} & missing
        if node.kind == FILE and not f"{node.path}/".startswith(skipped):
            files += 1
            size += node.size
    if lacks := sorted(missing - seen):
        raise RepositoryError(
            Reason.PATH_MISSING,
            f"spec.claims[].paths: {lacks[0][1:]} is not in snapshot {source[:8]}"
            f"{f', nor are {len(lacks) - 1} more' if len(lacks) > 1 else ''}",
        )
    return Counted(files, size)


def _dumps(record: Mapping[str, Any]) -> tuple[ExpectedDump, ...]:
    """The dumps that a record names. Raise DataError if it cannot be read."""
    if not record.get("dumps"):
        return ()
    found = Fields(dict(record), "record").children("dumps")
    return tuple(
        ExpectedDump(d.text("name"), d.text("pathInClaim"), d.number("bytes"), d.text("sha256"))
        for d in found
    )
