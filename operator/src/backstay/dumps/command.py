"""Any command: what it prints, or the file that it writes, is the dump."""

from __future__ import annotations

from backstay.api.dumps import AnyCommand
from backstay.dumps.base import Words


def words(spec: AnyCommand) -> Words:
    """Given a spec, return the arguments of scripts/command.sh."""
    return (f"output={spec.output}", "--", *spec.argv)
