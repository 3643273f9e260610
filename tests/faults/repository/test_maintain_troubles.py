"""repository-maintain, killed at every step, and beside restics that hold or held a lock."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.repository.harness import PASSWORD, Depot, fill, finished, ids
from tests.faults.repository.watched import (
    calls,
    dies_at,
    dies_in,
    holding,
    leave_lock,
    locks,
    watched,
)

CALLS = 8
"""Of restic in the task below: its version, the config, forget, the list, prune, check, and the
locks twice.
"""


@pytest.fixture
def local(tmp_path: Path, restic: Path) -> Depot:
    """A repository in a directory, with three snapshots."""
    depot = Depot(tmp_path, restic, local=str(tmp_path / "repository"))
    depot.give(RESTIC_PASSWORD=PASSWORD)
    fill(depot.source)
    opened = depot.agent("repository-open", initialise=True)
    assert opened.reason == "Initialised", opened
    for _ in range(3):
        depot.run("backup", str(depot.source))
    return depot.known_as(opened.result["id"])


def work(depot: Depot, **more: object) -> subprocess.Popen[str]:
    task = {"prune": {"maxUnused": "0"}, "check": {"part": 1, "of": 1}, **more}
    return depot.start("repository-maintain", depot.task(**task))


@pytest.mark.parametrize("call", range(1, CALLS))
def test_killed_before_any_call_it_is_done_by_the_next_try(local: Depot, call: int) -> None:
    first, *others = ids(local)
    dying = work(watched(local, dies_at(call)), forget=[first])
    dying.communicate()
    assert dying.returncode == -9
    assert len(calls(local)) == call
    assert set(others) <= set(ids(local))

    again = finished(work(local, forget=[first]))

    assert (again.code, again.reason) == (0, "Maintained"), again
    assert ids(local) == others
    assert again.result["forgotten"] == 1


@pytest.mark.parametrize("words", ["forget", "prune", "check"])
def test_killed_with_restic_at_work_its_lock_is_named_and_removed_by_name(
    local: Depot, words: str
) -> None:
    first, *others = ids(local)
    script = dies_in(words).replace("{restic}", str(local.restic / "restic"))
    dying = work(watched(local, script), forget=[first])
    dying.communicate()
    assert dying.returncode == -9
    left = locks(local)

    quick = watched(local)
    locked = finished(work(quick, forget=[first]))
    if left:  # it may have been released in the moment of the kill
        assert (locked.code, locked.reason) == (75, "Locked"), locked
        assert [lock["id"] for lock in locked.result["locks"]] == left
        assert all(lock["host"] and lock["exclusive"] for lock in locked.result["locks"])
    done = finished(work(quick, forget=[first], unlock=left))

    assert (done.code, done.reason) == (0, "Maintained"), done
    assert done.result["locks"] == []
    assert ids(local) == others


def test_locks_are_removed_only_while_they_are_exactly_those_that_were_judged(
    local: Depot,
) -> None:
    dead = leave_lock(local, exclusive=False)["id"]
    also = leave_lock(local, exclusive=False)["id"]

    for judged in ([dead], [dead, "f" * 64], [dead, also, "f" * 64]):
        refused = finished(work(local, unlock=judged))
        assert (refused.code, refused.reason) == (75, "Locked"), refused
        assert refused.result["unlocked"] == 0
        assert set(locks(local)) == {dead, also}

    done = finished(work(local, unlock=[also, dead]))
    assert (done.code, done.result["unlocked"], locks(local)) == (0, 2, []), done


def test_a_live_restic_of_somebody_else_keeps_its_lock_and_nothing_is_changed(
    local: Depot,
) -> None:
    before = ids(local)
    dead = leave_lock(local, exclusive=False)["id"]
    with holding(local, "backup", "--stdin", "--stdin-filename", "x"):
        both = locks(local)
        assert len(both) == 2

        refused = finished(work(local, unlock=[dead]))
        waited = finished(work(watched(local), forget=before[:1]))

        assert (refused.code, refused.reason) == (75, "Locked"), refused
        assert (waited.code, waited.reason) == (75, "Locked"), waited
        assert locks(local) == both
        assert set(before) <= set(ids(local))


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_person_can_have_every_lock_removed(local: Depot, *, exclusive: bool) -> None:
    leave_lock(local, exclusive=exclusive)
    assert len(locks(local)) == 1

    done = finished(work(local, unlockAll=True))

    assert (done.code, done.result["unlocked"]) == (0, 1), done
    assert locks(local) == []


def test_where_there_is_no_lock_any_more_unlocking_is_done(local: Depot) -> None:
    done = finished(work(local, unlock=["a" * 64]))

    assert (done.code, done.result["unlocked"]) == (0, 0), done


def test_what_was_done_before_something_failed_stays_in_the_answer(local: Depot) -> None:
    first, *others = ids(local)
    broken = watched(local, 'case "$*" in *prune*) exit 1;; esac')

    done = finished(work(broken, forget=[first]))

    assert (done.code, done.reason) == (1, "Failed"), done
    assert (done.result["forgotten"], done.result["pruned"]) == (1, False)
    assert ids(local) == others


def test_a_list_that_cannot_be_had_proves_nothing_forgotten(local: Depot) -> None:
    first, *_ = ids(local)
    broken = watched(local, 'case "$*" in *snapshots*) exit 1;; esac')

    done = finished(work(broken, forget=[first]))

    assert done.code == 1, done
    assert done.result["forgotten"] == 0
    assert done.lines == []


def test_ended_in_order_it_leaves_no_lock(local: Depot) -> None:
    slow = replace(local, more={})
    script = 'case "$*" in *check*) set -- "$@" --limit-download 1;; esac'
    running = work(watched(slow, script))
    while not any("check" in call for call in calls(local)) or not locks(local):
        assert running.poll() is None, running.communicate()
    running.terminate()

    done = finished(running)

    assert done.reason == "Interrupted", done
    assert locks(local) == []
