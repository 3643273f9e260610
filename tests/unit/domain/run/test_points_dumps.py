"""The dumps of a run, read again once the snapshot of their claim is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import (
    NOW,
    NOWHERE,
    READY_POINT,
    TAKEN_POINT,
    dump_status,
    look,
    look_done,
    minutes,
    place,
    point_status,
    seen,
)
from tests.support.snapshot_runs import DUMPED, TAKING, the_point

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.point import PointResult
from backstay.domain.run import machine
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import dumps_on
from backstay.domain.run.values import AT_ONCE, POLL

ELSEWHERE = ": only on another claim"


def test_a_run_with_dumps_writes_down_that_they_were_read_again_before_it_marks() -> None:
    found = seen(DUMPED, points={"data": READY_POINT}, rechecks={"shop": look_done()})

    decision = machine.decide(found)

    assert decision.actions == ()
    assert (decision.status.phase, decision.after) == (BackupPhase.UPLOADING, AT_ONCE)


def test_a_snapshot_whose_dump_was_read_again_unchanged_is_taken() -> None:
    found = seen(DUMPED, points={"data": TAKEN_POINT}, rechecks={"shop": look_done()})

    decision = machine.decide(found)

    assert the_point(decision).taken_at == TAKEN_POINT.taken_at
    assert decision.status.phase is BackupPhase.UPLOADING


@pytest.mark.parametrize(
    "again",
    [
        look_done("b" * 64),
        *(
            look(sight)
            for sight in DumpSight
            if sight not in (DumpSight.DONE, DumpSight.FAILED, DumpSight.UNREACHABLE)
        ),
    ],
)
def test_a_dump_that_is_another_one_after_the_snapshot_spoils_the_point(again: DumpSeen) -> None:
    decision = machine.decide(seen(DUMPED, points={"data": TAKEN_POINT}, rechecks={"shop": again}))

    assert the_point(decision).message == "dump shop was replaced before the snapshot was taken"


def test_a_dump_that_lies_elsewhere_after_the_snapshot_fails_the_point() -> None:
    moved = replace(look_done(), path="elsewhere/shop.dump")

    decision = machine.decide(seen(DUMPED, points={"data": TAKEN_POINT}, rechecks={"shop": moved}))

    assert the_point(decision).result is PointResult.FAILED
    assert "at elsewhere/shop.dump after it" in (the_point(decision).message or "")


def test_a_dump_that_reads_as_failed_after_the_snapshot_spoils_the_point_with_its_own_words() -> (
    None
):
    again = look(DumpSight.FAILED, message="exec: there is no sh in the container")

    decision = machine.decide(seen(DUMPED, points={"data": TAKEN_POINT}, rechecks={"shop": again}))

    assert the_point(decision).result is PointResult.FAILED
    assert the_point(decision).message == (
        "dump shop reads as failed after the snapshot: exec: there is no sh in the container"
    )


@pytest.mark.parametrize(
    ("rechecks", "note"),
    [
        ({"shop": look(DumpSight.UNREACHABLE)}, ""),
        ({"shop": look(DumpSight.UNREACHABLE, message="timeout")}, ": timeout"),
        ({}, ""),
        *(
            ({"shop": replace(look_done(), sight=sight, place=place("replica"))}, ELSEWHERE)
            for sight in DumpSight
        ),
    ],
)
def test_a_dump_that_cannot_be_read_after_the_snapshot_is_read_until_the_deadline(
    rechecks: dict[str, DumpSeen], note: str
) -> None:
    decision = machine.decide(seen(DUMPED, points={"data": TAKEN_POINT}, rechecks=rechecks))
    late = changed(DUMPED, points=(point_status(requested_at=NOW - minutes(10.1)),))
    failed = machine.decide(seen(late, points={"data": TAKEN_POINT}, rechecks=rechecks))

    reported = f"dump shop could not be read after the snapshot{note}"
    assert the_point(decision) == changed(DUMPED.points[0], message=reported)
    assert decision.status.message == f"claim data: {reported}"
    assert (decision.actions, decision.after) == ((), POLL)
    assert the_point(failed).message == f"dump shop could not be read after the snapshot{note}"


def test_only_the_dumps_of_its_own_claim_and_those_of_no_known_claim_bind_a_point() -> None:
    dumps = (
        dump_status("a", DumpState.DONE),
        dump_status("b", DumpState.DONE, at=place("logs")),
        dump_status("c", DumpState.FAILED, at=NOWHERE),
    )

    bound = dumps_on(changed(TAKING, dumps=dumps), "data")

    assert [d.name for d in bound] == ["a", "c"]
