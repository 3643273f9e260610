"""When a run gives up what it waits for: the moments at which it must be looked at.

Invariants:

- Each deadline here is one that `machine.decide` keeps, and each wait that holds something has one.
  A look comes when the next is over, however long what was seen or what failed would let it wait.
- A step that fails is repeated, but not for ever: where the run holds what others wait for, neither
  beyond its deadline and GRACE, nor while it is refused by a rule. A run that holds nothing waits
  on while the server is at fault, as what it has made is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.domain.run.concurrency import HOLDING
from backstay.domain.run.dumps import DEADLINE_SLACK, TARGET_WAIT
from backstay.domain.run.hook_deadlines import hook_deadline, longest_hook
from backstay.domain.run.hooks import turn
from backstay.domain.run.status import current_dump, dump_entry, plan_of
from backstay.domain.run.values import RunStore

TICK: Final = timedelta(milliseconds=100)
"""After a deadline: at the very moment it is not over yet."""
GRACE: Final = timedelta(minutes=2)
"""Beyond a deadline, for a step that fails: it may be the one that would report success."""


def deadlines(
    status: BackupStatus, stores: Sequence[RunStore], *, deleting: bool = False
) -> tuple[datetime, ...]:
    """Given a status and the stores, return when what it waits for now is given up, in any order.

    Raise DataError if the status contradicts itself.
    """
    match status.phase:
        case BackupPhase.DUMPING:
            return _of_dump(status)
        case BackupPhase.SNAPSHOTTING:
            return _of_instant(status, stores, deleting=deleting)
        case BackupPhase.UPLOADING | BackupPhase.COPYING:
            return tuple(d for store in stores for d in store.deadlines(status))
    return ()


def in_time(
    status: BackupStatus,
    stores: Sequence[RunStore],
    after: timedelta | None,
    now: datetime,
    *,
    deleting: bool = False,
) -> timedelta | None:
    """Given a status, the stores, when it would be looked at again, and now, return when it is to
    be: no later than its next deadline.
    """
    coming = [d - now + TICK for d in deadlines(status, stores, deleting=deleting) if d >= now]
    return min(coming if after is None else [after, *coming], default=None)


def gives_up(
    status: BackupStatus,
    stores: Sequence[RunStore],
    now: datetime,
    *,
    refused: bool,
    busy: bool,
    deleting: bool = False,
) -> bool:
    """Given a run whose step failed, the stores, now, whether a rule has refused it for longer than
    anybody needs to apply one, and whether the server or the line is at fault, return whether
    what it waits for has failed with it.
    """
    holds = status.phase in HOLDING
    if holds and refused:
        return True
    over = max(deadlines(status, stores, deleting=deleting), default=None)
    late = over is not None and now > over + GRACE
    return late and (holds or not busy)


def _of_dump(status: BackupStatus) -> tuple[datetime, ...]:
    dump = current_dump(status)
    entry = dump_entry(status, dump.name) if dump is not None else None
    if dump is None or entry is None or entry.attempt < status.attempt:
        return _until(attempt_deadline(status))
    wait = dump.max_duration + DEADLINE_SLACK if entry.container_id else TARGET_WAIT
    return (entry.started_at + wait,)


def _of_instant(
    status: BackupStatus, stores: Sequence[RunStore], *, deleting: bool
) -> tuple[datetime, ...]:
    found = turn(status, deleting=deleting)
    if found is not None:
        over = hook_deadline(found)
        return _until(attempt_deadline(status) if over is None else over)
    asked = tuple(d for store in stores if store.instant for d in store.deadlines(status))
    return asked or _until(attempt_deadline(status))


def _until(moment: datetime | None) -> tuple[datetime, ...]:
    return () if moment is None else (moment,)


def attempt_deadline(status: BackupStatus) -> datetime | None:
    """Given a run, return when its attempt must have come past what is not begun yet; None: no
    attempt has begun. No time is written down of such a thing, so all that comes before it may have
    taken as long as it can.
    """
    plan, began = plan_of(status), status.attempted_at
    if began is None:
        return None
    hooks = (*plan.hooks.before, *plan.hooks.after) if plan.hooks else ()
    longest = sum((d.max_duration + DEADLINE_SLACK + TARGET_WAIT for d in plan.dumps), timedelta())
    longest += sum((longest_hook(h) for h in hooks), timedelta())
    return began + longest + plan.take_timeout
