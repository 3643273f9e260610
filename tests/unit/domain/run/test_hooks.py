"""A run around its snapshots: hooks placed, started, held, released; what that means for its
points.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import (
    NOW,
    PENDING_POINT,
    TAKEN_POINT,
    hook_look,
    hook_place,
    hook_status,
    minutes,
    plan,
    planned_hook,
    planned_hooks,
    point_status,
    seen,
    session,
    status,
)

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.hooks import HookState, HookStatus, OnError, PlannedHook, Stage
from backstay.api.point import PointResult
from backstay.domain.run import machine
from backstay.domain.run.dumps import TARGET_WAIT
from backstay.domain.run.hooks import HOOK_POLL, NOWHERE, SLACK
from backstay.domain.run.sights import HookSeen, HookSight
from backstay.domain.run.values import (
    AT_ONCE,
    POLL,
    Decision,
    FreeRecord,
    KeepRecord,
    ReleaseHook,
    StartHook,
)
from backstay.domain.stores.snapshots.actions import MarkFailed

HOOK = planned_hook()
LAST = planned_hook("last", holds=False)
AWAY = HookSeen(HookSight.UNREACHABLE, message="StatefulSet pg has no running pod")


def around(
    *entries: HookStatus,
    before: tuple[PlannedHook, ...] = (HOOK,),
    after: tuple[PlannedHook, ...] = (),
    retries: int = 0,
    claims: tuple[str, ...] = ("data",),
    **values: object,
) -> BackupStatus:
    hooks = planned_hooks(*before, after=after)
    mine = plan(*claims, hooks=hooks, retries=retries)
    return status(BackupPhase.SNAPSHOTTING, plan=mine, hooks=entries, **values)


def the_hook(decision: Decision) -> HookStatus:
    (entry,) = decision.status.hooks
    return entry


STARTING = around(hook_status(state=HookState.STARTING))
HELD = around(hook_status(), points=(point_status(requested_at=NOW - minutes(0.2)),))
RELEASING = changed(
    HELD,
    hooks=(hook_status(state=HookState.RELEASING, release_at=NOW),),
    points=(point_status(taken_at=NOW),),
)


def test_the_backup_is_kept_before_its_first_hook_is_written_down_and_that_before_its_start() -> (
    None
):
    looked = hook_look(HookSight.NONE)

    kept = machine.decide(seen(around(), hook=looked))
    placed = machine.decide(seen(around(), hook=looked, kept=True))
    started = machine.decide(seen(placed.status, hook=looked, kept=True))

    assert kept == Decision(around(), (KeepRecord(),), AT_ONCE)
    entry = hook_status(state=HookState.STARTING, started_at=NOW)
    assert placed == Decision(around(entry), (), AT_ONCE)
    assert started.actions == (StartHook(HOOK, Stage.BEFORE, hook_place(), 1),)
    assert (started.status, started.after) == (placed.status, HOOK_POLL)


def test_no_snapshot_is_asked_for_before_the_last_hook_before_holds() -> None:
    dumped = status(BackupPhase.DUMPING, plan=plan(hooks=planned_hooks(HOOK, planned_hook("two"))))

    taking = machine.decide(seen(dumped))
    first = changed(taking.status, hooks=(hook_status(),))
    both = changed(taking.status, hooks=(hook_status(), hook_status("two")))

    assert (taking.status.phase, taking.status.points) == (BackupPhase.SNAPSHOTTING, ())
    waiting = machine.decide(seen(first, hook=hook_look(HookSight.NONE), kept=True))
    assert waiting.status.hooks[1].name == "two"
    assert waiting.status.points == ()
    (point,) = machine.decide(seen(both, kept=True)).status.points
    assert point.requested_at == NOW


@pytest.mark.parametrize(
    ("hook", "sight", "state"),
    [
        (HOOK, HookSight.HELD, HookState.HELD),
        (session(), HookSight.HELD, HookState.HELD),
        (planned_hook(holds=False), HookSight.DONE, HookState.DONE),
        (HOOK, HookSight.FAILED, HookState.FAILED),
        (HOOK, HookSight.BROKEN, HookState.FAILED),
        (HOOK, HookSight.DONE, HookState.FAILED),
        (HOOK, HookSight.INTERRUPTED, HookState.RELEASING),
        (session(), HookSight.INTERRUPTED, HookState.RELEASING),
        (planned_hook(holds=False), HookSight.INTERRUPTED, HookState.FAILED),
    ],
)
def test_what_a_started_hook_comes_to(
    hook: PlannedHook, sight: HookSight, state: HookState
) -> None:
    world = around(hook_status(state=HookState.STARTING), before=(hook,))

    decision = machine.decide(seen(world, hook=hook_look(sight), kept=True))

    assert (the_hook(decision).state, decision.actions) == (state, ())


@pytest.mark.parametrize("sight", [HookSight.RUNNING, HookSight.NONE, HookSight.UNREACHABLE])
def test_a_hook_without_a_result_is_released_after_its_timeout(sight: HookSight) -> None:
    late = HOOK.timeout + SLACK
    entry = hook_status(state=HookState.STARTING, started_at=NOW - late)
    look = hook_look(sight, task_lives=True, message="why")

    at_last = machine.decide(seen(around(entry), hook=look, kept=True))
    too_late = machine.decide(seen(around(entry), hook=look, kept=True, now=NOW + HOOK_POLL))

    assert the_hook(at_last).state is HookState.STARTING
    assert the_hook(too_late).state is HookState.RELEASING
    assert the_hook(too_late).message == "no result within its timeout (0:00:30): why"


def test_a_target_without_a_pod_is_waited_for_and_then_fails_the_hook() -> None:
    waiting = machine.decide(seen(around(), hook=AWAY, kept=True))
    assert the_hook(waiting) == hook_status(state=HookState.STARTING, at=NOWHERE, started_at=NOW)
    assert waiting.after == POLL

    failed = machine.decide(seen(waiting.status, hook=AWAY, kept=True, now=NOW + TARGET_WAIT))

    assert (the_hook(failed).state, the_hook(failed).message) == (HookState.FAILED, AWAY.message)


def test_a_hook_whose_container_was_replaced_is_released_in_the_new_one() -> None:
    moved = hook_place(container_id="cri://2")

    decision = machine.decide(
        seen(STARTING, hook=hook_look(HookSight.NONE, place=moved), kept=True)
    )
    releasing = machine.decide(
        seen(decision.status, hook=hook_look(HookSight.NONE, place=moved), kept=True)
    )
    broken = hook_look(HookSight.BROKEN, place=moved, message="lost")
    over = machine.decide(seen(decision.status, hook=broken, kept=True))

    assert the_hook(decision).message == "its container was restarted or replaced"
    assert releasing.actions == (ReleaseHook(HOOK, moved, 1),)
    assert the_hook(over).state is HookState.FAILED


def test_what_is_held_is_released_when_the_snapshots_are_taken_not_when_they_are_ready() -> None:
    waiting = machine.decide(seen(HELD, points={"data": PENDING_POINT}, kept=True))
    taken = machine.decide(seen(HELD, points={"data": TAKEN_POINT}, kept=True))
    releasing = machine.decide(seen(taken.status, hook=hook_look(HookSight.HELD), kept=True))
    asked = machine.decide(seen(releasing.status, hook=hook_look(HookSight.HELD), kept=True))
    done = machine.decide(seen(asked.status, hook=hook_look(HookSight.DONE, seconds=9), kept=True))
    freed = machine.decide(seen(done.status, kept=True))
    over = machine.decide(seen(done.status))

    assert waiting.status.points == HELD.points
    assert (taken.status.phase, taken.status.points[0].taken_at) == (
        BackupPhase.SNAPSHOTTING,
        TAKEN_POINT.taken_at,
    )
    assert the_hook(releasing) == hook_status(state=HookState.RELEASING, release_at=NOW)
    assert asked.actions == (ReleaseHook(HOOK, hook_place(), 1),)
    assert the_hook(done).state is HookState.DONE
    assert the_hook(done).seconds == 9
    assert freed == Decision(done.status, (FreeRecord(),), AT_ONCE)
    assert over.status.phase is BackupPhase.UPLOADING


def test_hooks_are_released_in_reverse_order_then_the_ones_after_run_in_theirs() -> None:
    one, two, three = planned_hook("one"), planned_hook("plain", holds=False), session("three")
    entries = [hook_status("one"), hook_status("plain", HookState.DONE), hook_status("three")]
    world = around(
        *entries, before=(one, two, three), after=(LAST,), points=(point_status(taken_at=NOW),)
    )
    order: list[tuple[str, str]] = []
    for _ in range(12):
        sight = HookSight.DONE if order else HookSight.NONE
        decision = machine.decide(seen(world, hook=hook_look(sight), kept=True))
        changes = set(decision.status.hooks) - set(world.hooks)
        order += [(h.name, h.state.value) for h in changes]
        world = decision.status

    assert order == [
        ("three", "Releasing"),
        ("three", "Done"),
        ("one", "Releasing"),
        ("one", "Done"),
        ("last", "Starting"),
        ("last", "Done"),
    ]


def test_a_snapshot_is_not_waited_for_longer_than_the_hooks_hold() -> None:
    old = changed(HELD, hooks=(hook_status(started_at=NOW - minutes(1)),))
    at_last = machine.decide(seen(old, points={"data": PENDING_POINT}, kept=True))
    late = machine.decide(
        seen(old, points={"data": PENDING_POINT}, kept=True, now=NOW + timedelta(seconds=1))
    )

    assert at_last.status.points[0].result is PointResult.PENDING
    assert late.status.points[0].message == "not taken within maxFreeze (0:01:00)"
    assert late.status.phase is BackupPhase.SNAPSHOTTING, "what it holds is to be released first"


@pytest.mark.parametrize("on_error", list(OnError))
def test_what_ended_too_early_fails_its_points_whatever_on_error_says(on_error: OnError) -> None:
    tolerant = planned_hook(on_error=on_error, undo_on_error=on_error)
    mine = plan(hooks=planned_hooks(tolerant), retries=0)
    world = changed(RELEASING, plan=mine)

    broken = machine.decide(
        seen(world, hook=hook_look(HookSight.BROKEN, message="early"), kept=True)
    )
    over = machine.decide(seen(broken.status))

    assert over.status.phase is BackupPhase.FAILED
    assert over.status.points[0].message == "hook quiet: early"
    assert MarkFailed("data-1") in over.actions


@pytest.mark.parametrize(
    ("on_error", "phase"),
    [(OnError.FAIL, BackupPhase.FAILED), (OnError.CONTINUE, BackupPhase.UPLOADING)],
)
def test_on_error_decides_what_a_failure_to_undo_means(
    on_error: OnError, phase: BackupPhase
) -> None:
    mine = plan(hooks=planned_hooks(planned_hook(undo_on_error=on_error)), retries=0)
    world = changed(RELEASING, plan=mine)
    look = hook_look(HookSight.FAILED, message="stuck")

    failed = machine.decide(seen(world, hook=look, kept=True))

    assert (the_hook(failed).state, the_hook(failed).message) == (HookState.FAILED, "stuck")
    assert machine.decide(seen(failed.status)).status.phase is phase


def test_a_hook_that_fails_before_the_snapshot_spares_the_claims_of_other_pods() -> None:
    failed = hook_status(state=HookState.FAILED, message="no")
    world = around(failed, claims=("data", "logs"))

    decision = machine.decide(seen(world, kept=True))

    assert [p.source for p in decision.status.points] == ["logs"]


def test_a_hook_in_a_pod_without_a_claim_of_the_run_stands_for_all() -> None:
    failed = hook_status(state=HookState.FAILED, message="no", at=replace(hook_place(), claims=()))
    world = around(failed, claims=("data", "logs"), retries=1)

    freed = machine.decide(seen(world, kept=True))
    over = machine.decide(seen(world))

    assert freed.actions == (FreeRecord(),)
    assert (over.status.phase, over.status.points) == (BackupPhase.QUEUED, ())
    assert over.status.message == "attempt 1 failed: hook quiet: no"


def test_a_target_that_is_gone_for_good_ends_the_wait_for_its_release() -> None:
    gone = HookSeen(HookSight.FAILED, message="StatefulSet pg is scaled to zero")

    decision = machine.decide(seen(RELEASING, hook=gone, kept=True))

    assert the_hook(decision).state is HookState.FAILED
    assert the_hook(decision).message == (
        "its release could not be seen: StatefulSet pg is scaled to zero"
    )


def test_a_release_that_cannot_be_reached_is_tried_until_its_time_is_over() -> None:
    limit = HOOK.timeout + HOOK.undo_timeout + TARGET_WAIT

    trying = machine.decide(seen(RELEASING, hook=AWAY, kept=True, now=NOW + limit / 2))
    over = machine.decide(seen(RELEASING, hook=AWAY, kept=True, now=NOW + limit))

    waits = "hook quiet: waiting for it to release what it holds: StatefulSet pg has no running pod"
    reported = RELEASING.model_copy(update={"message": waits})
    assert (trying.status, trying.actions, trying.after) == (reported, (), HOOK_POLL)
    assert the_hook(over).state is HookState.FAILED


def test_a_deleted_backup_releases_its_hooks_and_does_nothing_else() -> None:
    releasing = machine.decide(seen(HELD, deleting=True, kept=True))
    freed = machine.decide(
        seen(changed(HELD, hooks=(hook_status(state=HookState.DONE),)), deleting=True, kept=True)
    )
    dumping = status(BackupPhase.DUMPING)

    assert the_hook(releasing).state is HookState.RELEASING
    assert freed.actions == (FreeRecord(),)
    assert machine.decide(seen(dumping, deleting=True)) == Decision(dumping)


def test_after_hooks_without_any_before_run_once_the_snapshots_are_over() -> None:
    world = around(before=(), after=(LAST,), points=(point_status(),))

    taken = machine.decide(seen(world, points={"data": TAKEN_POINT}))
    placed = machine.decide(seen(taken.status, hook=hook_look(HookSight.NONE)))
    done = machine.decide(seen(placed.status, hook=hook_look(HookSight.DONE, seconds=0)))

    assert [h.state for h in done.status.hooks] == [HookState.DONE]
    assert machine.decide(seen(done.status)).status.phase is BackupPhase.UPLOADING


def test_a_hook_whose_status_is_refused_fails_and_no_snapshot_is_taken() -> None:
    starting = around(
        hook_status("last", state=HookState.STARTING, stage=Stage.BEFORE), before=(LAST,)
    )
    done = hook_look(HookSight.DONE, seconds=2**70)

    decision = machine.fail(seen(starting, hook=done, kept=True), "seconds: Invalid value")

    assert the_hook(decision).state is HookState.FAILED
    assert the_hook(decision).message == "seconds: Invalid value"
