"""Open a repository: whether it can be used, and which one it is.

Invariants: the ID is written once, by the first Job that opened the repository, and never changed;
a repository is made only while no ID is known; a Job that does not run says nothing about it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final

from backstay.api.common import Condition, changed, format_time, with_condition
from backstay.api.repository_status import RepositoryStatus
from backstay.domain import naming
from backstay.domain.jobs import Step
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository import tasks
from backstay.domain.stores.repository.locks import with_locks
from backstay.domain.stores.repository.remedies import remedy
from backstay.domain.stores.repository.use import READY, Task
from backstay.domain.stores.repository.work import AtOnce, Seen

OPENING: Final = "Opening"
JOB_WAITS: Final = "JobWaits"
JOB_FAILED: Final = "JobFailed"
NOT_LOOKED: Final = frozenset({JOB_WAITS, JOB_FAILED})
"""What Ready says where nobody has looked: whatever its status, somebody should."""
REPLACED: Final = "Replaced"
NOT_UNDERSTOOD: Final = "AnswerNotUnderstood"

AGAIN: Final = timedelta(hours=1)
"""Between two looks while all is well."""
SPREAD: Final = 600
"""Seconds over which the looks at many repositories are spread."""
SOONEST: Final = timedelta(seconds=15)
"""Between two looks after the first failure: each of them waits as long as it has failed so far."""
LONGEST: Final = timedelta(minutes=5)
"""Between two looks while it cannot be used: a Secret that is corrected makes no event for us."""
TRUSTED: Final = timedelta(days=1)
"""So long what the last Job has found stands, if no further one can look."""
_ID: Final = re.compile("[0-9a-f]{64}")
_WORDS_MAX: Final = 1024


class Opening(AtOnce):
    """Looks whether the repository can be used; the one Chore that may make it."""

    task = Task.OPEN
    deadline = timedelta(minutes=10)

    def due(self, seen: Seen) -> datetime | None:
        """Given a look, return when it is to be opened next; None: while Jobs use its claim."""
        status = seen.status
        ready, tried = ready_of(status), status.tried_at
        if tried is None or ready is None or status.observed_generation != seen.generation:
            return seen.now
        if tried > seen.now:
            # A clock that was ahead must not keep it from being looked at.
            return seen.now
        if ready.status == "True" and ready.reason == JOB_FAILED:
            return tried + LONGEST
        if ready.status == "True":
            # A Job on another node would wait for the claim, and the repository look unusable.
            if seen.movers and seen.spec.claim is not None:
                return None
            return tried + AGAIN + _spread(seen.uid)
        failing = tried - ready.last_transition_time
        return tried + min(max(failing, SOONEST), LONGEST)

    def step(self, seen: Seen) -> Step:
        """Given a look, return what its Job does."""
        return tasks.open_(seen.spec, seen.status.id or "")

    def begun(self, seen: Seen) -> RepositoryStatus:
        """Given a look, return the status once its Job is decided on."""
        if ready_of(seen.status) is not None:
            return seen.status  # What was said last stands until there is something new.
        return _said(seen, None, OPENING, "it is being opened for the first time")

    def waits(self, seen: Seen, why: str) -> RepositoryStatus:
        """Given a look and why its Job cannot start, return the status that says so."""
        words = f"Job {seen.status.job} has not started: {why}"
        return _not_looked(seen, None, JOB_WAITS, words)

    def ended(self, seen: Seen) -> RepositoryStatus:
        """Given a look at its Job, which has ended, return what the status is to say."""
        status = with_locks(seen, _judged(seen), seen.result if seen.job.ours else None)
        if status.observed_generation != seen.generation:
            # What failed by the spec before may work by this one.
            status = changed(status, retry_at={})
        return changed(status, tried_at=seen.now, observed_generation=seen.generation)


def ready_of(status: RepositoryStatus) -> Condition | None:
    """Given a status, return its condition Ready, None if there is none."""
    return next((c for c in status.conditions if c.type == READY), None)


def _judged(seen: Seen) -> RepositoryStatus:
    result = seen.result
    if not seen.job.ours:
        words = f"Job {seen.status.job} was made by somebody else; another one is tried"
        return _not_looked(seen, False, JOB_FAILED, words)
    if result is None:
        return _not_looked(seen, False, JOB_FAILED, _without_answer(seen))
    if not result.ok:
        cure = remedy(result.reason, seen.spec, seen.status.id or "")
        words = "; ".join(filter(None, (result.message.rstrip(". "), cure)))
        return _said(seen, False, result.reason or JOB_FAILED, words)
    return _opened(seen, result)


def _opened(seen: Seen, result: AgentResult) -> RepositoryStatus:
    found = str(result.raw.get("id", ""))
    known = seen.status.id
    if not _ID.fullmatch(found):
        words = "what its Job said cannot be used: it names no ID of a repository"
        return _said(seen, False, NOT_UNDERSTOOD, words)
    if known is not None and found != known:
        cure = remedy(REPLACED, seen.spec, known)
        words = f"repository {found[:8]} is where {known[:8]} was; {cure}"
        return _said(seen, False, REPLACED, words)
    snapshots = result.number("snapshots")
    status = changed(
        seen.status,
        id=found,
        format=_at_least(result.number("format"), 1),
        restic=_text(result.raw.get("restic"), 64),
        snapshots=_at_least(snapshots, 0),
        bytes=_at_least(result.number("bytes"), 0),
        opened_at=seen.now,
    )
    words = f"repository {found[:8]} has {snapshots if snapshots is not None else '?'} snapshots"
    if ignored := _names(result.raw.get("ignored")):
        words += f"; keys of Secret {seen.spec.secret_ref.name} that are not used: {ignored}"
    return changed(status, conditions=_conditions(seen, True, result.reason or "Opened", words))


def _without_answer(seen: Seen) -> str:
    """Why a Job has ended without an answer, as far as anybody knows."""
    before = ready_of(seen.status)
    why = seen.job.message or "its Pod is gone"
    words = f"Job {seen.status.job} has ended without an answer ({why})"
    if before is not None and before.reason == JOB_WAITS:
        # What kept it from starting is known only from then: a Job that is over says nothing of it.
        words += f"; {before.message}"
    return words


def _not_looked(seen: Seen, ok: bool | None, reason: str, words: str) -> RepositoryStatus:
    """A full cluster keeps a Job from running, and must not make the runs fail that would wait."""
    ready, opened = ready_of(seen.status), seen.status.opened_at
    was_ready = ready is not None and ready.status == "True"
    if was_ready and opened is not None and seen.now - opened < TRUSTED:
        words = f"it was last opened at {format_time(opened)}; {words}"
        return _said(seen, True, reason, words)
    return _said(seen, ok, reason, words)


def _said(seen: Seen, ok: bool | None, reason: str, message: str) -> RepositoryStatus:
    return changed(seen.status, conditions=_conditions(seen, ok, reason, message))


def _conditions(seen: Seen, ok: bool | None, reason: str, message: str) -> tuple[Condition, ...]:
    return with_condition(
        seen.status.conditions,
        type=READY,
        ok=ok,
        reason=reason[:128],
        message=message[:_WORDS_MAX],
        generation=seen.generation,
        now=seen.now,
    )


def _spread(uid: str) -> timedelta:
    return timedelta(seconds=int(naming.digest(uid), 16) % SPREAD)


def _at_least(number: int | None, least: int) -> int | None:
    return number if number is not None and number >= least else None


def _text(value: Any, longest: int) -> str | None:
    return value[:longest] if isinstance(value, str) and value else None


def _names(value: Any) -> str:
    names = [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
