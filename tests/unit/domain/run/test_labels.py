"""Once taken, a snapshot's content carries what finds it, in as few patches as possible."""

from __future__ import annotations

from dataclasses import replace

from tests.support.builders import (
    NOW,
    PENDING_POINT,
    READY_POINT,
    TAKEN_POINT,
    dump_status,
    hook_status,
    look,
    look_done,
    minutes,
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
from backstay.domain.run import machine
from backstay.domain.run.sights import DumpSight
from backstay.domain.run.values import AT_ONCE, Action, Decision
from backstay.domain.stores.snapshots.actions import LabelContent, MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen

BARE_TAKEN = replace(TAKEN_POINT, bare=True)
BARE_READY = replace(READY_POINT, bare=True)
TWO = status(
    BackupPhase.SNAPSHOTTING,
    plan=plan("data", "logs"),
    points=(point_status("data"), point_status("logs")),
)


def decided(of: BackupStatus, **points: PointSeen) -> Decision:
    return machine.decide(seen(of, points=points))


def labelled(actions: tuple[Action, ...]) -> list[str]:
    return [a.claim for a in actions if isinstance(a, LabelContent)]


def test_a_content_is_labelled_when_it_is_seen_to_be_taken_while_others_are_waited_for() -> None:
    for point in (BARE_TAKEN, BARE_READY, replace(PENDING_POINT, bare=True)):
        assert labelled(decided(TWO, data=point, logs=PENDING_POINT).actions) == ["data"]
    taken = changed(TWO, points=(changed(TWO.points[0], taken_at=NOW), TWO.points[1]))
    again = decided(taken, data=TAKEN_POINT, logs=PENDING_POINT)
    assert labelled(again.actions) == [], "once is enough"


def test_the_last_snapshot_is_labelled_once_in_the_look_that_ends_the_phase() -> None:
    asked = changed(TWO, plan=plan("data"), points=(point_status(),))

    decision = decided(asked, data=BARE_TAKEN)

    assert decision.actions == (LabelContent("data"),)
    assert decision.status.phase is BackupPhase.UPLOADING


def test_what_is_ready_when_it_is_taken_is_labelled_by_its_verdict() -> None:
    asked = changed(TWO, plan=plan("data"), points=(point_status(),))

    assert decided(asked, data=BARE_READY).actions == (MarkGood("data"),)


def test_with_a_dump_the_look_that_follows_the_snapshot_at_once_labels_or_judges() -> None:
    dumped = changed(
        TWO,
        plan=plan(dumps=(planned_dump(),)),
        dumps=(dump_status(state=DumpState.DONE),),
        points=(point_status(),),
    )
    world = seen(dumped, points={"data": BARE_TAKEN}, rechecks={"shop": look_done()})

    taken = machine.decide(world)

    assert (taken.actions, taken.after) == ((), AT_ONCE)
    assert decided(taken.status, data=BARE_TAKEN).actions == (LabelContent("data"),)
    assert decided(taken.status, data=BARE_READY).actions == (MarkGood("data"),)
    # and a dump that cannot be read again keeps no content from being labelled
    unread = seen(
        dumped, points={"data": BARE_TAKEN}, rechecks={"shop": look(DumpSight.UNREACHABLE)}
    )
    assert labelled(machine.decide(unread).actions) == ["data"]


def test_while_hooks_hold_nothing_is_labelled() -> None:
    """Each request would keep the database frozen for longer."""
    held = changed(
        TWO,
        plan=plan("data", "logs", hooks=planned_hooks(planned_hook())),
        hooks=(hook_status(started_at=NOW),),
    )

    assert labelled(decided(held, data=BARE_TAKEN, logs=PENDING_POINT).actions) == []


def test_one_that_is_waited_for_until_it_is_ready_is_labelled_if_the_taking_did_not() -> None:
    entry = point_status(taken_at=NOW - minutes(1), content="content-1")
    uploading = status(BackupPhase.UPLOADING, points=(entry,))

    assert decided(uploading, data=BARE_TAKEN).actions == (LabelContent("data"),)
    assert decided(uploading, data=TAKEN_POINT).actions == ()


def test_one_that_this_run_did_not_make_is_not_labelled() -> None:
    foreign = replace(BARE_TAKEN, ours=False)

    assert labelled(decided(TWO, data=foreign, logs=PENDING_POINT).actions) == []
