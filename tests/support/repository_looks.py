"""Looks at a BackupRepository, as its reconciler has them, for tests of what follows from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backstay.api.common import Condition
from backstay.api.repository import RepositorySpec
from backstay.api.repository_status import RepositoryStatus
from backstay.domain.jobs import JobSeen
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.work import Chore, Plan, Seen, plan

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef" * 4


def spec(**values: Any) -> RepositorySpec:
    return RepositorySpec.model_validate({"secretRef": {"name": "s3"}, **values})


def seen(*, status: RepositoryStatus | None = None, **values: Any) -> Seen:
    """A look: of a repository that was just made, unless values say something else."""
    given = {
        "name": "offsite",
        "namespace": "team",
        "uid": "0c5a7e11",
        "generation": 1,
        "spec": spec(),
        "now": NOW,
    }
    return Seen(**{**given, "status": status or RepositoryStatus(), **values})


def condition(
    status: str = "True", reason: str = "Opened", *, ago: timedelta = timedelta(0)
) -> Any:
    """The condition Ready, that has had its status for so long."""
    return Condition(
        type="Ready",
        status=status,
        reason=reason,
        message="",
        observed_generation=1,
        last_transition_time=NOW - ago,
    )


def known(*, ago: timedelta = timedelta(0), ready: Any = None, **values: Any) -> RepositoryStatus:
    """The status of a repository that was looked at so long ago."""
    given = {
        "id": ID,
        "observed_generation": 1,
        "tried_at": NOW - ago,
        "opened_at": NOW - ago,
        "conditions": (ready or condition(ago=ago),),
    }
    return RepositoryStatus(**{**given, **values})


def answered(reason: str, *, ok: bool = True, message: str = "", **fields: Any) -> AgentResult:
    return AgentResult(ok, reason, message, fields)


def after(plan_: Plan, look: Seen, job: JobSeen | None = None, **values: Any) -> Seen:
    """The next look, once what a plan says is done."""
    return replace(look, status=plan_.status, job=job or JobSeen(), **values)


def begun(chores: tuple[Chore, ...], look: Seen) -> Seen:
    """The look at a Job that was decided on and is there."""
    return after(plan(look, chores), look, JobSeen(name="job", exists=True))
