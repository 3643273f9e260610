"""The mover killed at every stage: what it leaves is no half point, and the next try is whole."""

from __future__ import annotations

import os
import signal

import pytest
from tests.faults.repository.between import Between, Refusal
from tests.faults.repository.harness import Depot
from tests.faults.repository.storing import backup, records, task, whole
from tests.faults.repository.watched import dies_at, watched

LOST = Refusal(500, b"")
"""Of no interest to anybody: whoever asked is dead."""
DATA, RECORD = 0, 1
"""Which of the two uploads of a run."""
STAGES = {
    "before its first look": ("GET .*prefix=[^&]*snapshots", 0, "before"),
    "before the lock": ("PUT .*/locks/", DATA, "before"),
    "with the lock": ("PUT .*/locks/", DATA, "after"),
    "before the first pack": ("PUT .*/data/", 0, "before"),
    "between two packs": ("PUT .*/data/", 0, "after"),
    "before the index": ("PUT .*/index/", DATA, "before"),
    "with an index and no snapshot": ("PUT .*/index/", DATA, "after"),
    "before the snapshot": ("PUT .*/snapshots/", DATA, "before"),
    "with the snapshot": ("PUT .*/snapshots/", DATA, "after"),
    "before the lock's removal": ("DELETE .*/locks/", DATA, "before"),
    "before the data is listed": ("GET .*prefix=[^&]*snapshots", 1, "before"),
    "before the record's lock": ("PUT .*/locks/", RECORD, "before"),
    "before the record's packs": ("PUT .*/data/", 2, "before"),
    "before the record's index": ("PUT .*/index/", RECORD, "before"),
    "before the record": ("PUT .*/snapshots/", RECORD, "before"),
    "with the record": ("PUT .*/snapshots/", RECORD, "after"),
    "before the record is listed": ("GET .*prefix=[^&]*snapshots", 2, "before"),
}
STORED_BY_THEN = {"with the record", "before the record is listed"}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_request_the_next_try_is_whole(
    watched_by: Depot, between: Between, stage: str
) -> None:
    wanted, skip, moment = STAGES[stage]
    process = watched_by.start("repository-backup", watched_by.task(**task(watched_by)))

    def kill() -> Refusal:
        os.kill(process.pid, signal.SIGKILL)
        return LOST

    between.at(wanted, **{moment: kill}, skip=skip, times=1)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(records(watched_by)) == (stage in STORED_BY_THEN)

    again = backup(watched_by)

    reason = "AlreadyStored" if stage in STORED_BY_THEN else "Stored"
    assert (again.code, again.reason) == (0, reason), again
    whole(watched_by, again.result["data"])


@pytest.mark.parametrize("call", range(1, 8))
def test_killed_before_any_call_of_restic_the_next_try_is_whole(made: Depot, call: int) -> None:
    dying = watched(made, dies_at(call))
    process = dying.start("repository-backup", dying.task(**task(made)))
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    again = backup(made)

    assert (again.code, again.reason) == (0, "Stored" if call < 7 else "AlreadyStored"), again
    whole(made, again.result["data"])
