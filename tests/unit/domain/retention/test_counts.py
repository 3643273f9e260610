"""Each line of the definition (design section 4) as a sentence: which points count, and how."""

from dataclasses import replace
from datetime import UTC

import pytest
from tests.unit.domain.retention.series import (
    DAILY_ONE,
    NOW,
    RULES,
    VIENNA,
    judged,
    point,
    untouched,
    without,
)

from backstay.domain import labels
from backstay.domain.retention.judge import judge, tiers_for_new
from backstay.domain.retention.points import Rules


def test_failed_points_fill_nothing_and_all_but_the_newest_are_marked() -> None:
    found = judged(
        [
            replace(point("f1", "2026-11-19T00:00Z", result="failed", daily="x"), ready=False),
            replace(point("f2", "2026-11-20T00:00Z", result="failed"), ready=False),
            point("g", "2026-11-21T00:00Z"),
        ]
    )
    assert found["f1"].set_labels == {labels.DELETE_AFTER: "2026-11-22"}
    assert found["f1"].remove_labels == (labels.DAILY,)
    assert untouched(found["f2"])
    assert found["g"].set_labels == {labels.DAILY: "2026-11-21"}


def test_a_ready_failed_point_stays_until_a_newer_good_one_exists() -> None:
    rules = Rules(zone=VIENNA, daily=3)
    failed = point("f", "2026-11-20T00:00Z", result="failed", delete_after="2026-11-21")
    older = point("g", "2026-11-19T00:00Z", daily="2026-11-19")
    assert untouched(judged([older, failed], rules)["f"])
    newer = point("n", "2026-11-21T00:00Z", daily="2026-11-21")
    assert judged([older, failed, newer], rules)["f"].sweep
    unready = replace(failed, ready=False)
    assert judged([older, unready], rules)["f"].sweep


def test_a_pending_point_is_never_touched() -> None:
    pending = point(
        "p", "2020-01-01T00:00Z", result="pending", daily="x", delete_after="2020-01-01"
    )
    assert untouched(judged([pending, point("g", NOW)])["p"])


def test_a_point_without_result_is_kept_and_not_counted() -> None:
    odd = without(point("odd", "2026-11-22T00:10+01:00"), labels.RESULT)
    found = judged([odd, point("g", "2026-11-22T00:32+01:00")], DAILY_ONE)
    assert untouched(found["odd"])
    assert found["g"].set_labels == {labels.DAILY: "2026-11-22"}


def test_a_days_point_fills_no_tier_and_goes_on_its_own_date() -> None:
    days = {"retain": "days", "retain_days": "30", "delete_after": "2026-12-22"}
    world = [
        point("d", "2026-11-22T00:10+01:00", daily="2026-11-22", **days),
        point("g", "2026-11-22T00:32+01:00"),
    ]
    found = judged(world)
    assert found["d"].remove_labels == (labels.DAILY,)
    assert found["g"].set_labels == {labels.DAILY: "2026-11-22"}
    assert not judged(world, now="2026-12-22T23:00+01:00")["d"].sweep
    assert judged(world, now="2026-12-23T00:00+01:00")["d"].sweep


def test_a_days_point_whose_date_was_removed_is_kept() -> None:
    world = [point("d", "2020-11-22T00:10+01:00", retain="days"), point("g", NOW)]
    assert untouched(judged(world, Rules(zone=VIENNA))["d"])


def test_points_that_are_not_ready_lose_a_label_only_to_one_that_takes_their_place() -> None:
    a = replace(point("a", "2026-11-21T00:00+01:00", daily="2026-11-21"), ready=False)
    b = replace(point("b", "2026-11-22T00:00+01:00", daily="2026-11-22"), ready=False)
    assert all(untouched(v) for v in judged([a, b]).values())
    found = judged([a, b, point("c", "2026-11-22T01:00+01:00")])
    assert untouched(found["a"])
    assert found["b"].remove_labels == (labels.DAILY,)
    assert found["c"].set_labels == {labels.DAILY: "2026-11-22"}


def test_a_point_that_goes_does_not_stand_in_for_one_that_could_stay() -> None:
    world = [
        point(
            "a",
            "2026-11-20T00:32+01:00",
            delete_after="2026-11-20",
            marked_at="2026-11-20T01:00:00+01:00",
        ),
        point("b", "2026-11-21T00:32+01:00", daily="2026-11-21", delete_after="2026-11-21"),
        point("c", "2026-11-22T00:32+01:00", daily="2026-11-22"),
    ]
    found = judged(world)
    assert found["b"].sweep
    assert found["a"].set_labels == {labels.DAILY: "2026-11-20"}
    assert not found["a"].sweep


def test_a_point_being_deleted_counts_in_nothing() -> None:
    going = replace(point("b", "2026-11-22T00:32+01:00", daily="2026-11-22"), deleting=True)
    found = judged([point("a", "2026-11-21T00:32+01:00"), going], DAILY_ONE)
    assert untouched(found["b"])
    assert found["a"].set_labels == {labels.DAILY: "2026-11-21"}
    assert "keeps daily 2026-11-21" in found["a"].reasons


@pytest.mark.parametrize(
    ("extra", "due"),
    [
        ({}, False),
        ({"delete_after": "2026-11-21"}, True),
        ({"delete_after": "2026-11-21", "hold": "true"}, False),
        ({"delete_after": "2026-11-21", "in_use": "uid"}, False),
        ({"delete_after": "2026-11-20", "marked_at": "2026-11-20T01:00:00+01:00"}, True),
    ],
)
def test_a_deletion_that_has_begun_is_due_only_if_its_date_was(
    extra: dict[str, str], due: bool
) -> None:
    going = replace(point("a", "2026-11-01T00:32+01:00", **extra), deleting=True)
    assert judged([going, point("b", NOW)])["a"].sweep is due


def test_a_frozen_series_follows_only_dates_that_are_not_ours() -> None:
    world = [
        point("birth", "2026-10-01T00:00Z", retain="days", delete_after="2026-11-01"),
        point(
            "marked",
            "2026-10-02T00:00Z",
            delete_after="2026-11-01",
            marked_at="2026-11-01T00:30:00+01:00",
        ),
        point("saved", "2026-10-03T00:00Z", marked_at="2026-11-01T00:30:00+01:00"),
        point("plain", "2026-10-04T00:00Z", daily="nonsense"),
        point("newest", "2026-10-05T00:00Z"),
    ]
    found = judged(world, None)
    assert [name for name, v in found.items() if v.sweep] == ["birth"]
    assert not any(v.patches for v in found.values())


def test_a_frozen_series_reads_dates_in_utc() -> None:
    world = [point("a", "2026-10-01T00:00Z", delete_after="2026-11-01"), point("b", NOW)]
    assert not judged(world, None, "2026-11-02T00:30:00+01:00")["a"].sweep
    assert judged(world, None, "2026-11-02T00:00:00+00:00")["a"].sweep


def test_a_policy_without_retention_labels_everything_and_marks_nothing() -> None:
    world = [
        point("a", "2020-11-20T00:32+01:00"),
        point("b", "2020-11-20T01:32+01:00"),
        point("f", "2020-11-20T02:32+01:00", result="failed"),
        point("n", "2026-11-20T01:32+01:00"),
    ]
    found = judged(world, Rules.keep_everything(VIENNA))
    assert found["a"].set_labels == {
        labels.DAILY: "2020-11-20",
        labels.WEEKLY: "w47",
        labels.MONTHLY: "2020-11",
    }
    assert untouched(found["b"])
    assert untouched(found["f"])


def test_a_new_point_gets_its_tiers_with_its_result() -> None:
    world = [point("a", "2026-11-21T00:32+01:00", daily="2026-11-21", weekly="w47")]
    rules = replace(RULES, weekly=4)
    new = point("n", "2026-11-22T00:32+01:00", result="pending")
    assert tiers_for_new([*world, new], new, rules, NOW) == {labels.DAILY: "2026-11-22"}
    second = point("s", "2026-11-21T10:00+01:00", result="pending")
    assert tiers_for_new(world, second, rules, NOW) == {}
    assert tiers_for_new(world, new, None, NOW) == {}


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, {labels.RETAIN_DAYS: "30", labels.DELETE_AFTER: "2026-12-22"}),
        ({"retain_days": "3"}, {labels.RETAIN_DAYS: "3", labels.DELETE_AFTER: "2026-11-25"}),
        ({"retain_days": "3", "delete_after": "2030-01-01"}, {labels.RETAIN_DAYS: "3"}),
        ({"retain_days": "soon"}, {}),
        ({"retain_days": "9" * 30}, {}),
    ],
)
def test_a_new_days_point_gets_its_date_with_its_result(
    extra: dict[str, str], expected: dict[str, str]
) -> None:
    new = point("n", "2026-11-21T23:32Z", result="pending", retain="days", **extra)
    found = tiers_for_new([], new, RULES, NOW)
    assert found == {labels.RETAIN: "days", **expected}


def test_two_series_are_never_judged_as_one() -> None:
    other = replace(point("b", NOW), claim="other")
    with pytest.raises(ValueError, match="one series"):
        judge([point("a", NOW), other], RULES, NOW)


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        judge([], RULES, NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="aware"):
        point("a", NOW.replace(tzinfo=None))


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Rules(zone=UTC, daily=-1)


def test_a_points_words_are_read_from_its_labels() -> None:
    found = point("a", NOW, type="adhoc")
    assert (found.run_type, found.result, found.retain) == (
        "adhoc",
        "good",
        "daily_weekly_monthly",
    )
    assert without(found, labels.TYPE).run_type is None


OUR_OLD_MARK = {"delete_after": "2026-11-10", "marked_at": "2026-11-10T12:00:00+01:00"}


def test_a_marked_point_that_is_not_ready_waits() -> None:
    marked = point("a", "2026-11-01T00:32+01:00", **OUR_OLD_MARK)
    assert judged([marked, point("b", NOW)], DAILY_ONE)["a"].sweep
    assert untouched(judged([replace(marked, ready=False), point("b", NOW)], DAILY_ONE)["a"])


def test_a_frozen_series_does_not_finish_a_deletion_for_our_mark() -> None:
    going = replace(point("a", "2026-11-01T00:32+01:00", **OUR_OLD_MARK), deleting=True)
    assert not judged([going, point("b", NOW)], None)["a"].sweep


def test_a_held_point_fills_its_tier_although_its_date_is_past() -> None:
    held = point(
        "a", "2026-11-22T00:32+01:00", daily="2026-11-22", delete_after="2026-11-21", hold="true"
    )
    found = judged([held, point("b", "2026-11-22T10:00+01:00")])
    assert untouched(found["a"])
    assert untouched(found["b"])


def test_of_two_that_carry_the_label_of_one_period_the_earlier_keeps_it() -> None:
    found = judged(
        [
            point("b", "2026-11-22T10:00+01:00", daily="2026-11-22"),
            point("a", "2026-11-22T00:32+01:00", daily="2026-11-22"),
        ]
    )
    assert untouched(found["a"])
    assert found["b"].remove_labels == (labels.DAILY,)
    assert found["b"].reasons[0] == "released from daily 2026-11-22: a keeps it"


def test_a_point_that_is_not_ready_loses_its_label_when_newer_ones_fill_the_rule() -> None:
    unready = replace(point("a", "2026-11-21T00:32+01:00", daily="2026-11-21"), ready=False)
    newest = point("b", "2026-11-22T00:32+01:00", daily="2026-11-22")
    assert judged([unready, newest], DAILY_ONE)["a"].remove_labels == (labels.DAILY,)
    assert untouched(judged([unready, newest], RULES)["a"])
