"""A restore of a directory: refused, held, run or ended, with true words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW

from backstay.api.restore import RestoredDirectory, RestorePhase, RestoreSpec, RestoreStatus
from backstay.domain.errors import UserError
from backstay.domain.job_sights import JobSeen
from backstay.domain.rolling_restore import HOLD_WAIT, Decision, Seen, decide, too_late

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
