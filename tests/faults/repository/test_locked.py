"""Locks of others: named, waited for, and in nobody's way who need not care."""

from __future__ import annotations

import os
import threading

from tests.faults.repository.between import Between
from tests.faults.repository.harness import Depot, finished
from tests.faults.repository.storing import backup, busy, records, stored, task
from tests.faults.repository.watched import WITHIN, holding, leave_lock, watched

SHARED = ("backup", "--stdin", "--stdin-filename", "x")
EXCLUSIVE = ("check", "--read-data", "--limit-download", "1")
"""With a minute's worth of data."""


def big(depot: Depot) -> None:
    """Give a repository enough for that."""
    (depot.folder / "random").write_bytes(os.urandom(60_000))
    depot.run("backup", str(depot.folder / "random"))


def test_beside_another_backup_it_stores_and_names_the_lock(made: Depot) -> None:
    with holding(made, *SHARED) as other:
        stored(made)
        (lock,) = made.agent("repository-list").result["locks"]

    assert (lock["pid"], lock["exclusive"]) == (other.pid, False)
    assert lock["host"]
    assert lock["time"]


def test_whoever_has_it_alone_is_waited_for_and_named(made: Depot) -> None:
    big(made)
    with holding(made, *EXCLUSIVE) as other:
        outcome = backup(watched(made))
        assert "locked" in busy(outcome, "Locked")
        (lock,) = outcome.result["locks"]
        assert (lock["pid"], lock["exclusive"]) == (other.pid, True)
        # Who only reads is kept out by nobody.
        for verb in ("repository-open", "repository-list"):
            read = made.agent(verb)
            assert (read.code, read.result["locks"]) == (0, [lock]), read
    assert records(made) == []


def test_a_lock_that_is_released_in_time_is_waited_for(watched_by: Depot, between: Between) -> None:
    big(watched_by)
    met = threading.Event()
    with holding(watched_by, *EXCLUSIVE) as other:
        between.at("GET .*prefix=[^&]*locks", after=met.set)
        process = watched_by.start("repository-backup", watched_by.task(**task(watched_by)))
        assert met.wait(WITHIN)
        other.terminate()
        other.wait()
    assert finished(process).reason == "Stored"


def test_the_lock_of_a_dead_one_is_named_and_left_alone(made: Depot) -> None:
    big(made)
    left = leave_lock(made, exclusive=True)

    outcome = backup(watched(made))

    busy(outcome, "Locked")
    (lock,) = outcome.result["locks"]
    assert {key: lock[key] for key in ("id", "host", "pid", "exclusive")} == {
        "id": left["id"],
        "host": left["hostname"],
        "pid": left["pid"],
        "exclusive": True,
    }
    assert made.run("list", "locks", "--no-lock").split() == [left["id"]]


def test_the_lock_of_a_backup_that_is_dead_is_in_nobodys_way(made: Depot) -> None:
    left = leave_lock(made, exclusive=False)
    stored(made)
    assert [lock["id"] for lock in made.agent("repository-list").result["locks"]] == [left["id"]]
