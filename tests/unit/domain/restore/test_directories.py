"""A restore of a directory: refused, held, run or ended, with true words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW

from backstay.api.restore import RestoredDirectory, RestorePhase, RestoreSpec, RestoreStatus
from backstay.domain.errors import UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.directories import (
    HOLD_PATIENCE,
    HOLD_WAIT,
    Decision,
    Seen,
    decide,
    in_line,
    too_late,
)
from backstay.domain.stores.copies.agent_result import AgentResult

IN_USE = UserError("ClaimInUse", "spec.directory.inPlace: claim data is in use by Pod app; stop it")
RUNNING = JobSeen(name="restore", exists=True, started=True)


def restoring(ago: timedelta = timedelta(0), **values: Any) -> Decision:
    """What is decided on a request that was asked to be held so long ago."""
    entry = RestoredDirectory(source="data", stamp="S", into="data", claimed_at=NOW - ago)
    status = RestoreStatus(phase=RestorePhase.RESTORING, directory=entry, into="data")
    return decide(Seen(now=NOW, generation=1, status=status, **values))


@pytest.mark.parametrize("held", [False, True])
def test_what_stands_against_a_request_that_waits_ends_it_in_its_own_words(held: bool) -> None:
    decision = restoring(held=held, refusal=IN_USE)

    assert decision.status.phase is RestorePhase.FAILED
    assert (decision.status.message, decision.start) == (IN_USE.message, False)


def test_what_comes_up_while_its_job_runs_is_left_to_the_job() -> None:
    decision = restoring(held=True, job=RUNNING, refusal=IN_USE)

    assert decision.status.phase is RestorePhase.RESTORING


@pytest.mark.parametrize("ended", [False, True])
def test_a_job_of_that_name_that_somebody_else_made_is_never_taken_for_the_restore(
    ended: bool,
) -> None:
    other = JobSeen(name="restore-x", exists=True, ours=False, started=True, succeeded=ended)
    decision = restoring(held=True, job=other)

    assert (decision.status.phase, decision.start) == (RestorePhase.FAILED, False)
    assert "Job restore-x was made by somebody else" in (decision.status.message or "")


def test_a_point_that_is_not_held_in_time_is_given_up() -> None:
    decision = restoring(HOLD_WAIT + timedelta(seconds=1))

    assert decision.status.phase is RestorePhase.FAILED
    assert "its destination does not answer" in (decision.status.message or "")


def test_a_copy_of_hours_uses_up_none_of_the_time_to_hold_the_point() -> None:
    decision = restoring(HOLD_WAIT * 6, copying="shop-1")

    status = decision.status
    assert status.phase is RestorePhase.RESTORING
    assert status.message == "waits for the copy under way (Backup shop-1)"
    assert not decision.start
    # Afterwards there is time left, and it can end.
    after = Seen(now=NOW + HOLD_WAIT / 3, generation=1, status=status)
    assert decide(after).status.phase is RestorePhase.RESTORING
    late = Seen(now=NOW + HOLD_WAIT * 2, generation=1, status=status)
    assert decide(late).status.phase is RestorePhase.FAILED


def test_waiting_for_a_copy_writes_no_status_at_each_look() -> None:
    first = restoring(timedelta(minutes=1), copying="shop-1").status
    later = NOW + timedelta(seconds=15)
    again = decide(Seen(now=later, generation=1, status=first, copying="shop-1"))

    assert again.status == first


def test_no_job_is_made_beside_a_copy_as_it_would_only_find_the_destination_locked() -> None:
    assert not restoring(held=True, copying="shop-1").start


@pytest.mark.parametrize(
    ("ours", "skew", "late"),
    [
        (-1, None, False),
        (1, None, True),
        (-1, 0, False),
        (1, 0, True),
        (-1, -3, True),
        (2, 3, True),
    ],
)
def test_a_request_is_too_late_by_whichever_clock_says_so(
    ours: int, skew: int | None, late: bool
) -> None:
    asked = {"from": {"backup": "b"}, "directory": {"inPlace": {}}, "notAfter": NOW.isoformat()}
    ahead = None if skew is None else timedelta(hours=skew)
    refusal = too_late(
        RestoreSpec.model_validate({**asked, "claims": [CLAIM]}), NOW + timedelta(hours=ours), ahead
    )
    assert (refusal is not None) is late


CLAIM = {"claim": "data", "to": {"newClaim": {"name": "r"}}}


def test_a_point_that_cannot_be_held_is_given_up_with_the_reason_and_the_word() -> None:
    why = "relabel: the destination is read-only"
    decision = restoring(HOLD_WAIT + timedelta(seconds=1), hold_trouble=why)

    message = decision.status.message or ""
    assert why in message
    assert "add NotHeld to spec.acknowledge" in message
    assert why in (restoring(hold_trouble=why).status.message or "")


def test_a_person_may_have_a_point_restored_that_is_not_held() -> None:
    soon = restoring(HOLD_PATIENCE / 2, may_go_unheld=True)
    late = restoring(HOLD_PATIENCE * 2, may_go_unheld=True, hold_trouble="it is read-only")

    assert (soon.enters, soon.start, soon.status.acknowledged) == (False, False, ())
    assert late.enters
    (used,) = late.status.acknowledged
    assert (used.word, used.message) == ("NotHeld", "the point is not held: it is read-only")


def test_a_held_point_uses_no_word() -> None:
    decision = restoring(HOLD_PATIENCE * 2, held=True, may_go_unheld=True)

    assert (decision.enters, decision.status.acknowledged) == (True, ())


def test_a_job_is_made_only_after_its_turn_was_taken() -> None:
    first = restoring(held=True)
    assert (first.enters, first.start) == (True, False)
    assert first.status.directory is not None
    assert first.status.directory.started_at == NOW

    then = decide(Seen(now=NOW, generation=1, status=first.status, held=True))
    assert (then.enters, then.start) == (False, True)


def test_who_waits_for_a_turn_learns_for_whom_and_takes_none() -> None:
    seen = Seen(now=NOW, generation=1, status=restoring().status, held=True)
    decision = in_line(seen, "RestoreRequest other")

    assert decision.status.directory is not None
    assert decision.status.directory.started_at is None
    assert "waits for its turn: RestoreRequest other" in (decision.status.message or "")


KILLED = JobSeen(name="restore", exists=True, failed=True, message="BackoffLimitExceeded")


@pytest.mark.parametrize(
    ("rest", "discards", "phase", "words"),
    [
        (JobSeen(), True, RestorePhase.RESTORING, "what is left is being removed"),
        (JobSeen(exists=True, started=True), False, RestorePhase.RESTORING, "being removed"),
        (JobSeen(exists=True, succeeded=True), False, RestorePhase.FAILED, "BackoffLimitExceeded"),
        (
            JobSeen(exists=True, failed=True, message="DeadlineExceeded"),
            False,
            RestorePhase.FAILED,
            "could not be removed: DeadlineExceeded",
        ),
        (JobSeen(exists=True, ours=False), False, RestorePhase.FAILED, "could not be removed"),
    ],
    ids=["none yet", "at work", "done", "failed", "foreign"],
)
def test_a_job_that_ended_without_a_word_is_cleaned_up_after(
    rest: JobSeen, discards: bool, phase: RestorePhase, words: str
) -> None:
    decision = restoring(held=True, job=KILLED, rest=rest)

    assert (decision.discard, decision.status.phase) == (discards, phase)
    assert words in (decision.status.message or "")


def test_a_failure_in_place_keeps_what_it_said_of_the_way_back() -> None:
    raw = {"safety": {"stamp": "2026-11-24T000000Z"}, "acknowledged": {"TooLittleRoom": "full"}}
    result = AgentResult(ok=False, reason="Failed", message="No space left on device", raw=raw)
    decision = restoring(held=True, job=RUNNING, result=result)

    status = decision.status
    assert (status.phase, status.message) == (RestorePhase.FAILED, "No space left on device")
    assert status.directory is not None
    assert status.directory.safety == "2026-11-24T000000Z"
    assert [one.word for one in status.acknowledged] == ["TooLittleRoom"]
