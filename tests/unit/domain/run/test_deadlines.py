"""When a run gives up what it waits for, and what a step that fails comes to."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.builders import (
    NOW,
    NOWHERE,
    STORES,
    dump_status,
    hook_look,
    hook_status,
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
from backstay.api.hooks import HookState
from backstay.api.rolling import PlannedCopy, PlannedRolling, Rolling, RollingDestination
from backstay.api.store import ROLLING
from backstay.domain.jobs import JobSeen
from backstay.domain.run import machine
from backstay.domain.run.deadlines import GRACE, TICK, deadlines, gives_up, in_time
from backstay.domain.run.dumps import DEADLINE_SLACK, TARGET_WAIT
from backstay.domain.run.hooks import SLACK
from backstay.domain.run.sights import HookSight
from backstay.domain.stores.made_by_jobs import JOB_SLACK
from backstay.domain.stores.making import Making

SECOND = timedelta(seconds=1)
DUMP = planned_dump(max_duration=20 * SECOND)
HOOK = planned_hook()
SETTINGS = Rolling(destination=RollingDestination(host_path="/backup"))
COPYING = status(
    BackupPhase.COPYING,
    plan=plan().model_copy(
        update={
            "claims": (),
            "rolling": PlannedRolling(
                copies=(PlannedCopy(node="n", path="/srv"),), settings=SETTINGS
            ),
        }
    ),
    points=(point_status("n:/srv", store=ROLLING),),
)
ASKED = NOW - minutes(2)
BEGAN = NOW - minutes(4)


def dumping(**entry: object) -> BackupStatus:
    return status(
        BackupPhase.DUMPING,
        plan=plan(dumps=(DUMP,)),
        dumps=(dump_status(**entry),),  # type: ignore[arg-type]
    )


def hooking(state: HookState, **entry: object) -> BackupStatus:
    hooks = planned_hooks(HOOK)
    of = hook_status(state=state, **entry)  # type: ignore[arg-type]
    return status(BackupPhase.SNAPSHOTTING, plan=plan(hooks=hooks), hooks=(of,))


TAKING = status(BackupPhase.SNAPSHOTTING, points=(point_status(),))
FROZEN = hooking(HookState.HELD).model_copy(update={"points": (point_status(),)})
UPLOADING = status(BackupPhase.UPLOADING, points=(point_status(taken_at=NOW - minutes(1)),))
NO_TIMES = status(BackupPhase.DUMPING, plan=plan(dumps=(DUMP,)))


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (status(), []),
        (status(BackupPhase.QUEUED), []),
        (dumping(), [NOW - minutes(1) + 20 * SECOND + DEADLINE_SLACK]),
        (dumping(at=NOWHERE), [NOW - minutes(1) + TARGET_WAIT]),
        (NO_TIMES, [BEGAN + 20 * SECOND + DEADLINE_SLACK + TARGET_WAIT + minutes(10)]),
        (hooking(HookState.STARTING), [NOW - minutes(0.25) + HOOK.timeout + SLACK]),
        (
            hooking(HookState.RELEASING, release_at=NOW).model_copy(
                update={"points": (point_status(taken_at=NOW),)}
            ),
            [NOW + HOOK.timeout + HOOK.undo_timeout + TARGET_WAIT],
        ),
        (TAKING, [ASKED + minutes(10)]),
        (FROZEN, [NOW - minutes(0.25) + minutes(1)]),
        (UPLOADING, [NOW - minutes(1) + minutes(60)]),
        (
            COPYING,
            [
                ASKED + SETTINGS.start_timeout,
                ASKED + SETTINGS.start_timeout + SETTINGS.max_duration + JOB_SLACK,
            ],
        ),
    ],
)
def test_each_wait_of_a_run_has_the_deadline_that_its_plan_keeps(
    of: BackupStatus, expected: list[datetime]
) -> None:
    assert list(deadlines(of, STORES)) == expected


def test_a_look_comes_no_later_than_the_next_deadline() -> None:
    (deadline,) = deadlines(TAKING, STORES)
    before = deadline - 3 * SECOND

    assert in_time(TAKING, STORES, 30 * SECOND, before) == 3 * SECOND + TICK
    assert in_time(TAKING, STORES, None, before) == 3 * SECOND + TICK
    assert in_time(TAKING, STORES, SECOND, before) == SECOND
    assert in_time(TAKING, STORES, 30 * SECOND, deadline + SECOND) == 30 * SECOND
    assert in_time(status(BackupPhase.QUEUED), STORES, None, NOW) is None


@pytest.mark.parametrize("of", [dumping(), TAKING, FROZEN, COPYING])
@pytest.mark.parametrize("busy", [True, False])
def test_what_holds_permits_is_given_up_after_its_deadline_whatever_fails(
    of: BackupStatus, busy: bool
) -> None:
    over = max(deadlines(of, STORES)) + GRACE

    assert not gives_up(of, STORES, over, refused=False, busy=busy)
    assert gives_up(of, STORES, over + SECOND, refused=False, busy=busy)


@pytest.mark.parametrize("of", [dumping(), TAKING, COPYING])
def test_what_holds_permits_is_given_up_when_a_rule_refuses_it(of: BackupStatus) -> None:
    assert gives_up(of, STORES, NOW, refused=True, busy=False)


@pytest.mark.parametrize("of", [status(), status(BackupPhase.QUEUED), UPLOADING])
def test_what_holds_nothing_waits_for_what_refuses_it(of: BackupStatus) -> None:
    assert not gives_up(of, STORES, NOW, refused=True, busy=False)


def test_a_snapshot_that_is_made_is_not_given_up_because_the_server_is_at_fault() -> None:
    late = max(deadlines(UPLOADING, STORES)) + 2 * GRACE

    assert not gives_up(UPLOADING, STORES, late, refused=False, busy=True)
    assert gives_up(UPLOADING, STORES, late, refused=False, busy=False)


def test_a_run_that_may_not_keep_its_record_ends_before_any_hook_is_started() -> None:
    waits = status(BackupPhase.SNAPSHOTTING, plan=plan(hooks=planned_hooks(HOOK)))
    hook = hook_look(HookSight.NONE)

    step = machine.fail(seen(waits, hook=hook, kept=False), "patch Backup shop/x: forbidden")

    assert step.status.phase is BackupPhase.FAILED
    assert step.status.message == "patch Backup shop/x: forbidden"
    assert not step.status.pools


def test_a_copy_whose_job_nobody_ends_is_given_up_and_its_permits_with_it() -> None:
    late = max(deadlines(COPYING, STORES)) + SECOND
    runs_on = Making(JobSeen(name="copy", exists=True, started=True))

    step = machine.decide(seen(COPYING, now=late, copy=runs_on))

    (point,) = step.status.points
    assert "does the Job controller run?" in (point.message or "")
    assert step.actions
