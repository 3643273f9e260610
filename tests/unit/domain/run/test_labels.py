"""From the cut on a content carries what finds it, in no more patches than there have to be."""

from __future__ import annotations

from dataclasses import replace

from tests.support.builders import (
    CUT_POINT,
    NOW,
    PENDING_POINT,
    READY_POINT,
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

from backstay.api.backup import BackupPhase, BackupStatus, DumpState
from backstay.api.common import changed
from backstay.domain.run import machine
from backstay.domain.run.sights import DumpSight, PointSeen
from backstay.domain.run.values import AT_ONCE, Action, Decision, LabelContent, MarkGood

BARE_CUT = replace(CUT_POINT, bare=True)
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


def test_a_content_is_labelled_when_it_is_seen_to_be_cut_while_others_are_waited_for() -> None:
    for point in (BARE_CUT, BARE_READY, replace(PENDING_POINT, bare=True)):
        assert labelled(decided(TWO, data=point, logs=PENDING_POINT).actions) == ["data"]
    cut = changed(TWO, points=(changed(TWO.points[0], taken_at=NOW), TWO.points[1]))
    again = decided(cut, data=CUT_POINT, logs=PENDING_POINT)
    assert labelled(again.actions) == [], "once is enough"


def test_the_last_cut_is_labelled_once_in_the_look_that_leaves_the_cut() -> None:
    asked = changed(TWO, plan=plan("data"), points=(point_status(),))

    decision = decided(asked, data=BARE_CUT)

    assert decision.actions == (LabelContent("data"),)
    assert decision.status.phase is BackupPhase.UPLOADING


def test_what_is_ready_when_it_is_cut_is_labelled_by_its_verdict() -> None:
    asked = changed(TWO, plan=plan("data"), points=(point_status(),))

    assert decided(asked, data=BARE_READY).actions == (MarkGood("data"),)


def test_with_a_dump_the_look_that_follows_the_cut_at_once_labels_or_judges() -> None:
    dumped = changed(
        TWO,
        plan=plan(dumps=(planned_dump(),)),
        dumps=(dump_status(state=DumpState.DONE),),
        points=(point_status(),),
    )
    world = seen(dumped, points={"data": BARE_CUT}, rechecks={"shop": look_done()})

    cut = machine.decide(world)

    assert (cut.actions, cut.after) == ((), AT_ONCE)
    assert decided(cut.status, data=BARE_CUT).actions == (LabelContent("data"),)
    assert decided(cut.status, data=BARE_READY).actions == (MarkGood("data"),)
    # and a dump that cannot be read again keeps no content from being labelled
    unread = replace(world, rechecks={"shop": look(DumpSight.UNREACHABLE)})
    assert labelled(machine.decide(unread).actions) == ["data"]


def test_while_hooks_hold_nothing_is_labelled() -> None:
    """Each request would keep the database frozen for longer."""
    held = changed(
        TWO,
        plan=plan("data", "logs", hooks=planned_hooks(planned_hook())),
        hooks=(hook_status(started_at=NOW),),
    )

    assert labelled(decided(held, data=BARE_CUT, logs=PENDING_POINT).actions) == []


def test_one_that_is_waited_for_until_it_is_ready_is_labelled_if_the_cut_did_not() -> None:
    entry = point_status(taken_at=NOW - minutes(1), content="content-1")
    uploading = status(BackupPhase.UPLOADING, points=(entry,))

    assert decided(uploading, data=BARE_CUT).actions == (LabelContent("data"),)
    assert decided(uploading, data=CUT_POINT).actions == ()


def test_one_that_this_run_did_not_make_is_not_labelled() -> None:
    foreign = replace(BARE_CUT, ours=False)

    assert labelled(decided(TWO, data=foreign, logs=PENDING_POINT).actions) == []
