"""The points of a store that Jobs make, in one attempt of a run: one Job after the other.

Invariants:

- When a point was asked for is written down before its Job is made; the Job's name is a function
  of run, attempt, source and store, and it is made in every round in which it is not there. A Job
  that is lost costs nothing: the agent answers for a point that it has made already.
- A point is good only when its Job says that it is.
- A Job that starts has maxDuration, which it keeps itself; one that does not start within
  startTimeout is given up. There is no other place to try. Ours is for when nobody keeps it, as
  when Jobs have no controller: then it is given up JOB_SLACK later.
- What is made of a snapshot is asked for when that is good, in whatever attempt, and fails with
  it. Others are made meanwhile.
- No time of its own runs while others have their turn (`Making.busy`): it is not asked for, or no
  more. That ends when all that comes before it may have taken as long as it can.
- A point that may come late (`PlannedPoint.late_after`) is tried again in its attempt, by a Job of
  the same name once the one that failed is deleted, until it is too late or can never be.
- A temporary claim is needed until its point is decided; who removes it looks whether it is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.plan import RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.store import ROLLING
from backstay.domain.run.deadlines import attempt_deadline
from backstay.domain.run.late import LONGEST_TRY, late_until, to_retry
from backstay.domain.run.status import (
    colon,
    has_data,
    origin_of,
    pending,
    plan_of,
    short,
    sources_able,
    with_point,
)
from backstay.domain.run.values import AT_ONCE, POLL, Action, Decision, Seen, StoreAction
from backstay.domain.stores.making import Making
from backstay.domain.stores.progress import in_words
from backstay.domain.times import left

JOB_SLACK: Final = timedelta(minutes=5)
"""Beyond maxDuration, which the Job keeps by itself."""
_ORIGINS: Final = {ROLLING: "rolling copy"}
"""What people call a point that others are made of, where that is not the store's name."""


class JobSettings(Protocol):
    """What the settings of such a store have."""

    @property
    def reads_temporary(self) -> bool:
        """Whether the Jobs read temporary claims."""
        ...

    @property
    def start_timeout(self) -> timedelta:
        """How long a Job may take to start."""
        ...

    @property
    def max_duration(self) -> timedelta:
        """How long it may take from then on."""
        ...


class MadeByJobs(ABC):
    """The run's side of such a store: see `domain.run.values.RunStore`."""

    name: ClassVar[str]
    instant: ClassVar[bool] = False

    @abstractmethod
    def settings(self, plan: RunPlan) -> JobSettings | None:
        """Given a plan, return its settings of this store; None: it makes no such points."""

    @abstractmethod
    def start(self, source: str) -> StoreAction:
        """Given a source, return what makes its Job, and before it the temporary claim."""

    @abstractmethod
    def cancel(self, source: str) -> StoreAction:
        """Given a source, return what deletes its Job."""

    def begin(self, _: Seen, status: BackupStatus, /) -> BackupStatus:
        """Write down each point whose dumps and hooks have passed."""
        for source in sources_able(status, self.name):
            entry = PointStatus(
                source=source,
                store=self.name,
                attempt=status.attempt,
                result=PointResult.PENDING,
            )
            status = with_point(status, entry)
        return self._behind_origins(status)

    def judge(self, status: BackupStatus) -> BackupStatus:
        """Leave all as it is: these points are begun when the hooks are over."""
        return status

    def current(self, status: BackupStatus) -> PointStatus | None:
        """Given a run, return its point here that is next or under way, if any: the one that was
        asked for, else the first that can be, else the first.
        """
        waiting = pending(status, self.name)
        asked = [p for p in waiting if p.requested_at is not None]
        # Those that were never tried first: one that fails again and again holds up no other.
        able = sorted((p for p in waiting if has_data(status, p)), key=lambda p: p.tries)
        return next(iter((*asked, *able, *waiting)), None)

    def reads_temporary(self, status: BackupStatus) -> bool:
        """Given a run, return whether its points here are made of temporary claims."""
        settings = self.settings(plan_of(status))
        return settings is not None and settings.reads_temporary

    def follow(self, seen: Seen) -> Decision:
        """Take the point of now a step further."""
        seen = replace(seen, status=self._behind_origins(seen.status))
        entry, look = self.current(seen.status), seen.sights.get(self.name)
        if entry is None or not has_data(seen.status, entry):
            return Decision(seen.status)
        if entry.requested_at is None:
            return self._ask(seen, entry, look if isinstance(look, Making) else Making())
        if not isinstance(look, Making):
            return Decision(seen.status, after=POLL)
        if why := look.problem or _how_it_ended(look):
            return self._fail_or_retry(seen, entry, why, for_good=bool(look.problem))
        if look.result is not None:
            return _ended(seen, changed(look.result, source=entry.source, attempt=entry.attempt))
        if look.lost or (entry.job and not look.job.exists):
            # Its Job went away before its result was read: the agent answers again.
            cancel = (self.cancel(entry.source),) if look.lost else ()
            return Decision(with_point(seen.status, _unasked(entry)), cancel, POLL)
        if look.busy and not look.job.exists:
            return self._ask(seen, _unasked(entry), look)
        return self._wait(seen, entry, look)

    def give_up(self, status: BackupStatus, why: str) -> BackupStatus:
        """Fail the point of now; the next one is tried."""
        entry = self.current(status)
        return with_point(status, _failed(entry, why)) if entry is not None else status

    def deadlines(self, status: BackupStatus) -> tuple[datetime, ...]:
        """Return when the point of now is given up: not asked for, not started, or not ended."""
        entry, settings = self.current(status), self.settings(plan_of(status))
        if entry is None or settings is None:
            return ()
        if entry.requested_at is None:
            return self._turn_deadline(status, settings) if has_data(status, entry) else ()
        start = entry.requested_at + settings.start_timeout
        return start, start + settings.max_duration + JOB_SLACK

    def clean_up(self, _: BackupStatus, /) -> tuple[Action, ...]:
        """Nothing: the agent leaves nothing of what failed, and temporary claims are removed by the
        pass over what is left (reconcile/leftovers.py).
        """
        return ()

    def _ask(self, seen: Seen, entry: PointStatus, look: Making) -> Decision:
        """Write down that a point is asked for, or whose turn it is."""
        if look.problem:
            return _ended(seen, _failed(entry, look.problem))
        if wait := left(entry.retry_at, seen.now, 2 * LONGEST_TRY):
            return Decision(seen.status, after=wait)
        if not (busy := look.busy):
            asked = changed(entry, requested_at=seen.now, retry_at=None, message=None)
            return Decision(with_point(seen.status, asked), after=AT_ONCE)
        over = self.deadlines(with_point(seen.status, entry))
        if over and seen.now > max(over):
            return _ended(seen, _failed(entry, f"its turn never came{colon(busy)}"))
        waits = changed(entry, message=short(busy))
        return Decision(with_point(seen.status, waits), after=POLL)

    def _turn_deadline(self, status: BackupStatus, settings: JobSettings) -> tuple[datetime, ...]:
        """When a point is given up whose turn does not come."""
        entry = self.current(status)
        if entry is not None and (over := late_until(status, *entry.key)) is not None:
            return (over,)
        plan, begun = plan_of(status), attempt_deadline(status)
        longest = settings.start_timeout + settings.max_duration + JOB_SLACK
        points = sum(1 for p in plan.points if p.store == self.name)
        return (begun + plan.ready_timeout + points * longest,) if begun is not None else ()

    def _fail_or_retry(
        self, seen: Seen, entry: PointStatus, why: str, *actions: Action, for_good: bool = False
    ) -> Decision:
        """Fail a point of which nothing was made, or have it tried again if it may come late."""
        again = to_retry(seen.status, entry, why, seen.now)
        if again is None or for_good:
            return _ended(seen, _failed(entry, why), *actions)
        # The next Job takes the name of this one.
        cancel = actions or (self.cancel(entry.source),)
        return Decision(with_point(seen.status, again), cancel, POLL)

    def _behind_origins(self, status: BackupStatus) -> BackupStatus:
        """The status with what points wait for that are made of one that is not good yet, and with
        those failed whose origin has failed.
        """
        for entry in pending(status, self.name):
            origin = origin_of(status, *entry.key)
            if origin is not None and entry.requested_at is None:
                status = with_point(status, _behind(entry, origin))
        return status

    def _wait(self, seen: Seen, entry: PointStatus, look: Making) -> Decision:
        """Make the Job, or wait for it to start and to end."""
        settings = self.settings(plan_of(seen.status))
        waited = seen.now - (entry.requested_at or seen.now)
        if settings is not None and not look.job.started and waited > settings.start_timeout:
            late = f"not started within startTimeout ({settings.start_timeout})"
            cancel = (self.cancel(entry.source),) if look.job.exists else ()
            # What was refused is in the status, by who tried to make it.
            refused = "" if look.job.exists else seen.status.message or ""
            why = f"{late}{colon(look.message or refused)}"
            return self._fail_or_retry(seen, entry, why, *cancel)
        if (over := self.deadlines(seen.status)) and seen.now > max(over):
            limit = settings.max_duration if settings else None
            why = f"its Job did not end within maxDuration ({limit}): does the Job controller run?"
            return self._fail_or_retry(seen, entry, why, self.cancel(entry.source))
        start: tuple[Action, ...] = ()
        if not look.job.exists and not look.waits:
            start = (self.start(entry.source),)
        progress = look.progress or entry.progress
        words = look.message or (in_words(progress) if progress is not None else "")
        waits = changed(
            entry, job=look.job.name or None, progress=progress, message=short(words) or None
        )
        return Decision(with_point(seen.status, waits), start, POLL)


def _behind(entry: PointStatus, origin: PointStatus) -> PointStatus:
    store = _ORIGINS.get(origin.store, origin.store.lower())
    if origin.result is PointResult.FAILED:
        why = colon(origin.message or "")
        return _failed(entry, f"the {store} that it is made of failed{why}")
    if entry.tries:
        return entry  # What its last try said counts for more.
    waits = f"it waits until its {store} is ready" if origin.pending else None
    return changed(entry, message=waits)


def _how_it_ended(look: Making) -> str:
    """What a Job said that has ended and made nothing; "" if there may be more to it."""
    if not look.job.finished or look.result is not None or look.lost:
        return ""
    return look.message or look.job.message or "its Job ended without a word"


def _unasked(entry: PointStatus) -> PointStatus:
    return changed(entry, requested_at=None, job=None, progress=None, message=None)


def _ended(seen: Seen, entry: PointStatus, *actions: Action) -> Decision:
    return Decision(with_point(seen.status, entry), actions, AT_ONCE)


def _failed(entry: PointStatus, why: str) -> PointStatus:
    return changed(entry, result=PointResult.FAILED, progress=None, message=short(why))
