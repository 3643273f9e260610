"""Claims that belong together: their points are good together or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    READY_POINT,
    TAKEN_POINT,
    dump_status,
    hook_place,
    hook_status,
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
from tests.support.snapshot_runs import TAKING, results

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.hooks import HookState, HookStatus
from backstay.api.plan import ClaimGroup
from backstay.api.point import PointResult
from backstay.domain.run import machine
from backstay.domain.run.status import claims_to_snapshot
from backstay.domain.stores.snapshots.actions import MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen

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
