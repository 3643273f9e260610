"""One Job of a repository at a time: decided, made, waited for, read, deleted, in this order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from tests.support.repository_looks import NOW, after, known, seen

from backstay.api.common import changed
from backstay.api.repository_status import RepositoryStatus
from backstay.domain.jobs import JobSeen, Step
from backstay.domain.stores.repository.use import Task
from backstay.domain.stores.repository.work import (
    LATEST,
    POLL,
    STALLED_POLL,
    AtOnce,
    Seen,
    plan,
)


@dataclass
class Errand(AtOnce):
    """A Chore that is due when the test says so."""

    task: Task
    at: datetime | None = NOW
    deadline: timedelta = timedelta(minutes=1)
    waited: list[str] = field(default_factory=list)

    def due(self, _: Seen) -> datetime | None:
        return self.at

    def step(self, _: Seen) -> Step:
        return Step(self.task, "{}")

    def begun(self, look: Seen) -> RepositoryStatus:
        return look.status

    def waits(self, look: Seen, why: str) -> RepositoryStatus:
        self.waited.append(why)
        return look.status

    def ended(self, look: Seen) -> RepositoryStatus:
        return changed(look.status, snapshots=7)


OPEN, LIST = Errand(Task.OPEN), Errand(Task.LIST)
LATER = NOW + timedelta(minutes=3)


def test_the_most_urgent_of_what_is_due_is_decided_on_and_then_started() -> None:
    decided = plan(seen(), (OPEN, LIST))

    assert decided.start is OPEN
    assert (decided.status.work, decided.status.jobs) == ("Open", 1)
    assert decided.status.work_began == NOW
    assert decided.status.job is not None
    assert decided.status.job.startswith("offsite-open-")

    only = plan(seen(), (Errand(Task.OPEN, LATER), LIST))
    assert only.start is LIST


@pytest.mark.parametrize(
    ("at", "wait"),
    [(LATER, timedelta(minutes=3)), (NOW + timedelta(hours=9), LATEST), (None, LATEST)],
)
def test_while_nothing_is_due_the_next_look_is_when_something_is(
    at: datetime | None, wait: timedelta
) -> None:
    rest = plan(seen(status=known()), (Errand(Task.OPEN, at),))

    assert rest.start is None
    assert rest.after == wait
    assert rest.status == known()


def test_a_process_that_died_before_the_job_was_made_makes_the_very_same() -> None:
    look = after(plan(seen(), (OPEN,)), seen())

    again = plan(look, (OPEN,))

    assert again.start is OPEN
    assert again.status == look.status


def test_each_job_has_a_name_of_its_own() -> None:
    names = set()
    look = seen()
    for _ in range(3):
        decided = plan(look, (OPEN,))
        names.add(decided.status.job)
        ended = after(decided, look, JobSeen(exists=True, started=True, succeeded=True))
        look = after(plan(ended, (OPEN,)), look)
    assert len(names) == 3
    assert plan(seen(uid="another"), (OPEN,)).status.job not in names
    assert plan(seen(generation=2), (OPEN,)).status.job not in names


def test_a_job_that_runs_is_waited_for() -> None:
    look = after(plan(seen(), (OPEN,)), seen(), JobSeen(exists=True, started=True))

    waiting = plan(look, (OPEN,))

    assert (waiting.start, waiting.forget, waiting.after) == (None, "", POLL)
    assert waiting.status == look.status


def test_one_that_cannot_start_is_reported() -> None:
    errand = Errand(Task.OPEN)
    job = JobSeen(exists=True, stalled=True, message="exceeded quota")

    waiting = plan(after(plan(seen(), (errand,)), seen(), job), (errand,))

    assert errand.waited == ["exceeded quota"]
    assert waiting.after == STALLED_POLL


def test_one_that_has_ended_is_read_and_forgotten_in_the_same_look() -> None:
    job = JobSeen(exists=True, started=True, succeeded=True)
    look = after(plan(seen(), (OPEN,)), seen(), job)

    done = plan(look, (OPEN,))

    assert done.status.snapshots == 7
    assert (done.status.job, done.status.work, done.status.work_began) == (None, None, None)
    assert done.forget == look.status.job


def test_one_of_somebody_else_is_never_deleted() -> None:
    job = JobSeen(exists=True, ours=False)

    done = plan(after(plan(seen(), (OPEN,)), seen(), job), (OPEN,))

    assert done.forget == ""
    assert done.status.job is None


@pytest.mark.parametrize(
    ("job", "waits", "forgets"),
    [
        (JobSeen(), False, False),
        (JobSeen(exists=True), False, True),
        (JobSeen(exists=True, started=True), True, False),
        (JobSeen(exists=True, started=True, succeeded=True), False, True),
        (JobSeen(exists=True, ours=False), False, False),
    ],
)
def test_what_was_made_for_another_spec_says_nothing_and_is_not_run_beside_the_next(
    job: JobSeen, waits: bool, forgets: bool
) -> None:
    look = after(plan(seen(), (OPEN,)), seen(), job, generation=2)

    found = plan(look, (OPEN,))

    assert found.start is None
    assert found.status.snapshots is None
    assert (found.status.job == look.status.job) is waits
    assert (found.forget == look.status.job) is forgets
