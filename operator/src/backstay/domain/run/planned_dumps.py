"""Plan the dumps of a policy: each with what was left open decided."""

from __future__ import annotations

from backstay.api.dumps import Dump
from backstay.api.plan import PlannedDump

_AS_THEIR_TOOLS_WRITE: frozenset[str] = frozenset({"redis", "sqlite"})
"""Engines whose files nobody compresses."""


def planned_dump(dump: Dump, *, repository: bool) -> PlannedDump:
    """Given a dump of a policy, and whether the policy has a repository, return it planned."""
    values = {name: getattr(dump, name) for name in PlannedDump.model_fields}
    return PlannedDump(**values | {"compress": compresses(dump, repository=repository)})


def compresses(dump: Dump, *, repository: bool) -> bool:
    """Given a dump of a policy, and whether the policy has a repository, return whether its file is
    compressed.
    """
    # Not even if asked for: the schema refuses that, but a policy may be older than its schema.
    if dump.engine in _AS_THEIR_TOOLS_WRITE:
        return False
    if dump.compress is not None:
        return dump.compress
    # What a command prints may be compressed already. A repository compresses by itself, and after
    # a day's changes it finds nothing in a compressed file that it has.
    return dump.engine != "command" and not repository
