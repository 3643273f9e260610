"""List a repository: which points are there, which are missing, and which no Backup shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.repository import Access
from backstay.api.repository_status import LEFTOVERS_MAX, RepositoryStatus
from backstay.domain import labels
from backstay.domain.errors import DataError
from backstay.domain.jobs import Step
from backstay.domain.stores.repository import tasks
from backstay.domain.stores.repository.chore import (
    failed,
    is_ready,
    not_before,
    said,
    succeeded,
    without_answer,
)
from backstay.domain.stores.repository.imports import Place, Scope, imported
from backstay.domain.stores.repository.inventory import (
    Inventory,
    inventory_of,
    leftovers,
    mirrored,
    unknown,
)
from backstay.domain.stores.repository.locks import with_locks
from backstay.domain.stores.repository.others import others_of
from backstay.domain.stores.repository.use import Task
from backstay.domain.stores.repository.work import AtOnce, Outcome, Seen

LISTED: Final = "Listed"
NOT_LISTED: Final = "NotListed"
DAILY: Final = timedelta(hours=24)
SOON: Final = timedelta(minutes=1)
HOURLY: Final = timedelta(hours=1)
"""Of a repository that others write."""
_NAMED: Final = 2


class Listing(AtOnce):
    """Reads what is in the repository; its words become Backups."""

    task = Task.LIST
    deadline = timedelta(hours=1)

    def due(self, seen: Seen) -> datetime | None:
        """Given a look, return when it is to be listed next; None: not as things are."""
        if not is_ready(seen):
            return None
        if seen.movers and seen.spec.claim is not None:
            return seen.now + SOON  # A Job on another node would wait for the claim.
        if seen.wants("list") or seen.wants("rebuild"):
            return seen.now
        listed = seen.status.listed_at
        # A clock that was ahead must not keep it from being listed.
        if listed is None or listed > seen.now:
            return not_before(seen, self.task, seen.now)
        often = HOURLY if seen.spec.access is Access.READ_ONLY else DAILY
        return not_before(seen, self.task, listed + often)

    def step(self, seen: Seen) -> Step:
        """Given a look, return what its Job does."""
        return tasks.list_(seen.spec, seen.id)

    def begun(self, seen: Seen) -> RepositoryStatus:
        """Given a look, return the status once its Job is decided on."""
        return seen.status

    def waits(self, seen: Seen, why: str) -> RepositoryStatus:
        """Given a look and why its Job cannot start, return the status that says so."""
        words = f"Job {seen.status.job} has not started: {why}"
        return said(seen, seen.status, LISTED, None, ("JobWaits", words))

    def ended(self, seen: Seen) -> RepositoryStatus:
        """Given a look at its Job, which has ended, return what the status is to say."""
        result = seen.result if seen.job.ours else None
        status = with_locks(seen, _obeyed(seen), result)
        try:
            found = _read(seen)
        except DataError as error:
            status = said(seen, status, LISTED, False, (NOT_LISTED, error.message))
            reason = result if result is not None and not result.ok else None
            return failed(seen, status, self.task, reason)
        points = found.found.points
        status = changed(
            status,
            # Not later: what was stored while it was read may not be in it.
            listed_at=seen.status.work_began or seen.now,
            snapshots=found.snapshots,
            points=len(points),
            foreign=len(found.found.foreign),
            leftovers=tuple(leftovers(found, seen.runs, seen.namespace, seen.now)[:LEFTOVERS_MAX]),
            others=others_of(found.found.foreign),
        )
        return succeeded(said(seen, status, LISTED, True, _in_words(seen, found)), self.task)

    def outcome(self, seen: Seen, /) -> Outcome:
        """Given a look at its Job, which has ended, return what Backups are to show of it."""
        try:
            found = _read(seen)
        except DataError:
            return Outcome()
        began = seen.status.work_began or seen.now
        shown = mirrored(found, seen.runs, seen.id, began)
        if (scope := _scope(seen)) is None:
            return Outcome(shown)
        new = unknown(found, seen.runs, seen.id)
        made, _ = imported(new, _place(seen), scope, seen.runs)
        return Outcome(shown, made)


def _read(seen: Seen) -> Inventory:
    """What the Job has listed. Raise DataError where it has not, saying why."""
    if not seen.job.ours:
        raise DataError(f"Job {seen.status.job} was made by somebody else; another one is tried")
    if seen.result is None:
        raise DataError(without_answer(seen))
    if not seen.result.ok:
        raise DataError(f"{seen.result.reason}: {seen.result.message}")
    return inventory_of(seen.lines, seen.result)


def _scope(seen: Seen) -> Scope | None:
    """Which points that no Backup shows become Backups: in the first list, where a person asks for
    it, and where nothing is ever removed. Else none, or whoever may only add could have points
    counted that push others out.
    """
    if seen.spec.access is Access.READ_ONLY:
        return Scope.ALL
    if seen.wants("rebuild"):
        return Scope.NAMESPACE
    return Scope.OURS if seen.status.listed_at is None else None


def _place(seen: Seen) -> Place:
    return Place(seen.namespace, seen.namespace_uid, seen.name, seen.id)


def _obeyed(seen: Seen) -> RepositoryStatus:
    words = {what: seen.asked[what] for what in ("list", "rebuild") if what in seen.asked}
    return changed(seen.status, obeyed={**seen.status.obeyed, **words})


def _in_words(seen: Seen, found: Inventory) -> tuple[str, str]:
    """Reason and message of what was listed."""
    points, others = len(found.found.points), len(found.found.foreign)
    words = [f"{points} points", f"{others} snapshots of others"]
    new, scope, reason = unknown(found, seen.runs, seen.id), _scope(seen), LISTED
    _, refused = imported(new, _place(seen), scope or Scope.NAMESPACE, seen.runs)
    left, _ = imported(new, _place(seen), Scope.NAMESPACE, seen.runs)
    if left and scope in (None, Scope.OURS):
        reason = "UnknownPoints"
        words.append(_unknown_in_words(seen, len(left)))
    broken = {**found.found.broken, **refused}
    if broken:
        reason = "RecordsRefused"
        named = [f"{id[:8]}: {why}" for id, why in sorted(broken.items())[:_NAMED]]
        more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        words.append(f"{len(broken)} records that do not count ({'; '.join(named)}{more})")
    if found.damaged:
        reason = "Unreadable"
        words.append(f"{len(found.damaged)} snapshots that cannot be read")
    return reason, ", ".join(words)


def _unknown_in_words(seen: Seen, runs: int) -> str:
    return (
        f"points of {runs} runs of a namespace {seen.namespace} are of no Backup here, and never "
        f"forgotten; to have Backups made of them, run: kubectl annotate "
        f"backuprepository {seen.name} {labels.REBUILD}=$(date +%s) --overwrite "
        f"-n {seen.namespace}"
    )
