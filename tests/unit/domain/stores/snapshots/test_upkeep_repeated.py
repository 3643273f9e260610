"""One pass after another: the second finds nothing to write, and time brings what is next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from tests.support.builders import NOW, snapshot
from tests.support.planned import planned
from tests.support.snapshot_passes import OLD, OVERDUE, RULES, TODAY, after, by_name, seen, writes

from backstay.domain.retention.points import Rules
from backstay.domain.stores.snapshots.deletion import Step

RICH = [
    snapshot("pending", TODAY, result="pending", ready=False),
    snapshot("orphan", OLD, result="pending"),
    snapshot("failed", TODAY, result="failed"),
    snapshot("none", OLD, result=None),
    snapshot("held", OLD, extra={"hold": "true", **OVERDUE}),
    snapshot("saved", OLD, notes={"marked-at": "2026-11-20T00:32:00+00:00"}),
    snapshot("old", OLD, notes={"in-use": "gone"}),
    snapshot("strange", OLD, extra={"delete-after": "soon", "daily": "w99"}),
    snapshot("days", OLD, extra={"retain": "days", "retain-days": "30"}),
    snapshot("unready", TODAY, ready=False, notes={"in-use": "here"}),
    snapshot("new", TODAY),
]


@pytest.mark.parametrize("rules", [RULES, None, Rules.keep_everything(UTC)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_second_pass_finds_nothing_to_write(rules: Rules | None, reverse: bool) -> None:
    points = RICH[::-1] if reverse else RICH
    world = seen(
        *points, rules=rules, running=frozenset({"run-pending"}), requests=frozenset({"here"})
    )

    assert writes(world)
    assert writes(after(world)) == []


def test_each_pass_changes_only_what_the_last_one_left_over_time() -> None:
    """Day after day: what is marked is swept after its grace, and the rest stays as it is."""
    points = [snapshot(str(day), f"2026-11-{day}T00:32:00Z") for day in range(16, 23)]
    first = seen(*points)
    world = after(replace(first, released=frozenset(h.plan for h in planned(first).stopped.held)))
    later = replace(world, now=NOW + timedelta(days=2))

    swept = {n for n, i in by_name(later).items() if i.sweep and i.sweep.step is not Step.NOTHING}

    assert swept == {"16", "17", "18", "19", "20"}
    assert not any(i.snapshot or i.content for i in planned(later).items)
