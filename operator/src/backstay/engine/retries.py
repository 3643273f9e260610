"""How long a key that failed waits for its next try.

Invariant: it waits longer each time, but no longer than its kind may, nor than its error says
(`within`): that is a deadline, and a deadline is looked at when it is over, not when the next retry
happens to come.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from backstay.domain.clock import Clock
from backstay.domain.errors import (
    BackstayError,
    Conflict,
    DataError,
    NotFound,
    Transient,
    UserError,
)
from backstay.engine.backoff import SPREAD, Backoff

LONGEST = timedelta(minutes=5)
RETRY = Backoff(first=timedelta(seconds=1), cap=LONGEST)
CONFLICT_RETRY = Backoff(first=timedelta(milliseconds=100), cap=LONGEST)
"""Who lost a race has only to read again, so the first tries come quickly."""


class Outcome(StrEnum):
    """How one run of a key ended."""

    DONE = "done"
    REQUEUED = "requeued"
    CONFLICT = "conflict"
    TRANSIENT = "transient"
    USER_ERROR = "user_error"
    DATA_ERROR = "data_error"
    ERROR = "error"


def judge(
    error: BaseException, failures: int, longest: timedelta | None, clock: Clock
) -> tuple[Outcome, timedelta]:
    """Given an error, how often its key has failed, how long its kind may wait (None: no limit) and
    a clock, return how its run ended, and when to try again.
    """
    outcome, delay = _judge(error, failures, clock)
    if isinstance(error, Transient) and error.retry_after is not None:
        return outcome, delay  # a server that asks for a pause is at its limits, and gets it
    within = error.within if isinstance(error, BackstayError) else None
    return outcome, min((delay, *(limit for limit in (longest, within) if limit is not None)))


def _judge(error: BaseException, failures: int, clock: Clock) -> tuple[Outcome, timedelta]:
    match error:
        case Transient(retry_after=timedelta() as asked):
            seconds = asked.total_seconds()
            later = max(seconds, clock.jitter(seconds, SPREAD))
            return Outcome.TRANSIENT, timedelta(seconds=later)
        case Transient():
            return Outcome.TRANSIENT, RETRY.delay(failures, clock)
        case Conflict():
            return Outcome.CONFLICT, CONFLICT_RETRY.delay(failures, clock)
        case NotFound():
            # It went between our read and our write: a race that was lost as well.
            return Outcome.CONFLICT, RETRY.delay(failures, clock)
        case UserError():
            # Reconcilers make conditions of their users' errors. One that comes through is
            # the server's no to our own write, say of an admission policy or a quota that
            # somebody may lift without any event for us.
            return Outcome.USER_ERROR, RETRY.delay(failures, clock)
        case DataError():
            return Outcome.DATA_ERROR, RETRY.cap
        case _:
            return Outcome.ERROR, RETRY.delay(failures, clock)
