"""What the snapshots of a point are called in a repository.

Invariants: people find them by these with restic alone, so they are words; no tag has a comma, at
which restic would split it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from backstay.api.common import format_time
from backstay.api.rolling import PlannedCopy
from backstay.domain import naming, objects
from backstay.domain.objects import Obj
from backstay.domain.records.record import Record

_PLAIN: Final = "/:+@ "
_BACKUP_MAX: Final = 110
_CLAIM_MAX: Final = 70


def host_of(namespace: str, source: PlannedCopy) -> str:
    """Given a namespace and a source in it, return the host that its snapshots are of."""
    # With its path where a node has it: its Jobs have every directory at the same place.
    return f"{namespace}/{source.series if source.node is not None else source.claim}"


def run_of(backup: Obj, source: PlannedCopy) -> str:
    """Given a Backup and a source of it, return what names that one point for ever, at most 200
    characters: the agent answers for it whatever the attempt.
    """
    # With all of the uid: other clusters may have a Backup of this name, and the same repository.
    which = naming.digest(f"{objects.uid(backup)} {source.series}")
    of = naming.shorten(objects.name(backup), _BACKUP_MAX)
    return f"{of}_{which}_{naming.shorten(source.claim or source.node or '', _CLAIM_MAX)}"


def tags_of(record: Record, source: PlannedCopy) -> tuple[str, ...]:
    """Given the record of a point and its source, return the tags that say what it is of."""
    found = {
        "policy": record.policy,
        "node": source.node or "",
        "claim": record.claim.name,
        "slot": format_time(record.slot),
        "path": source.path,
    }
    return tuple(f"{key}={quote(value, safe=_PLAIN)}" for key, value in found.items() if value)


def tagged(tag: str) -> str:
    """Given the value of a tag, return what it stands for."""
    return unquote(tag)
