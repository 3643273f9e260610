"""A restore of a directory: refused, held, run or ended, with true words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.builders import NOW

from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import RestoreItem, RestorePhase, RestoreStatus, RestoreTarget
from backstay.domain.errors import UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.items import HOLD_PATIENCE, HOLD_WAIT, Seen, Step
from backstay.domain.restore.machine import Decision, decide, in_line
from backstay.domain.restore.sights import ItemSeen, StoreSeen, TargetSeen
from backstay.domain.restore.words import too_late
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.copies.restore import fill_of

IN_USE = UserError("ClaimInUse", "spec.directory.inPlace: claim data is in use by Pod app; stop it")
COPYING = "waits for the copy under way (Backup shop-1)"
RUNNING = JobSeen(name="restore", exists=True, started=True)
NO_JOB = JobSeen()


def look(
    job: JobSeen = NO_JOB,
    result: AgentResult | None = None,
    rest: JobSeen = NO_JOB,
    refusal: UserError | None = None,
    **point: Any,
) -> ItemSeen:
    """A look at a directory: `point` is what its store sees of the copy."""
    fill = fill_of(job, result, rest)
    return ItemSeen(StoreSeen(fill=fill, **point), TargetSeen(shared=True, refusal=refusal))


def decided(
    status: RestoreStatus, now: datetime = NOW, *, unheld: bool = False, **values: Any
) -> Decision:
    seen = Seen(now=now, generation=1, status=status, items=[look(**values)], may_go_unheld=unheld)
    return decide(seen)


def restoring(ago: timedelta = timedelta(0), **values: Any) -> Decision:
    """What is decided on a request that was asked to be held so long ago."""
    entry = RestoreItem(
        source="data",
        store="Rolling",
        ref="S",
        target=RestoreTarget.IN_PLACE,
        claim="data",
        into="data",
        claimed_at=NOW - ago,
    )
    status = RestoreStatus(phase=RestorePhase.RESTORING, items=(entry,), into="data")
    return decided(status, **values)


def ended(decision: Decision, **values: Any) -> Decision:
    """The round after a failure was written down."""
    assert decision.status.items[0].failed
    assert decision.actions == ()
    return decided(decision.status, **values)


def steps(decision: Decision) -> list[Step]:
    return [action.step for action in decision.actions]


@pytest.mark.parametrize("held", [False, True])
def test_what_stands_against_a_request_that_waits_ends_it_in_its_own_words(held: bool) -> None:
    noted = restoring(held=held, refusal=IN_USE)
    decision = ended(noted, held=held, refusal=IN_USE)

    assert decision.status.phase is RestorePhase.FAILED
    assert noted.status.message == decision.status.message == IN_USE.message
    assert steps(decision) == [Step.STOP, Step.UNDO, Step.RELEASE]


def test_what_comes_up_while_its_job_runs_is_left_to_the_job() -> None:
    decision = restoring(held=True, job=RUNNING, refusal=IN_USE)

    assert decision.status.phase is RestorePhase.RESTORING


@pytest.mark.parametrize("over", [False, True])
def test_a_job_of_that_name_that_somebody_else_made_is_never_taken_for_the_restore(
    over: bool,
) -> None:
    other = JobSeen(name="restore-x", exists=True, ours=False, started=True, succeeded=over)
    decision = ended(restoring(held=True, job=other), job=other)

    assert decision.status.phase is RestorePhase.FAILED
    assert not {Step.FILL, Step.DISCARD} & {*steps(decision)}
    assert "Job restore-x was made by somebody else" in (decision.status.message or "")


def test_a_point_that_is_not_held_in_time_is_given_up() -> None:
    decision = ended(restoring(HOLD_WAIT + timedelta(seconds=1)))

    assert decision.status.phase is RestorePhase.FAILED
    assert "its store does not answer" in (decision.status.message or "")


def test_a_copy_of_hours_uses_up_none_of_the_time_to_hold_the_point() -> None:
    decision = restoring(HOLD_WAIT * 6, busy=COPYING)

    status = decision.status
    assert status.phase is RestorePhase.RESTORING
    assert (status.message, status.items[0].failed) == (COPYING, None)
    assert steps(decision) == []
    # Afterwards there is time left, and it can end.
    assert not decided(status, NOW + HOLD_WAIT / 3).status.items[0].failed
    assert decided(status, NOW + HOLD_WAIT * 2).status.items[0].failed


def test_waiting_for_a_copy_writes_no_status_at_each_look() -> None:
    first = restoring(timedelta(minutes=1), busy=COPYING).status
    again = decided(first, NOW + timedelta(seconds=15), busy=COPYING)

    assert again.status == first


def test_no_job_is_made_beside_a_copy_as_it_would_only_find_the_destination_locked() -> None:
    decision = restoring(held=True, busy=COPYING)
    assert (decision.enters, steps(decision)) == (False, [])
    turn = restoring(held=True)
    assert steps(decided(turn.status, held=True, busy=COPYING)) == []


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
    soon = restoring(HOLD_PATIENCE / 2, unheld=True)
    late = restoring(HOLD_PATIENCE * 2, unheld=True, hold_trouble="it is read-only")

    assert (soon.enters, steps(soon), soon.status.acknowledged) == (False, [Step.HOLD], ())
    assert late.enters
    (used,) = late.status.acknowledged
    assert (used.word, used.message) == ("NotHeld", "the point is not held: it is read-only")


def test_a_held_point_uses_no_word() -> None:
    decision = restoring(HOLD_PATIENCE * 2, held=True, unheld=True)

    assert (decision.enters, decision.status.acknowledged) == (True, ())


def test_a_job_is_made_only_after_its_turn_was_taken() -> None:
    first = restoring(held=True)
    assert (first.enters, steps(first)) == (True, [])
    assert first.status.items[0].started_at == NOW

    then = decided(first.status, held=True)
    assert (then.enters, steps(then)) == (False, [Step.FILL])


def test_who_waits_for_a_turn_learns_for_whom_and_takes_none() -> None:
    seen = Seen(now=NOW, generation=1, status=restoring().status, items=[look(held=True)])
    decision = in_line(seen, decide(seen), "RestoreRequest other")

    assert decision.status.items[0].started_at is None
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
    noted = restoring(held=True, job=KILLED, rest=rest)
    decision = ended(noted, job=KILLED, rest=rest)

    assert (Step.DISCARD in steps(decision), decision.status.phase) == (discards, phase)
    assert words in (decision.status.message or "")


def test_a_failure_in_place_keeps_what_it_said_of_the_way_back() -> None:
    raw = {"safety": {"stamp": "2026-11-24T000000Z"}, "acknowledged": {"TooLittleRoom": "full"}}
    result = AgentResult(ok=False, reason="Failed", message="No space left on device", raw=raw)
    noted = restoring(held=True, job=RUNNING, result=result)
    # Its Job goes an hour after its end: what it said is written down in the round before.
    status = ended(noted).status

    assert (status.phase, status.message) == (RestorePhase.FAILED, "No space left on device")
    assert status.items[0].safety == "2026-11-24T000000Z"
    assert [one.word for one in status.acknowledged] == ["TooLittleRoom"]
