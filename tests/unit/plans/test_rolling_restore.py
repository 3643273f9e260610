"""A restore of a directory: refused, held, run or ended, with true words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW

from backstay.api.restore import RestoredDirectory, RestorePhase, RestoreStatus
from backstay.domain.errors import UserError
from backstay.domain.job_sights import JobSeen
from backstay.domain.rolling_restore import Decision, Seen, decide

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
