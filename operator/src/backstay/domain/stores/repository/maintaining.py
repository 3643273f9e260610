"""Maintain a repository: unlock, forget, prune, check, by one Job at a time.

Invariants: movers wait from when it is decided on, and its Job is made when none of them runs;
what it forgets is what Backups show as Swept in that moment; what damage a check has found, nothing
is forgotten or pruned after it; while our clock is off nothing is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.repository import Access
from backstay.api.repository_status import RepositoryStatus
from backstay.domain.jobs import Step
from backstay.domain.stores.repository import forgetting, tasks
from backstay.domain.stores.repository.chore import (
    condition_of,
    failed,
    is_ready,
    not_before,
    said,
    succeeded,
    without_answer,
)
from backstay.domain.stores.repository.locks import stale, with_locks
from backstay.domain.stores.repository.maintained import after_check, forgotten, in_words
from backstay.domain.stores.repository.remedies import remedy
from backstay.domain.stores.repository.tasks import Check, MaintainWish
from backstay.domain.stores.repository.use import CHECKED, MAINTAINED, Task
from backstay.domain.stores.repository.work import Outcome, Seen, without_job

PATIENCE: Final = timedelta(hours=1)
"""So long it lets movers that are at work end, before it keeps others from starting; then so long
it waits for the last of them.
"""
LOOK: Final = timedelta(minutes=1)
"""Between two looks whether they have ended."""
_WORDS: Final = ("check", "prune")


class Maintaining:
    """Forgets what retention gave up, reclaims space, checks, and removes locks that are dead."""

    task = Task.MAINTAIN
    deadline = timedelta(hours=13)

    def due(self, seen: Seen) -> datetime | None:
        """Given a look, return when there is something to do next; None: not as things are."""
        if not is_ready(seen) or seen.spec.access is Access.READ_ONLY:
            return None
        if any(map(seen.wants, _WORDS)) or _unlocks_all(seen):
            return seen.now
        times = [at for at in (_forget_due(seen), _prune_due(seen), _check_due(seen)) if at]
        if _dead_locks(seen):
            times.append(seen.now)
        if not times:
            return None
        at = not_before(seen, self.task, min(times))
        # An upload of a day must not be waited for by all others at once.
        if at <= seen.now < at + PATIENCE and seen.movers:
            return min(seen.now + LOOK, at + PATIENCE)
        return at

    def step(self, seen: Seen) -> Step:
        """Given a look, return what its Job does."""
        return tasks.maintain(seen.spec, seen.id, wish_of(seen))

    def begun(self, seen: Seen) -> RepositoryStatus:
        """Given a look, return the status once its Job is decided on."""
        return seen.status

    def waits(self, seen: Seen, why: str) -> RepositoryStatus:
        """Given a look and why its Job cannot start, return the status that says so."""
        words = f"Job {seen.status.job} has not started: {why}"
        return said(seen, seen.status, MAINTAINED, None, ("JobWaits", words))

    def may_start(self, seen: Seen, /) -> bool:
        """Given a look, return whether no mover is at work: those to come wait."""
        return not seen.movers and wish_of(seen) != MaintainWish()

    def given_up(self, seen: Seen, /) -> RepositoryStatus | None:
        """Given a look while movers are at work, return the status without this maintenance once it
        has waited for long, or where nothing is to be done any more; None: it waits.
        """
        if not seen.movers:
            return without_job(seen.status)
        if seen.now - (seen.status.work_began or seen.now) < PATIENCE:
            return None
        words = ("Busy", "backups and restores did not end in time; it is tried again")
        status = said(seen, seen.status, MAINTAINED, False, words)
        retry = {**status.retry_at, self.task.value: seen.now + PATIENCE}
        return without_job(changed(status, retry_at=retry))

    def ended(self, seen: Seen) -> RepositoryStatus:
        """Given a look at its Job, which has ended, return what the status is to say."""
        result = seen.result if seen.job.ours else None
        status = changed(_obeyed(seen), maintained_at=seen.now)
        gone = forgotten(seen.lines)
        left = tuple(id for id in status.leftovers if id not in gone)
        status = with_locks(seen, changed(status, leftovers=left), result)
        if result is None:
            # Nobody knows how far it came: no prune follows before a check has found all whole.
            why = without_answer(seen)
            status = said(seen, status, CHECKED, None, ("JobFailed", why))
            status = said(seen, status, MAINTAINED, False, ("JobFailed", why))
            return failed(seen, status, self.task, None)
        status = after_check(seen, status, result)
        if result.raw.get("pruned") is True:
            status = changed(status, pruned_at=seen.now)
        if not result.ok:
            cure = remedy(result.reason, seen.spec, seen.id)
            why = "; ".join(filter(None, (result.message.rstrip(". "), cure)))
            status = said(seen, status, MAINTAINED, False, (result.reason or "Failed", why))
            return failed(seen, status, self.task, result)
        words = ("Maintained", in_words(result))
        return succeeded(said(seen, status, MAINTAINED, True, words), self.task)

    def outcome(self, seen: Seen, /) -> Outcome:
        """Given a look at its Job, which has ended, return what Backups are to show of it."""
        if not seen.job.ours:
            return Outcome()
        gone = forgotten(seen.lines)
        return Outcome(forgetting.after(seen.runs, seen.id, gone, seen.now))


def wish_of(seen: Seen) -> MaintainWish:
    """Given a look, return what is to be done now."""
    if not is_ready(seen):
        return MaintainWish()
    forget = [one.ids for one in _announced(seen)]
    check = _check_now(seen)
    return MaintainWish(
        forget=(*(id for ids in forget for id in ids), *_leftovers(seen)),
        prune=not check and _is_due(_prune_due(seen), seen),
        check=_part(seen) if check else None,
        unlock=() if _unlocks_all(seen) else _dead_locks(seen),
        unlock_all=_unlocks_all(seen),
    )


def may_remove(seen: Seen) -> bool:
    """Given a look, return whether anything may be removed from the repository."""
    spec = seen.spec
    if spec.access is Access.READ_ONLY or seen.clock is not None:
        return False
    if spec.access is Access.APPEND_ONLY and spec.maintenance_secret_ref is None:
        return False
    checked = condition_of(seen.status, CHECKED)
    # What is left whole may be the last of its kind.
    return checked is None or checked.status != "False"


def _announced(seen: Seen) -> Sequence[forgetting.Announced]:
    if not may_remove(seen):
        return ()
    return forgetting.announced(seen.runs, seen.name, seen.id, seen.users)


def _leftovers(seen: Seen) -> Sequence[str]:
    return seen.status.leftovers if may_remove(seen) else ()


def _forget_due(seen: Seen) -> datetime | None:
    found = _announced(seen)
    if found:
        return forgetting.since(found) or seen.now
    return seen.status.listed_at if _leftovers(seen) else None


def _prune_due(seen: Seen) -> datetime | None:
    if not may_remove(seen):
        return None
    if seen.wants("prune"):
        return seen.now
    last = seen.status.pruned_at or seen.created or seen.now
    return seen.now if last > seen.now else last + seen.spec.maintenance.prune


def _check_due(seen: Seen) -> datetime:
    checked = condition_of(seen.status, CHECKED)
    if checked is not None and checked.status == "Unknown":
        return seen.now
    last = seen.status.checked_at or seen.created or seen.now
    if checked is not None and checked.status == "False":
        # Found damaged: looked at again as often, and at once when a person asks for it.
        last = max(last, checked.last_transition_time)
    return seen.now if last > seen.now else last + seen.spec.maintenance.check


def _check_now(seen: Seen) -> bool:
    """Whether this maintenance checks. Before the first prune, and after what ended without a word,
    the structure is known to be whole.
    """
    if seen.wants("check") or _is_due(_check_due(seen), seen):
        return True
    return seen.status.checked_at is None and _is_due(_prune_due(seen), seen)


def _part(seen: Seen) -> Check:
    of = seen.spec.maintenance.read_parts
    return Check(part=seen.status.check_part % of + 1 if of else 0, of=of)


def _is_due(at: datetime | None, seen: Seen) -> bool:
    return at is not None and at <= seen.now


def _unlocks_all(seen: Seen) -> bool:
    wanted = seen.spec.unlock
    return bool(wanted) and wanted != seen.status.last_unlocked


def _dead_locks(seen: Seen) -> tuple[str, ...]:
    if seen.clock is not None:
        return ()
    return stale(seen.status.locks, seen.uid, seen.alive)


def _obeyed(seen: Seen) -> RepositoryStatus:
    """The status once what a person asked for was tried, whatever came of it."""
    words = {what: seen.asked[what] for what in _WORDS if what in seen.asked}
    status = changed(seen.status, obeyed={**seen.status.obeyed, **words})
    if seen.result is not None and _unlocks_all(seen):
        status = changed(status, last_unlocked=seen.spec.unlock)
    return status
