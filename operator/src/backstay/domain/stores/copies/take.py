"""The rolling copies of one attempt of a run: one Job after the other.

Invariants:

- When a copy was asked for is written down before its Job is made; the Job's name is a function
  of run, attempt and series, and it is made in every round in which it is not there. A Job that
  is lost costs nothing: the agent answers for a point that it has published already.
- A point is good only when its Job says that it was published as good.
- A copy that starts has maxDuration, which the Job itself keeps; one that does not start within
  startTimeout is given up. There is no other node to try. Ours is for when nobody keeps it, as when
  Jobs have no controller: then it is given up JOB_SLACK later.
- A copy that is made of a snapshot is asked for when that is good, in whatever attempt, and fails
  with it. Others are made meanwhile.
- A temporary claim is needed until its copy is decided; who removes it looks whether it is read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState, DumpStatus
from backstay.api.point import PointResult, PointStatus
from backstay.api.rolling import CopyMethod
from backstay.api.store import ROLLING
from backstay.domain.run.status import (
    claim_of,
    colon,
    is_made_of_another,
    origin_of,
    pending,
    plan_of,
    short,
    sources_able,
    with_point,
)
from backstay.domain.run.values import AT_ONCE, POLL, Action, Decision, Seen
from backstay.domain.stores.copies.actions import CancelCopy, StartCopy
from backstay.domain.stores.copies.sights import CopySeen

JOB_SLACK: Final = timedelta(minutes=5)
"""Beyond maxDuration, which the Job keeps by itself."""


def begin(status: BackupStatus) -> BackupStatus:
    """Given a run whose turn it is, return the status that makes this attempt's copies, as far as
    the dumps and hooks on their claims have passed.
    """
    for series in sources_able(status, ROLLING):
        entry = PointStatus(
            source=series,
            store=ROLLING,
            attempt=status.attempt,
            result=PointResult.PENDING,
        )
        status = with_point(status, entry)
    return _behind_origins(status)


def _behind_origins(status: BackupStatus) -> BackupStatus:
    """The status with what copies wait for that are made of a point that is not good yet, and with
    those failed whose point has failed.
    """
    for entry in pending(status, ROLLING):
        origin = origin_of(status, *entry.key)
        if origin is not None and entry.requested_at is None:
            status = with_point(status, _behind(entry, origin))
    return status


def _behind(entry: PointStatus, origin: PointStatus) -> PointStatus:
    store = origin.store.lower()
    if origin.result is PointResult.FAILED:
        why = colon(origin.message or "")
        return _failed(entry, f"the {store} that it is made of failed{why}")
    waits = f"it waits until its {store} is ready" if origin.pending else None
    return changed(entry, message=waits)


def current(status: BackupStatus) -> PointStatus | None:
    """Given a run that copies, return its copy that is next or under way, if any: the one that was
    asked for, else the first that can be, else the first.
    """
    waiting = pending(status, ROLLING)
    asked = [p for p in waiting if p.requested_at is not None]
    able = [p for p in waiting if _has_data(status, p)]
    return next(iter((*asked, *able, *waiting)), None)


def _has_data(status: BackupStatus, entry: PointStatus) -> bool:
    """Whether what a copy is made of is there."""
    origin = origin_of(status, *entry.key)
    if origin is None:
        return not is_made_of_another(status, *entry.key)
    return origin.result is PointResult.GOOD


def dumps_inside(status: BackupStatus, entry: PointStatus) -> tuple[DumpStatus, ...]:
    """Given a run and a copy of it, return the dumps that are to be in what it is made of."""
    claim = claim_of(plan_of(status), *entry.key)
    origin = origin_of(status, *entry.key)
    attempt = origin.attempt if origin is not None else entry.attempt
    return tuple(
        d
        for d in status.dumps
        if d.claim == claim and d.attempt == attempt and d.state is DumpState.DONE
    )


def reads_temporary(status: BackupStatus) -> bool:
    """Given a run, return whether its copies are made of temporary claims."""
    rolling = plan_of(status).rolling
    return rolling is not None and rolling.settings.copy_method is not CopyMethod.DIRECT


def copy_deadlines(status: BackupStatus) -> tuple[datetime, ...]:
    """Given a run that copies, return when the copy of now is given up: where it has not started,
    and where it has.
    """
    entry, rolling = current(status), plan_of(status).rolling
    if entry is None or entry.requested_at is None or rolling is None:
        return ()
    start = entry.requested_at + rolling.settings.start_timeout
    return start, start + rolling.settings.max_duration + JOB_SLACK


def give_up(status: BackupStatus, why: str) -> BackupStatus:
    """Given a run and a reason, return it with its copy of now failed; the next one is tried."""
    entry = current(status)
    return with_point(status, _failed(entry, why)) if entry is not None else status


def follow(seen: Seen) -> Decision:
    """Given a run that copies, return what to do for the copy of now."""
    seen = replace(seen, status=_behind_origins(seen.status))
    entry = current(seen.status)
    if entry is None or not _has_data(seen.status, entry):
        return Decision(seen.status)
    if entry.requested_at is None:
        asked = changed(entry, requested_at=seen.now, message=None)
        return Decision(with_point(seen.status, asked), after=AT_ONCE)
    look = seen.sights.get(ROLLING)
    if not isinstance(look, CopySeen):
        return Decision(seen.status, after=POLL)
    if look.problem:
        return _ended(seen, _failed(entry, look.problem))
    if look.result is not None:
        return _ended(seen, changed(look.result, source=entry.source, attempt=entry.attempt))
    if look.lost or (entry.job and not look.job.exists):
        # Its Job went away before its result was read: the agent answers again.
        cancel = (CancelCopy(entry.source),) if look.lost else ()
        again = changed(entry, requested_at=None, job=None, message=None)
        return Decision(with_point(seen.status, again), cancel, POLL)
    if look.job.finished:
        said = look.message or look.job.message or "its Job ended without a word"
        return _ended(seen, _failed(entry, said))
    return _wait(seen, entry, look)


def _wait(seen: Seen, entry: PointStatus, look: CopySeen) -> Decision:
    """Make the Job, or wait for it to start and to end."""
    rolling = plan_of(seen.status).rolling
    waited = seen.now - (entry.requested_at or seen.now)
    if rolling is not None and not look.job.started and waited > rolling.settings.start_timeout:
        late = f"not started within startTimeout ({rolling.settings.start_timeout})"
        cancel = (CancelCopy(entry.source),) if look.job.exists else ()
        # What was refused is in the status, by who tried to make it.
        refused = "" if look.job.exists else seen.status.message or ""
        return _ended(seen, _failed(entry, f"{late}{colon(look.message or refused)}"), *cancel)
    if (over := copy_deadlines(seen.status)) and seen.now > max(over):
        limit = rolling.settings.max_duration if rolling else None
        why = f"its Job did not end within maxDuration ({limit}): does the Job controller run?"
        return _ended(seen, _failed(entry, why), CancelCopy(entry.source))
    start: tuple[Action, ...] = ()
    if not look.job.exists and not look.waits:
        start = (StartCopy(entry.source),)
    waits = short(look.message) or None
    status = with_point(seen.status, changed(entry, job=look.job.name or None, message=waits))
    return Decision(status, start, POLL)


def _ended(seen: Seen, entry: PointStatus, *actions: Action) -> Decision:
    return Decision(with_point(seen.status, entry), actions, AT_ONCE)


def _failed(entry: PointStatus, why: str) -> PointStatus:
    return changed(entry, result=PointResult.FAILED, message=short(why))
