"""What a BackupRepository does next: one Job of its own at a time, decided before it is made.

Invariants: the name of a Job is written to the status before the Job is made, and taken from it
only together with what the Job said; so a process that dies at any moment leaves one Job, whose
answer the next process reads. A Job that was made for another spec says nothing about this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.repository import RepositorySpec
from backstay.api.repository_status import RepositoryStatus
from backstay.domain import naming
from backstay.domain.jobs import JobSeen, Step
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Brake
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.use import Task
from backstay.domain.stores.repository.users import Users

POLL: Final = timedelta(seconds=3)
"""Between two looks at a Job that runs."""
STALLED_POLL: Final = timedelta(seconds=20)
"""Between two looks at one that waits for something."""
LATEST: Final = timedelta(minutes=30)
"""Between two looks at a repository at most: clocks are set, and time is not all that changes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a BackupRepository and at the Job of its own that it names."""

    name: str
    namespace: str
    uid: str
    generation: int
    """Of the BackupRepository."""
    spec: RepositorySpec
    status: RepositoryStatus
    now: datetime
    job: JobSeen = field(default_factory=JobSeen)
    result: AgentResult | None = None
    """What that Job said, if it has ended and said something."""
    lines: Sequence[str] = ()
    """What it wrote before that."""
    movers: bool = False
    """Whether Jobs of runs or restores work on it."""
    alive: frozenset[str] = frozenset()
    """Host names of its Pods that are not over."""
    runs: Sequence[Run] = ()
    """The Backups of its namespace."""
    users: Users = field(default_factory=Users)
    """The RestoreRequests that use points."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """What a person asks for once, by check, prune, list and rebuild: the value of each."""
    created: datetime | None = None
    """When the BackupRepository was made."""
    namespace_uid: str = ""
    """Of the namespace itself, where it is asked for."""
    clock: Brake | None = None
    """Set: our clock is off, and nothing is removed."""

    @property
    def id(self) -> str:
        """The ID of its repository, "" if it is not known yet."""
        return self.status.id or ""

    def wants(self, what: str) -> bool:
        """Given check, prune, list or rebuild, return whether a person asks for it once more."""
        return what in self.asked and self.asked[what] != self.status.obeyed.get(what)


class Chore(Protocol):
    """One thing that is done with a repository, again and again, by a Job of its own."""

    task: Task
    deadline: timedelta
    """Of its Job."""

    def due(self, seen: Seen) -> datetime | None:
        """Given a look, return when it is to be done next; None: not as things are."""

    def step(self, seen: Seen) -> Step:
        """Given a look, return what its Job does."""

    def begun(self, seen: Seen) -> RepositoryStatus:
        """Given a look, return the status once its Job is decided on."""

    def waits(self, seen: Seen, why: str) -> RepositoryStatus:
        """Given a look and why its Job cannot start, return the status that says so."""

    def ended(self, seen: Seen) -> RepositoryStatus:
        """Given a look at its Job, which has ended or is lost, return what the status is to say."""

    def may_start(self, seen: Seen, /) -> bool:
        """Given a look after it was decided on, return whether its Job may be made now."""

    def given_up(self, seen: Seen, /) -> RepositoryStatus | None:
        """Given a look while its Job may not be made, return the status without that Job once it is
        not waited for any more; None: it is.
        """

    def outcome(self, seen: Seen, /) -> Outcome:
        """Given a look at its Job, which has ended, return what Backups are to show of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a Job has found or done, as Backups are to show it."""

    shown: Sequence[tuple[Run, BackupStatus]] = ()
    """Backups of which the status differs, and what it is to be."""
    imports: Sequence[tuple[Obj, BackupStatus]] = ()
    """Backups to be made, each with its status."""


class AtOnce:
    """What is alike in chores that start whatever else is at work."""

    def may_start(self, _: Seen, /) -> bool:
        """Its Job is made once it is decided on."""
        return True

    def given_up(self, _: Seen, /) -> RepositoryStatus | None:
        """It waits for nothing."""
        return None

    def outcome(self, _: Seen, /) -> Outcome:
        """Backups show nothing of it."""
        return Outcome()


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from a look: the status is written first, then the Jobs follow."""

    status: RepositoryStatus
    after: timedelta
    """Until the next look."""
    start: Chore | None = None
    """Make the Job that the status names, unless it is there."""
    outcome: Outcome = field(default_factory=Outcome)
    """What Backups are to show, before all else is written."""
    forget: str = ""
    """The Job that is not needed any more, as all that it said is written."""


def plan(seen: Seen, chores: Sequence[Chore]) -> Plan:
    """Given a look and what there is to do, the most urgent first, return what follows."""
    if seen.status.job is None:
        return _begin(seen, chores)
    chore = next((c for c in chores if c.task == seen.status.work), None)
    name = seen.status.job
    if chore is None or name != job_name(seen, seen.status):
        return _outdated(seen, name)
    if not seen.job.exists:
        return _before_its_job(seen, chore)
    if seen.job.finished or not seen.job.ours:
        free = without_job(chore.ended(seen))
        forget = name if seen.job.ours else ""
        return Plan(free, POLL, outcome=chore.outcome(seen), forget=forget)
    if seen.job.stalled:
        return Plan(chore.waits(seen, seen.job.message), STALLED_POLL)
    return Plan(seen.status, POLL)


def job_name(seen: Seen, status: RepositoryStatus) -> str:
    """Given a look and a status, return the name of the Job that this status decides on."""
    what = (status.work or "").lower()
    return naming.agent_job_name(what, seen.name, seen.uid, str(seen.generation), str(status.jobs))


def token(seen: Seen) -> str:
    """Given a look, return what marks the Jobs of this repository as its own."""
    return seen.uid


def is_due(chore: Chore, seen: Seen) -> bool:
    """Given a chore and a look, return whether it is to be done now."""
    at = chore.due(seen)
    return at is not None and at <= seen.now


def _begin(seen: Seen, chores: Sequence[Chore]) -> Plan:
    due: Mapping[Task, datetime] = {c.task: at for c in chores if (at := c.due(seen)) is not None}
    chore = next((c for c in chores if c.task in due and due[c.task] <= seen.now), None)
    if chore is None:
        left = min((at - seen.now for at in due.values()), default=LATEST)
        return Plan(seen.status, min(left, LATEST))
    decided = changed(
        chore.begun(seen), jobs=seen.status.jobs + 1, work=chore.task.value, work_began=seen.now
    )
    decided = changed(decided, job=job_name(seen, decided))
    # What keeps others from starting is written first, and who is at work is looked at after it.
    waits = chore.task is Task.MAINTAIN
    return Plan(decided, timedelta(0) if waits else POLL, start=None if waits else chore)


def _before_its_job(seen: Seen, chore: Chore) -> Plan:
    if chore.may_start(seen):
        return Plan(seen.status, POLL, start=chore)
    given_up = chore.given_up(seen)
    return Plan(given_up if given_up is not None else seen.status, POLL)


def _outdated(seen: Seen, name: str) -> Plan:
    """A Job that was made for another spec. One that runs is waited for: two that make a repository
    at the same time would make two.
    """
    if seen.job.started and not seen.job.finished:
        return Plan(seen.status, POLL)
    ours = seen.job.exists and seen.job.ours
    return Plan(without_job(seen.status), timedelta(0), forget=name if ours else "")


def without_job(status: RepositoryStatus) -> RepositoryStatus:
    """Given a status, return it as it is while no Job of its own works on it."""
    return changed(status, job=None, work=None, work_began=None)
