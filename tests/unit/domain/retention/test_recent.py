"""`last` and `within`: what is kept without a label."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.unit.domain.retention.series import apply, at, point

from backstay.domain import labels
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict

VIENNA = ZoneInfo("Europe/Vienna")
NOW = at("2026-11-22T12:00:00+01:00")
HOUR = timedelta(hours=1)
OURS = {"delete_after": "2026-11-21", "marked_at": "2026-11-21T23:00:00+01:00"}


def hourly(count: int) -> list[Point]:
    """p0 is the newest, taken just now; each of the others an hour before."""
    return [point(f"p{i}", NOW - i * HOUR) for i in range(count)]


def judged(world: Sequence[Point], rules: Rules) -> dict[str, Verdict]:
    return {v.point.name: v for v in judge(world, rules, NOW)}


def marked(found: dict[str, Verdict]) -> set[str]:
    return {name for name, v in found.items() if labels.MARKED_AT in v.set_annotations}


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        (Rules(zone=VIENNA, last=2), {"p2", "p3", "p4"}),
        (Rules(zone=VIENNA, last=9), set()),
        (Rules(zone=VIENNA, within=3 * HOUR), {"p3", "p4"}),
        (Rules(zone=VIENNA, within=3 * HOUR + timedelta(seconds=1)), {"p4"}),
        (Rules(zone=VIENNA, last=2, within=4 * HOUR), {"p4"}),
        (Rules(zone=VIENNA, last=1, daily=1), {"p1", "p2", "p3"}),
        (Rules(zone=VIENNA), {"p1", "p2", "p3", "p4"}),
    ],
    ids=["last", "fewer than last", "as old as within", "within", "both", "beside tiers", "none"],
)
def test_what_neither_rule_keeps_is_marked(rules: Rules, gone: set[str]) -> None:
    assert marked(judged(hourly(5), rules)) == gone


def test_no_label_is_written_and_the_reason_is_reported() -> None:
    found = judged(hourly(3), Rules(zone=VIENNA, last=2, within=timedelta(hours=2)))

    assert not found["p1"].patches
    assert found["p1"].reasons == ("one of the last 2; taken within 2h",)
    assert [found[name].last for name in ("p0", "p1", "p2")] == [True, True, False]


def test_a_point_kept_by_a_tier_too_reports_both() -> None:
    found = judged([point("a", NOW - HOUR), point("b", NOW)], Rules(zone=VIENNA, last=2, daily=1))

    assert found["a"].reasons == ("keeps daily 2026-11-22", "one of the last 2")


def test_only_points_that_count_are_among_the_last() -> None:
    world = [
        point("good", NOW - 3 * HOUR),
        point("days", NOW - 2 * HOUR, retain="days"),
        replace(point("unready", NOW - HOUR), ready=False),
        replace(point("failed", NOW, result="failed"), ready=False),
        point("dated", NOW - HOUR / 2, delete_after="2026-11-01"),
        point("newest", NOW),
    ]
    found = judged(world, Rules(zone=VIENNA, last=2))

    assert {name for name, v in found.items() if v.last} == {"good", "newest"}
    assert found["dated"].sweep
    assert marked(found) == {"failed"}


def test_a_point_that_a_raised_rule_keeps_again_is_unmarked() -> None:
    world = [point("a", NOW - 30 * HOUR, **OURS), point("b", NOW)]

    assert not judged(world, Rules(zone=VIENNA, last=1))["a"].patches
    for raised in (Rules(zone=VIENNA, last=2), Rules(zone=VIENNA, within=31 * HOUR)):
        verdict = judged(world, raised)["a"]
        assert verdict.remove_labels == (labels.DELETE_AFTER,)
        assert verdict.remove_annotations == (labels.MARKED_AT,)


def test_a_point_that_grew_old_is_marked_at_a_later_pass() -> None:
    rules = Rules(zone=VIENNA, within=5 * HOUR)
    world = apply(judge(hourly(3), rules, NOW))

    later = {v.point.name: v for v in judge(world, rules, NOW + 4 * HOUR)}

    assert marked(later) == {"p1", "p2"}


def test_what_is_negative_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Rules(zone=VIENNA, last=-1)
    with pytest.raises(ValueError, match="negative"):
        Rules(zone=VIENNA, within=-HOUR)
