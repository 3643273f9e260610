"""A run while its snapshots are taken and become ready."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    NOWHERE,
    PENDING_POINT,
    READY_POINT,
    TAKEN_POINT,
    dump_status,
    hook_place,
    hook_status,
    look,
    look_done,
    minutes,
    place,
    plan,
    planned_dump,
    planned_hook,
    planned_hooks,
    point_status,
    seen,
    status,
)

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.hooks import HookState, HookStatus
from backstay.api.plan import ClaimGroup
from backstay.api.point import PointResult, PointStatus
from backstay.domain.errors import DataError
from backstay.domain.run import machine
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import claims_to_snapshot, dumps_on
from backstay.domain.run.values import AT_ONCE, LONGEST_POLL, POLL, Decision, pause
from backstay.domain.stores.snapshots.actions import MarkFailed, MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen

TAKING = status(BackupPhase.SNAPSHOTTING)
ASKED = changed(TAKING, points=(point_status(),))
DUMPED = changed(
    ASKED,
    plan=plan(dumps=(planned_dump(),)),
    dumps=(dump_status(state=DumpState.DONE),),
)
UPLOADING = status(
    BackupPhase.UPLOADING, points=(point_status(taken_at=NOW - minutes(1), content="content-1"),)
)
WAITED = LONGEST_POLL
"""The snapshot of ASKED was asked for minutes ago."""
ELSEWHERE = ": only on another claim"


def the_point(decision: Decision) -> PointStatus:
    (entry,) = decision.status.points
    return entry


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (PointSeen(claim_gone=True), "there is no VolumeSnapshot of it"),
        (replace(TAKEN_POINT, ours=False), "taken by one that this run did not make"),
        (replace(TAKEN_POINT, result=PointResult.FAILED), "labelled failed"),
    ],
    ids=["claim gone", "foreign", "labelled failed"],
)
@pytest.mark.parametrize("phase", [BackupPhase.SNAPSHOTTING, BackupPhase.UPLOADING])
def test_a_point_that_is_lost_fails(phase: BackupPhase, point: PointSeen, why: str) -> None:
    of = changed(DUMPED if phase is BackupPhase.SNAPSHOTTING else UPLOADING, phase=phase)

    decision = machine.decide(seen(of, points={"data": point}, rechecks={"shop": look_done()}))

    assert the_point(decision).result is PointResult.FAILED
    assert why in (the_point(decision).message or "")
    assert decision.status.phase is BackupPhase.QUEUED
    assert decision.actions == (MarkFailed("data-1"),)


def test_a_snapshot_that_is_gone_while_it_becomes_ready_fails_its_point() -> None:
    decision = machine.decide(seen(UPLOADING, points={"data": PointSeen()}))

    assert the_point(decision).message == PointSeen().lost()
    assert decision.actions == (MarkFailed("data-1"),)


def test_a_foreign_snapshot_is_never_counted_even_if_it_is_labelled_good() -> None:
    foreign = replace(READY_POINT, ours=False, result=PointResult.GOOD)

    decision = machine.decide(seen(UPLOADING, points={"data": foreign}))

    assert the_point(decision).result is PointResult.FAILED


def test_a_snapshot_that_is_not_taken_yet_is_waited_for_with_its_error() -> None:
    stuck = replace(PENDING_POINT, error="driver\n is busy")

    decision = machine.decide(seen(ASKED, points={"data": stuck}))

    assert the_point(decision) == point_status(message="driver is busy")
    assert (decision.status.phase, decision.after) == (BackupPhase.SNAPSHOTTING, WAITED)
    healed = machine.decide(seen(decision.status, points={"data": PENDING_POINT}))
    assert the_point(healed).message is None


@pytest.mark.parametrize(
    ("waited", "reported"), [(0, None), (19, None), (20, "is X running?"), (3600, "is X running?")]
)
def test_a_silence_is_reported_when_it_takes_longer_than_when_all_is_well(
    waited: float, reported: str | None
) -> None:
    since = NOW - minutes(waited / 60)
    silent = replace(PENDING_POINT, silence="is X running?")
    taking = changed(TAKING, points=(point_status(requested_at=since),))
    untaken = replace(TAKEN_POINT, silence="is X running?")
    uploading = changed(UPLOADING, points=(point_status(requested_at=since, taken_at=since),))

    for of, point in ((taking, silent), (uploading, untaken)):
        if waited > 600 and of is taking:
            continue  # its deadline is over
        decision = machine.decide(seen(of, points={"data": point}))
        assert the_point(decision).message == reported
        assert decision.status.message == (f"claim data: {reported}" if reported else None)


def test_what_the_driver_says_is_reported_before_any_silence_and_at_once() -> None:
    both = replace(TAKEN_POINT, error="rate limited", silence="is X running?")

    decision = machine.decide(seen(UPLOADING, points={"data": both}))

    assert decision.status.message == "claim data: rate limited"
    ready = machine.decide(seen(decision.status, points={"data": READY_POINT}))
    assert (ready.status.phase, ready.status.message) == (BackupPhase.COMPLETED, None)


@pytest.mark.parametrize(("error", "ending"), [("", "(0:10:00)"), ("no space", ": no space")])
def test_a_snapshot_that_is_not_taken_in_time_fails(error: str, ending: str) -> None:
    late = changed(TAKING, points=(point_status(requested_at=NOW - minutes(10.1)),))

    decision = machine.decide(seen(late, points={"data": replace(PENDING_POINT, error=error)}))

    message = the_point(decision).message or ""
    assert message.startswith("not taken within takeTimeout")
    assert message.endswith(ending)


def test_a_taken_point_without_dumps_goes_on_to_wait_until_it_is_ready() -> None:
    decision = machine.decide(seen(ASKED, points={"data": TAKEN_POINT}))

    assert the_point(decision) == point_status(taken_at=TAKEN_POINT.taken_at, content="content-1")
    assert decision.status.phase is BackupPhase.UPLOADING
    assert decision.actions == ()


def test_a_run_without_dumps_whose_snapshot_is_ready_when_it_is_taken_ends_at_once() -> None:
    decision = machine.decide(seen(ASKED, points={"data": READY_POINT}))

    assert decision.actions == (MarkGood("data"),)
    assert (decision.status.phase, decision.after) == (BackupPhase.COMPLETED, None)
    assert the_point(decision).taken_at == READY_POINT.taken_at
    # and a process that follows one that died after the mark says the same, and marks nothing
    marked = replace(READY_POINT, result=PointResult.GOOD)
    assert machine.decide(seen(ASKED, points={"data": marked})) == replace(decision, actions=())


def test_a_run_with_dumps_writes_down_that_they_were_read_again_before_it_marks() -> None:
    found = seen(DUMPED, points={"data": READY_POINT}, rechecks={"shop": look_done()})

    decision = machine.decide(found)

    assert decision.actions == ()
    assert (decision.status.phase, decision.after) == (BackupPhase.UPLOADING, AT_ONCE)


@pytest.mark.parametrize(("waited", "after"), [(0, 3), (12, 3), (40, 10), (120, 30), (86_400, 30)])
def test_what_the_watch_reports_is_looked_at_more_and_more_seldom(waited: int, after: int) -> None:
    assert pause(timedelta(seconds=waited)) == timedelta(seconds=after)


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


def test_no_point_waits_for_readiness_while_another_is_not_taken() -> None:
    two = changed(
        TAKING, plan=plan("data", "logs"), points=(point_status("data"), point_status("logs"))
    )

    decision = machine.decide(seen(two, points={"data": TAKEN_POINT, "logs": PENDING_POINT}))

    assert (decision.status.phase, decision.after) == (BackupPhase.SNAPSHOTTING, WAITED)


def test_a_point_that_fails_does_not_hold_up_the_others() -> None:
    two = changed(
        TAKING, plan=plan("data", "logs"), points=(point_status("data"), point_status("logs"))
    )

    gone = PointSeen(claim_gone=True)
    decision = machine.decide(seen(two, points={"data": gone, "logs": TAKEN_POINT}))

    assert decision.status.phase is BackupPhase.UPLOADING
    assert decision.status.points[0].result is PointResult.FAILED
    assert decision.actions == ()


def test_a_ready_point_is_marked_good_and_ends_the_run() -> None:
    decision = machine.decide(seen(UPLOADING, points={"data": READY_POINT}))

    assert decision.actions == (MarkGood("data"),)
    assert the_point(decision) == changed(
        UPLOADING.points[0], result=PointResult.GOOD, bytes=1 << 30
    )
    assert (decision.status.phase, decision.after) == (BackupPhase.COMPLETED, None)


def test_a_point_that_is_good_already_is_not_marked_again() -> None:
    good = replace(READY_POINT, result=PointResult.GOOD)

    decision = machine.decide(seen(UPLOADING, points={"data": good}))

    assert (decision.actions, decision.status.phase) == ((), BackupPhase.COMPLETED)


def test_a_point_that_is_not_ready_is_waited_for() -> None:
    assert machine.decide(seen(UPLOADING, points={"data": TAKEN_POINT})) == Decision(
        UPLOADING, (), pause(minutes(1))
    )


def test_a_point_that_is_not_ready_in_time_fails() -> None:
    entry = point_status(requested_at=NOW - minutes(61), taken_at=NOW - minutes(60.1))
    old = changed(UPLOADING, points=(entry,))

    decision = machine.decide(seen(old, points={"data": replace(TAKEN_POINT, error="slow link")}))

    assert the_point(decision).message == "not ready within readyTimeout (1:00:00): slow link"


def test_a_driver_whose_clock_is_wrong_does_not_shorten_the_wait_for_readiness() -> None:
    long_ago = point_status(requested_at=NOW - minutes(2), taken_at=NOW - minutes(9000))

    decision = machine.decide(
        seen(changed(UPLOADING, points=(long_ago,)), points={"data": TAKEN_POINT})
    )

    assert the_point(decision).result is PointResult.PENDING


@pytest.mark.parametrize("phase", [BackupPhase.SNAPSHOTTING, BackupPhase.UPLOADING])
def test_a_run_without_its_plan_is_an_error_for_a_person(phase: BackupPhase) -> None:
    with pytest.raises(DataError, match=f"in phase {phase} has no plan"):
        machine.decide(seen(changed(ASKED, phase=phase, plan=None), points={"data": TAKEN_POINT}))


FREEZE = planned_hook("stop", freezes=True)
HELD = hook_status("stop", HookState.DONE, at=hook_place("data", "wal"))
PAIR = plan(
    "data", "wal", hooks=planned_hooks(FREEZE), together=(ClaimGroup(claims=("data", "wal")),)
)


def frozen(phase: BackupPhase = BackupPhase.UPLOADING, **values: Any) -> BackupStatus:
    """A run of two claims that belong together, both taken while a hook froze them."""
    taken = tuple(point_status(c, taken_at=NOW - minutes(1)) for c in ("data", "wal"))
    defaults: dict[str, Any] = {"plan": PAIR, "hooks": (HELD,), "points": taken}
    return status(phase, **defaults | values)


def results(decision: Decision) -> list[PointResult]:
    return [p.result for p in decision.status.points]


def test_points_that_belong_together_are_marked_when_all_of_them_are_ready() -> None:
    half = machine.decide(seen(frozen(), points={"data": READY_POINT, "wal": TAKEN_POINT}))
    both = machine.decide(seen(frozen(), points={"data": READY_POINT, "wal": READY_POINT}))

    assert (half.actions, results(half)) == ((), [PointResult.PENDING] * 2)
    assert both.actions == (MarkGood("data"), MarkGood("wal"))
    assert results(both) == [PointResult.GOOD] * 2


def test_a_point_that_was_marked_before_the_process_died_is_followed_by_the_other() -> None:
    marked = replace(READY_POINT, result=PointResult.GOOD)
    decision = machine.decide(seen(frozen(), points={"data": marked, "wal": READY_POINT}))

    assert decision.actions == (MarkGood("wal"),)
    assert results(decision) == [PointResult.GOOD] * 2


def test_a_point_that_fails_takes_along_those_that_belong_together_with_it() -> None:
    decision = machine.decide(seen(frozen(), points={"data": READY_POINT, "wal": PointSeen()}))

    assert results(decision) == [PointResult.FAILED] * 2
    assert not [a for a in decision.actions if isinstance(a, MarkGood)]
    assert decision.status.points[0].message == (
        "claim wal, which belongs together with it, failed"
    )


@pytest.mark.parametrize(
    "hooks",
    [
        (),
        (hook_status("stop", HookState.DONE, at=hook_place("data")),),
        (hook_status("stop", HookState.DONE, at=hook_place("data", "wal"), attempt=2),),
        (hook_status("other", HookState.DONE, at=hook_place("data", "wal")),),
    ],
    ids=["none", "of one claim", "of another attempt", "that freezes nothing"],
)
def test_points_that_nothing_froze_together_fail(hooks: tuple[HookStatus, ...]) -> None:
    ready = {"data": READY_POINT, "wal": READY_POINT}
    decision = machine.decide(seen(frozen(hooks=hooks), points=ready))

    assert results(decision) == [PointResult.FAILED] * 2
    assert "no hook froze data, wal together" in (decision.status.points[0].message or "")


def test_claims_that_a_pod_writes_to_since_the_plan_was_made_fail_at_their_snapshot() -> None:
    two = changed(
        TAKING, plan=plan("data", "wal"), points=(point_status("data"), point_status("wal"))
    )
    taken = {"data": TAKEN_POINT, "wal": TAKEN_POINT}
    decision = machine.decide(seen(two, points=taken, torn="pod pg-0 writes to both"))

    assert results(decision) == [PointResult.FAILED] * 2
    assert decision.status.points[1].message == "pod pg-0 writes to both"


def test_a_claim_whose_dump_failed_leaves_the_other_untaken() -> None:
    dumps = (dump_status("a", DumpState.FAILED, at=place("wal")),)
    of = frozen(BackupPhase.DUMPING, plan=changed(PAIR, dumps=(planned_dump("a"),)), dumps=dumps)

    assert claims_to_snapshot(changed(of, points=())) == ()


def test_a_claim_is_not_taken_alone_beside_one_that_is_good_of_another_attempt() -> None:
    good = point_status("data", PointResult.GOOD)
    of = frozen(BackupPhase.DUMPING, attempt=2, points=(good,), hooks=())

    assert claims_to_snapshot(of) == ()


def test_the_time_between_the_snapshots_is_recorded() -> None:
    first, second = frozen().points
    apart = changed(second, taken_at=NOW - minutes(0.5))
    far_off = changed(
        second, taken_at=NOW - minutes(9000)
    )  # the driver's clock; asked for 2 min ago
    ready = {"data": READY_POINT, "wal": READY_POINT}
    for entry, spread in ((apart, 30), (far_off, 60)):
        decision = machine.decide(seen(frozen(points=(first, entry)), points=ready))
        assert decision.status.spread == spread
