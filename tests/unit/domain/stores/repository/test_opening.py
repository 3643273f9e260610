"""When a repository is opened, and what the answer of its Job says about it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.repository_looks import ID, NOW, answered, condition, known, seen, spec

from backstay.api.repository_status import RepositoryStatus
from backstay.domain.jobs import JobSeen
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.opening import (
    AGAIN,
    LONGEST,
    SOONEST,
    SPREAD,
    TRUSTED,
    Opening,
    ready_of,
)

OPENING = Opening()
ENDED = JobSeen(name="job", exists=True, started=True, succeeded=True)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def ended(result: AgentResult | None, **values: Any) -> RepositoryStatus:
    status = values.pop("status", RepositoryStatus(job="job", work="Open"))
    return OPENING.ended(seen(status=status, **{"job": ENDED, "result": result, **values}))


def said(status: RepositoryStatus) -> tuple[str, str, str]:
    ready = ready_of(status)
    assert ready is not None
    return ready.status, ready.reason, ready.message


def opened(**fields: Any) -> AgentResult:
    usual: dict[str, Any] = {"id": ID, "format": 2, "restic": "0.19.1", "snapshots": 3}
    return answered("Opened", **usual | fields)


def test_one_that_was_never_looked_at_is_due() -> None:
    assert OPENING.due(seen()) == NOW


def test_one_whose_spec_has_changed_is_due() -> None:
    assert OPENING.due(seen(status=known(), generation=2)) == NOW


def test_one_that_is_ready_is_due_after_an_hour_and_not_all_at_once() -> None:
    looks = [seen(status=known(ago=MINUTE), uid=str(n)) for n in range(50)]

    due = [at for look in looks if (at := OPENING.due(look)) is not None]

    first, last = NOW - MINUTE + AGAIN, NOW - MINUTE + AGAIN + timedelta(seconds=SPREAD)
    assert all(first <= at < last for at in due)
    assert len(set(due)) > 25


@given(st.integers(0, 10**6))
def test_one_that_fails_is_due_ever_later_within_minutes(seconds: int) -> None:
    failing = timedelta(seconds=seconds)
    status = known(ready=condition("False", "Unreachable", ago=failing))

    due = OPENING.due(seen(status=status))

    assert due == NOW + min(max(failing, SOONEST), LONGEST)


def test_a_clock_that_was_ahead_does_not_keep_it_from_being_looked_at() -> None:
    assert OPENING.due(seen(status=known(ago=-HOUR))) == NOW


def test_while_movers_have_its_claim_one_that_is_ready_waits() -> None:
    claimed = spec(claim={"name": "disk"})
    ready = known(ago=2 * HOUR)
    failing = known(ready=condition("False", "Full", ago=HOUR))

    assert OPENING.due(seen(status=ready, spec=claimed, movers=True)) is None
    assert OPENING.due(seen(status=ready, spec=claimed)) is not None
    # On a server nobody keeps anybody out.
    assert OPENING.due(seen(status=ready, movers=True)) is not None
    assert OPENING.due(seen(status=failing, spec=claimed, movers=True)) is not None


@pytest.mark.parametrize(
    ("values", "id", "expected"),
    [
        ({}, None, True),
        ({}, ID, False),
        ({"initialise": "Never"}, None, False),
        ({"initialise": "Never", "access": "ReadOnly"}, None, False),
        ({"access": "AppendOnly"}, None, True),
    ],
)
def test_a_repository_is_made_only_while_none_is_known_and_it_is_wanted(
    values: dict[str, Any], id: str | None, expected: bool
) -> None:
    task = OPENING.step(seen(spec=spec(**values), status=RepositoryStatus(id=id))).task

    assert json.loads(task)["initialise"] is expected


def test_an_answer_gives_the_status_its_numbers() -> None:
    status = ended(opened(bytes=12))

    assert said(status) == ("True", "Opened", "repository 01234567 has 3 snapshots")
    assert (status.id, status.format, status.restic) == (ID, 2, "0.19.1")
    assert (status.snapshots, status.bytes, status.opened_at) == (3, 12, NOW)
    assert (status.tried_at, status.observed_generation) == (NOW, 1)


@pytest.mark.parametrize("fields", [{"bytes": None}, {"bytes": -1}, {"bytes": "much"}, {}])
def test_a_size_that_nobody_knows_is_left_out(fields: dict[str, Any]) -> None:
    assert ended(opened(**fields), status=known(bytes=7)).bytes is None


def test_keys_that_are_not_used_are_named() -> None:
    names = [f"KEY_{n}" for n in range(9)]

    _, _, message = said(ended(opened(ignored=names)))

    assert message.endswith(f"keys of Secret s3 that are not used: {', '.join(names[:8])}, ...")


@pytest.mark.parametrize("id", ["", "x" * 64, ID[:8], 7, None])
def test_an_answer_without_an_id_is_not_believed(id: Any) -> None:
    status = ended(opened(id=id))

    assert said(status)[:2] == ("False", "AnswerNotUnderstood")
    assert status.id is None


@pytest.mark.parametrize("reason", ["Opened", "Initialised"])
def test_an_id_that_is_known_is_never_changed(reason: str) -> None:
    other = "f" * 64

    status = ended(answered(reason, id=other), status=known())

    assert said(status)[:2] == ("False", "Replaced")
    assert said(status)[2].startswith("repository ffffffff is where 01234567 was; bring")
    assert status.id == ID


def test_a_refusal_is_said_with_what_to_do_about_it() -> None:
    status = ended(answered("WrongPassword", ok=False, message="no key opens."))

    assert said(status) == ("False", "WrongPassword", "no key opens; the Secret is s3")
    assert (status.tried_at, status.observed_generation) == (NOW, 1)


NO_WORD = ended(None, job=replace(ENDED, succeeded=False, failed=True, message="OOMKilled"))
THEIRS = ended(None, job=replace(ENDED, ours=False))


def test_a_job_without_an_answer_is_reported() -> None:
    assert said(NO_WORD)[:2] == ("False", "JobFailed")
    assert "has ended without an answer (OOMKilled)" in said(NO_WORD)[2]
    assert "made by somebody else" in said(THEIRS)[2]


def test_what_kept_a_job_from_starting_is_still_said_when_it_is_over() -> None:
    waiting = OPENING.waits(seen(status=RepositoryStatus(job="job")), "0/3 nodes are available")
    assert said(waiting)[:2] == ("Unknown", "JobWaits")

    status = ended(None, status=waiting, job=replace(ENDED, succeeded=False, failed=True))

    assert said(status)[:2] == ("False", "JobFailed")
    assert said(status)[2].endswith("Job job has not started: 0/3 nodes are available")


@pytest.mark.parametrize(
    ("ago", "status"), [(MINUTE, "True"), (TRUSTED - MINUTE, "True"), (TRUSTED, None)]
)
def test_a_job_that_does_not_run_says_nothing_about_a_repository_for_a_day(
    ago: timedelta, status: str | None
) -> None:
    was = known(ago=ago, job="job")

    waits = OPENING.waits(seen(status=was), "no room")
    failed = ended(None, status=was)

    assert said(waits)[:2] == (status or "Unknown", "JobWaits")
    assert said(failed)[:2] == (status or "False", "JobFailed")
    assert ("it was last opened at" in said(failed)[2]) == (status == "True")


def test_one_that_was_not_looked_at_is_tried_again_soon() -> None:
    failed = known(ready=condition("True", "JobFailed", ago=HOUR), opened_at=NOW - HOUR)

    assert OPENING.due(seen(status=failed)) == NOW + LONGEST


def test_the_first_look_is_announced_and_later_ones_leave_what_was_said() -> None:
    assert said(OPENING.begun(seen()))[:2] == ("Unknown", "Opening")
    assert OPENING.begun(seen(status=known())) == known()


@given(
    st.dictionaries(
        st.sampled_from(["id", "format", "restic", "snapshots", "bytes", "ignored"]),
        st.none() | st.integers() | st.text() | st.lists(st.integers() | st.text()) | st.just(ID),
    ),
    st.text(max_size=200),
)
def test_whatever_a_job_says_the_status_can_be_written(fields: dict[str, Any], reason: str) -> None:
    status = ended(answered(reason, **fields))

    assert RepositoryStatus.model_validate(status.dump()) == status
    ready = ready_of(status)
    assert ready is not None
    assert ready.status == "False" or status.id == ID
