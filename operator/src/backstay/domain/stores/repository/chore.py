"""What the chores of a repository have in common."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backstay.api.common import Condition, changed, with_condition
from backstay.api.repository_status import RepositoryStatus
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.reasons import Outcome, Reason, outcome_of
from backstay.domain.stores.repository.use import READY, Task
from backstay.domain.stores.repository.work import Seen

WAITS: Final = {
    Outcome.BUSY: timedelta(minutes=5),
    Outcome.FAILED: timedelta(minutes=30),
    Outcome.REFUSED: timedelta(hours=24),
}
"""Until what failed is tried again."""
LOCK_WAIT: Final = timedelta(minutes=30)
"""The same for what a lock of others keeps from its turn."""
WORDS_MAX: Final = 4096


def condition_of(status: RepositoryStatus, type: str) -> Condition | None:
    """Given a status and a type, return that condition, None if there is none."""
    return next((c for c in status.conditions if c.type == type), None)


def is_ready(seen: Seen) -> bool:
    """Given a look, return whether the repository can be used and was opened as its spec is now."""
    ready = condition_of(seen.status, READY)
    return ready is not None and ready.status == "True" and bool(seen.status.id)


def not_before(seen: Seen, task: Task, at: datetime) -> datetime:
    """Given a look, a task and when it is due, return when it is begun: not before a try after one
    that failed, unless a clock was ahead.
    """
    retry = seen.status.retry_at.get(task.value)
    if retry is None or retry > seen.now + max(WAITS.values()):
        return at
    return max(at, retry)


def said(
    seen: Seen,
    status: RepositoryStatus,
    type: str,
    verdict: bool | None,
    words: tuple[str, str],
) -> RepositoryStatus:
    """Given a look, the status to be, the type of a condition, what it says, and its reason and
    message, return the status with it.
    """
    conditions = with_condition(
        status.conditions,
        type=type,
        ok=verdict,
        reason=words[0][:128],
        message=words[1][:WORDS_MAX],
        generation=seen.generation,
        now=seen.now,
    )
    return changed(status, conditions=conditions)


def failed(
    seen: Seen, status: RepositoryStatus, task: Task, result: AgentResult | None
) -> RepositoryStatus:
    """Given a look, the status to be, a task and the answer that it failed with (None: none),
    return the status that says when it is tried again. What speaks against the repository itself is
    found out by opening it.
    """
    reason = _reason_of(result)
    wait = WAITS[Outcome.BUSY if reason is None else outcome_of(reason)]
    wait = LOCK_WAIT if reason is Reason.LOCKED else wait
    retry = {**status.retry_at, task.value: seen.now + wait}
    # With a lock left behind, only opening shows whose it is.
    asks = result is None or reason in _OF_THE_REPOSITORY
    return changed(status, retry_at=retry, tried_at=None if asks else status.tried_at)


def succeeded(status: RepositoryStatus, task: Task) -> RepositoryStatus:
    """Given the status to be and a task, return it without a time to try that task again."""
    left = {name: at for name, at in status.retry_at.items() if name != task.value}
    return changed(status, retry_at=left)


def without_answer(seen: Seen) -> str:
    """Given a look at a Job that ended without an answer, return in words why, as far as known."""
    why = seen.job.message or "its Pod is gone"
    return f"Job {seen.status.job} has ended without an answer ({why})"


def _reason_of(result: AgentResult | None) -> Reason | None:
    try:
        return Reason(result.reason) if result is not None else None
    except ValueError:
        return Reason.FAILED


_OF_THE_REPOSITORY: Final = frozenset(
    {
        Reason.WRONG_PASSWORD,
        Reason.ACCESS_DENIED,
        Reason.BUCKET_MISSING,
        Reason.NO_REPOSITORY,
        Reason.VANISHED,
        Reason.REPLACED,
        Reason.UNREACHABLE,
        Reason.UNTRUSTED,
        Reason.SECRET_INCOMPLETE,
    }
)
