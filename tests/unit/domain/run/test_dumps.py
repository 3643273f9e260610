"""A run while it dumps: one dump after the other, each placed, started, followed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    NOWHERE,
    SHA,
    dump_status,
    look,
    look_done,
    minutes,
    place,
    plan,
    planned_dump,
    point_status,
    seen,
    status,
)

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import (
    NOTE_MAX,
    NOTES_MAX,
    POSITION_MAX,
    SERVER_MAX,
    VERSION_MAX,
    DumpState,
    DumpStatus,
)
from backstay.api.point import PointResult
from backstay.domain.run import machine
from backstay.domain.run.dumps import DEADLINE_SLACK, PROGRESS, TARGET_WAIT
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import MESSAGE_MAX, current_dump, dumps_on
from backstay.domain.run.values import AT_ONCE, POLL, Action, CancelDump, Decision, StartDump

DUMP = planned_dump()
ONE = status(BackupPhase.DUMPING, plan=plan(dumps=(DUMP,)))
STARTED = changed(ONE, dumps=(dump_status(),))
START = StartDump(DUMP, place(), 1)
GONE = DumpSeen(DumpSight.UNREACHABLE, message="StatefulSet pg has no running pod")


def the_dump(decision: Decision) -> DumpStatus:
    (entry,) = decision.status.dumps
    return entry


def test_a_dump_is_written_down_one_round_before_it_is_started() -> None:
    decision = machine.decide(seen(ONE, dump=look(DumpSight.NONE)))

    assert decision == Decision(changed(ONE, dumps=(dump_status(started_at=NOW),)), (), AT_ONCE)


def test_a_dump_that_nobody_knows_of_is_started() -> None:
    decision = machine.decide(seen(STARTED, dump=look(DumpSight.NONE)))

    assert decision == Decision(STARTED, (START,), POLL)


def test_a_dump_whose_stream_is_open_is_not_started_again() -> None:
    decision = machine.decide(seen(STARTED, dump=look(DumpSight.NONE, task_lives=True)))

    assert decision == Decision(STARTED, (), POLL)


@pytest.mark.parametrize(
    ("found", "actions", "message"),
    [
        (look(DumpSight.NONE, message="exec: refused"), (START,), "dump shop: exec: refused"),
        (look(DumpSight.BUSY, message="locked by r2"), (START,), "dump shop: locked by r2"),
        (look(DumpSight.UNREACHABLE, message="timeout"), (), "dump shop: timeout"),
        (GONE, (), f"dump shop: {GONE.message}"),
        (None, (), "dump shop: its pod was not looked at"),
    ],
)
def test_what_may_still_end_well_is_waited_for(
    found: DumpSeen | None, actions: tuple[Action, ...], message: str | None
) -> None:
    earlier = changed(STARTED, message="something else")

    decision = machine.decide(seen(earlier, dump=found))

    assert decision == Decision(changed(STARTED, message=message), actions, POLL)


def ran(since: float, **values: Any) -> BackupStatus:
    """A run whose dump was started so many seconds ago."""
    entry = dump_status(started_at=NOW - timedelta(seconds=since), **values)
    return changed(ONE, dumps=(entry,))


def test_a_short_dump_is_followed_without_a_write() -> None:
    early = ran(since=14)

    decision = machine.decide(seen(early, dump=look(DumpSight.RUNNING, bytes=5)))

    assert decision == Decision(early, (), POLL)


def test_what_is_written_so_far_is_reported_every_15_seconds_and_not_more_often() -> None:
    world = ran(since=0)
    writes = []
    for second in range(61):
        now = world.dumps[0].started_at + timedelta(seconds=second)
        growing = look(DumpSight.RUNNING, bytes=second << 20, task_lives=True)
        decision = machine.decide(seen(world, now=now, dump=growing))
        assert (decision.actions, decision.after) == ((), PROGRESS)
        if decision.status != world:
            writes.append((second, decision.status.dumps[0].bytes, decision.status.message))
        world = decision.status

    assert writes == [
        (second, second << 20, f"dump shop: {second}Mi written") for second in (15, 30, 45, 60)
    ]


def test_a_dump_without_a_stream_is_looked_at_more_often() -> None:
    decision = machine.decide(seen(ran(since=20), dump=look(DumpSight.RUNNING, bytes=5)))

    assert decision.after == POLL


def test_a_dump_that_is_done_is_written_down_with_all_that_is_known_of_it() -> None:
    decision = machine.decide(seen(changed(STARTED, message="locked"), dump=look_done()))

    assert the_dump(decision) == dump_status(
        state=DumpState.DONE,
        versions={"server": "17.1", "tool": "17.1"},
        format="custom",
        compression="zstd",
        compressed=True,
        position="binlog.7 at 42",
        server="7301",
        notes=("rows are missing",),
        uid=999,
        gid=998,
    )
    assert (decision.status.message, decision.after) == (None, AT_ONCE)


def test_a_position_that_is_too_long_for_the_status_is_left_out_and_never_shortened() -> None:
    fits, long = "x" * POSITION_MAX, "x" * (POSITION_MAX + 1)

    for position, kept in ((fits, fits), (long, None)):
        decision = machine.decide(seen(STARTED, dump=replace(look_done(), position=position)))

        assert the_dump(decision).position == kept


def test_only_so_many_notes_of_such_a_length_reach_the_status() -> None:
    wordy = replace(look_done(), notes=("x" * (NOTE_MAX + 1),) * (NOTES_MAX + 1))

    decision = machine.decide(seen(STARTED, dump=wordy))

    assert the_dump(decision).notes == ("x" * NOTE_MAX,) * NOTES_MAX


def test_a_servers_identity_that_is_too_long_is_left_out_and_never_shortened() -> None:
    for server, kept in (("x" * SERVER_MAX, "x" * SERVER_MAX), ("x" * (SERVER_MAX + 1), None)):
        decision = machine.decide(seen(STARTED, dump=replace(look_done(), server=server)))

        assert the_dump(decision).server == kept


def test_a_version_that_is_too_long_for_the_status_is_taken() -> None:
    versions = {"server": "8.0.36", "tool": "mysqldump " + "x" * VERSION_MAX}

    decision = machine.decide(seen(STARTED, dump=replace(look_done(), versions=versions)))

    kept = the_dump(decision).versions
    assert kept == {"server": "8.0.36", "tool": versions["tool"][:VERSION_MAX]}


def test_a_dump_whose_status_is_refused_fails_with_what_the_server_says() -> None:
    last = changed(STARTED, plan=plan(dumps=(DUMP,), retries=0))
    for found in (last, changed(last, dumps=())):
        decision = machine.fail(seen(found, dump=look_done()), "status.dumps[0].format: Too long")

        entry = the_dump(decision)
        assert entry.state is DumpState.FAILED
        assert entry.message == "status.dumps[0].format: Too long"
    ended = machine.decide(seen(decision.status)).status
    assert (ended.phase, ended.pools) == (BackupPhase.FAILED, ())
    assert "Too long" in (ended.message or "")


@pytest.mark.parametrize("sight", [DumpSight.FAILED, DumpSight.INTERRUPTED, DumpSight.SUPERSEDED])
def test_a_dump_that_ended_badly_fails_with_its_last_words(sight: DumpSight) -> None:
    decision = machine.decide(seen(STARTED, dump=look(sight, message="no such\n database  x")))

    assert the_dump(decision) == dump_status(state=DumpState.FAILED, message="no such database x")
    assert (decision.actions, decision.after) == ((), AT_ONCE)


def test_the_end_of_long_last_words_is_kept() -> None:
    decision = machine.decide(
        seen(STARTED, dump=look(DumpSight.FAILED, message="x" * 5000 + "end"))
    )

    message = the_dump(decision).message or ""
    assert (len(message), message[0], message[-4:]) == (MESSAGE_MAX, "…", "xend")


@pytest.mark.parametrize("sight", list(DumpSight))
def test_a_replaced_container_ends_the_attempt_whatever_its_files_say(sight: DumpSight) -> None:
    found = replace(look_done(), sight=sight, place=place(container_id="cri://2"))

    decision = machine.decide(seen(STARTED, dump=found))

    assert the_dump(decision).state is DumpState.FAILED
    assert "container was restarted or replaced" in (the_dump(decision).message or "")


LATE = minutes(60) + DEADLINE_SLACK


@pytest.mark.parametrize(
    "sight", [DumpSight.NONE, DumpSight.RUNNING, DumpSight.BUSY, DumpSight.UNREACHABLE]
)
def test_a_dump_past_its_deadline_is_cancelled_and_failed(sight: DumpSight) -> None:
    at_last = changed(ONE, dumps=(dump_status(started_at=NOW - LATE),))
    late = changed(ONE, dumps=(dump_status(started_at=NOW - LATE - minutes(0.1)),))

    assert machine.decide(seen(at_last, dump=look(sight))).after == POLL
    decision = machine.decide(seen(late, dump=look(sight, message="why")))

    assert decision.actions == (CancelDump(DUMP, place(), 1),)
    assert the_dump(decision).state is DumpState.FAILED
    assert (the_dump(decision).message or "").startswith("no result within maxDuration (1:00:00)")


def test_a_result_that_comes_late_is_still_a_result() -> None:
    late = changed(ONE, dumps=(dump_status(started_at=NOW - LATE - minutes(600)),))

    assert the_dump(machine.decide(seen(late, dump=look_done()))).state is DumpState.DONE


def test_a_target_that_never_could_run_it_fails_the_dump_at_once() -> None:
    refusal = DumpSeen(DumpSight.FAILED, message="spec.dumps[shop].target: there is no Pod pg")

    decision = machine.decide(seen(ONE, dump=refusal))

    assert the_dump(decision) == dump_status(
        state=DumpState.FAILED, at=NOWHERE, started_at=NOW, message=refusal.message
    )


def waited(since: datetime, attempted: datetime) -> BackupStatus:
    return changed(ONE, attempted_at=attempted, dumps=(dump_status(at=NOWHERE, started_at=since),))


def test_a_target_without_a_pod_is_waited_for() -> None:
    decision = machine.decide(seen(ONE, dump=GONE))

    message = f"dump shop: {GONE.message}"
    assert decision == Decision(
        changed(ONE, message=message, dumps=(dump_status(at=NOWHERE, started_at=NOW),)),
        (),
        POLL,
    )
    again = machine.decide(seen(decision.status, dump=GONE, now=NOW + POLL))
    assert again == decision


def test_the_wait_for_a_target_begins_with_its_own_dump_not_with_the_attempt() -> None:
    since = NOW - TARGET_WAIT + timedelta(seconds=1)

    decision = machine.decide(seen(waited(since, NOW - minutes(600)), dump=GONE))

    assert the_dump(decision).state is DumpState.RUNNING


def test_a_target_that_stays_away_fails_the_dump() -> None:
    decision = machine.decide(seen(waited(NOW - TARGET_WAIT, NOW - minutes(3)), dump=GONE))

    assert the_dump(decision).state is DumpState.FAILED
    assert the_dump(decision).message == GONE.message


def test_a_target_that_comes_back_gets_its_dump() -> None:
    back = DumpSeen(DumpSight.UNREACHABLE, place())

    decision = machine.decide(seen(waited(NOW - minutes(1), NOW - minutes(1)), dump=back))

    assert the_dump(decision) == dump_status(started_at=NOW)
    assert (decision.actions, decision.after) == ((), AT_ONCE)


TWO = status(
    BackupPhase.DUMPING,
    plan=plan("data", "logs", dumps=(planned_dump("a"), planned_dump("b"))),
)


def test_dumps_run_in_the_order_of_the_policy() -> None:
    first = changed(TWO, dumps=(dump_status("a"),))
    second = changed(TWO, dumps=(dump_status("a", DumpState.DONE),))
    over = changed(second, dumps=(*second.dumps, dump_status("b", DumpState.FAILED)))

    named = [current_dump(s) for s in (TWO, first, second, over)]

    assert [d.name if d else None for d in named] == ["a", "a", "b", None]


@pytest.mark.parametrize(
    ("a", "b", "phase"),
    [
        (
            dump_status("a", DumpState.DONE),
            dump_status("b", DumpState.DONE),
            BackupPhase.SNAPSHOTTING,
        ),
        (
            dump_status("a", DumpState.FAILED),
            dump_status("b", DumpState.DONE, at=place("logs")),
            BackupPhase.SNAPSHOTTING,
        ),
        (
            dump_status("a", DumpState.FAILED),
            dump_status("b", DumpState.FAILED, at=place("logs")),
            BackupPhase.QUEUED,
        ),
        (
            dump_status("a", DumpState.DONE),
            dump_status("b", DumpState.FAILED, at=NOWHERE),
            BackupPhase.QUEUED,
        ),
    ],
    ids=["all passed", "one claim can be taken", "no claim can be taken", "a claim nobody knows"],
)
def test_what_can_be_taken_is_taken_after_the_last_dump(
    a: DumpStatus, b: DumpStatus, phase: BackupPhase
) -> None:
    decision = machine.decide(seen(changed(TWO, dumps=(a, b))))

    assert decision.status.phase is phase


def test_a_retry_repeats_every_dump_whose_claim_has_no_good_point() -> None:
    retry = changed(
        TWO,
        attempt=2,
        dumps=(
            dump_status("a", DumpState.DONE),
            dump_status("b", DumpState.DONE, at=place("logs")),
        ),
        points=(
            point_status("data", PointResult.GOOD),
            point_status("logs", PointResult.FAILED),
        ),
    )

    assert current_dump(retry) == planned_dump("b")
    decision = machine.decide(seen(retry, dump=look(DumpSight.NONE, place=place("logs"))))

    assert decision.status.dumps == (
        retry.dumps[0],
        dump_status("b", at=place("logs"), attempt=2, started_at=NOW),
    )


def test_a_dump_of_an_earlier_attempt_stands_for_nothing() -> None:
    retry = changed(TWO, attempt=2, dumps=(dump_status("a", DumpState.DONE, sha256=SHA),))

    assert dumps_on(retry, "data") == ()


def test_the_path_on_the_claim_is_the_one_that_the_container_saw() -> None:
    decision = machine.decide(seen(STARTED, dump=replace(look_done(), path="real/shop.dump")))

    assert the_dump(decision).path == "real/shop.dump"
