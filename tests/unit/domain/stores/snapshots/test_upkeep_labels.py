"""What a pass writes onto snapshots: results, users, tiers, and marks unless held back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import snapshot
from tests.support.planned import planned
from tests.support.snapshot_passes import (
    OLD,
    OVERDUE,
    PREFIX,
    TODAY,
    after,
    by_name,
    mirrored,
    seen,
    writes,
)

from backstay.domain import labels
from backstay.domain.retention.brakes import Brake


def test_a_pending_point_whose_run_is_gone_becomes_failed() -> None:
    point = snapshot("a", TODAY, result="pending")

    item = by_name(seen(point))["a"]

    assert item.snapshot is not None
    assert item.snapshot.labels == {labels.RESULT: "failed"}
    assert item.point.result is labels.Result.FAILED


def test_a_pending_point_whose_run_goes_on_is_not_touched() -> None:
    point = snapshot("a", TODAY, result="pending")

    assert by_name(seen(point, running=frozenset({"run-a"})))["a"].snapshot is None


@pytest.mark.parametrize(
    ("users", "left"),
    [("gone", None), ("gone,here", "here"), ("", None), ("here", "here")],
)
def test_users_that_are_gone_are_removed(users: str, left: str | None) -> None:
    point = snapshot("a", TODAY, extra={"daily": "2026-11-22"}, notes={"in-use": users})

    item = by_name(seen(point, requests=frozenset({"here"})))["a"]

    changes = item.snapshot.annotations if item.snapshot else {}
    assert changes == ({} if left == users else {labels.IN_USE: left})
    assert item.point.in_use == left


def test_a_point_that_no_rule_keeps_is_marked_on_both() -> None:
    points = [snapshot(n, f"2026-11-{n}T00:32:00Z") for n in ("20", "21", "22")]

    item = by_name(seen(*points))["20"]

    assert item.snapshot is not None
    assert item.snapshot.labels == {labels.DELETE_AFTER: "2026-11-22"}
    assert item.snapshot.annotations == {labels.MARKED_AT: "2026-11-22T01:00:00+00:00"}
    assert item.content is not None
    assert item.content.annotations[labels.MARKED_AT] == "2026-11-22T01:00:00+00:00"
    assert item.point.is_marked_by_retention


def test_each_claim_is_a_series_of_its_own() -> None:
    points = [
        snapshot("a", TODAY),
        snapshot("b", TODAY, extra={"pvc": "logs"}),
        snapshot("c", TODAY, extra={"pvc": "short-1"}, notes={"pvc": "a long name"}),
    ]

    items = by_name(seen(*points))

    assert {n: i.point.claim for n, i in items.items()} == {
        "a": "data",
        "b": "logs",
        "c": "a long name",
    }
    for item in items.values():
        assert item.snapshot is not None
        assert item.snapshot.labels == {PREFIX + "daily": "2026-11-22"}


def test_a_series_that_is_held_gets_its_tiers_but_no_mark_and_others_go_on() -> None:
    days = range(16, 23)
    world = seen(
        *(snapshot(f"a-{day}", f"2026-11-{day}T00:32:00Z") for day in days),
        *(
            snapshot(f"b-{day}", f"2026-11-{day}T00:32:00Z", extra={"pvc": "b"})
            for day in days[-4:]
        ),
    )

    plan = planned(world)

    (held,) = plan.stopped.held
    assert (held.claim, held.marks, held.size) == ("data", 5, 7)
    done = [i for i in plan.items if i.snapshot is not None]
    assert {i.point.name for i in done if labels.DELETE_AFTER in i.point.labels} == {
        "b-19",
        "b-20",
    }
    assert {i.point.name for i in done if labels.DAILY in i.point.labels} == {
        "a-21",
        "a-22",
        "b-21",
        "b-22",
    }
    again = planned(after(world))
    assert again.stopped.held == plan.stopped.held
    assert writes(after(world)) == []
    assert planned(replace(world, released=frozenset({held.plan}))).stopped.held == []


def test_while_our_clock_is_off_nothing_is_marked_or_swept_and_tiers_go_on() -> None:
    points = [
        snapshot("overdue", OLD, extra=OVERDUE),
        snapshot("unkept", "2026-11-19T00:32:00Z"),
        *(snapshot(str(day), f"2026-11-{day}T00:32:00Z") for day in (21, 22)),
    ]
    proven = mirrored(points[0], swept="uid-overdue.2026-11-20")
    world = seen(*points, contents=[proven, *(mirrored(p) for p in points[1:])])
    off = replace(world, clock=Brake("ClockSkew", "the clock is off"))

    before, stopped = by_name(world), by_name(off)

    assert before["overdue"].sweep is not None
    assert labels.DELETE_AFTER in before["unkept"].point.labels
    assert stopped["overdue"].sweep is None
    assert stopped["overdue"].content is None, "a proof stays: the sweep goes on later"
    assert labels.DELETE_AFTER not in stopped["unkept"].point.labels
    assert stopped["unkept"].reasons == ("kept by no rule, but not marked: the clock is off",)
    assert stopped["22"].snapshot is not None
    assert stopped["22"].snapshot.labels == {PREFIX + "daily": "2026-11-22"}
    assert planned(off).stopped.held == []
