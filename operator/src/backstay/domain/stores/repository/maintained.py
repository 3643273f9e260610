"""What a Job of maintenance says that it has done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from backstay.api.common import changed
from backstay.api.repository_status import RepositoryStatus
from backstay.domain.run.status import format_size
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.chore import said
from backstay.domain.stores.repository.use import CHECKED
from backstay.domain.stores.repository.work import Seen

DAMAGED: Final = "Damaged"
WHOLE: Final = "Whole"


def forgotten(lines: Iterable[str]) -> frozenset[str]:
    """Given the lines that a Job wrote, return the ids that a list did not show after it forgot
    them. A line that cannot be read says nothing.
    """
    found = set()
    for line in lines:
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(raw, dict) and raw.get("left") is False and isinstance(raw.get("id"), str):
            found.add(raw["id"])
    return frozenset(found)


def after_check(seen: Seen, status: RepositoryStatus, result: AgentResult) -> RepositoryStatus:
    """Given a look, the status to be and the answer of a Job, return that status with what its
    check, if there was one, has found.
    """
    if result.raw.get("checked") is not True:
        return status
    if result.raw.get("damaged") is True:
        words = (
            f"{result.message.rstrip('. ')}. Nothing is forgotten or pruned, and backups go on. "
            "Repair it (restic repair), then have it checked again: kubectl backstay repository "
            f"check {seen.name} -n {seen.namespace}"
        )
        return said(seen, status, CHECKED, False, (DAMAGED, words))
    of = seen.spec.maintenance.read_parts
    part = status.check_part % of + 1 if of else 0
    read = f", and part {part} of {of} of its data" if of else ""
    words = f"its structure was found whole{read}"
    status = changed(status, checked_at=seen.now, check_part=part)
    return said(seen, status, CHECKED, True, (WHOLE, words))


def in_words(result: AgentResult) -> str:
    """Given the answer of a Job that did all that it was asked for, return what that was."""
    freed = result.number("freed")
    more = f"; {format_size(freed)} were freed" if freed else ""
    return f"{result.message.rstrip('. ')}{more}"
