"""Each line of the definition (design section 4) as a sentence."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.unit.domain.series import apply, at, patched, point, without

from backstay.domain import labels
from backstay.domain.retention import Point, Rules, Verdict, judge, tiers_for_new

VIENNA = ZoneInfo("Europe/Vienna")
NOW = at("2026-11-22T12:00:00+01:00")
RULES = Rules(zone=VIENNA, daily=2, failed=1, adhoc_days=30)
DAILY_ONE = replace(RULES, daily=1)


def judged(
    points: Sequence[Point], rules: Rules | None = RULES, now: str | None = None
) -> dict[str, Verdict]:
    verdicts = judge(points, rules, at(now) if now else NOW)
    return {v.point.name: v for v in verdicts}


def untouched(verdict: Verdict) -> bool:
    return not verdict.patches and not verdict.sweep


def test_keepers_of_the_newest_periods_have_the_label_and_no_other_point_has() -> None:
    found = judged(
        [
            point("a", "2026-11-20T00:32+01:00", daily="2026-11-20"),
            point("b", "2026-11-21T00:32+01:00"),
            point("c", "2026-11-21T12:32+01:00", daily="2026-11-21"),
            point("d", "2026-11-22T00:32+01:00"),
            point("e", "2026-11-22T10:00+01:00"),
        ]
    )
    assert found["a"].remove_labels == (labels.DAILY,)
    assert "released from daily 2026-11-20: 3rd newest, the rule keeps 2" in found["a"].reasons
    assert found["b"].set_labels == {labels.DELETE_AFTER: "2026-11-22"}
    assert untouched(found["c"])
    assert found["c"].reasons == ("keeps daily 2026-11-21",)
    assert found["d"].set_labels == {labels.DAILY: "2026-11-22"}
    assert untouched(found["e"])
    assert found["e"].reasons == ("newest good",)


def test_all_five_rules_come_from_one_table() -> None:
    rules = Rules(zone=VIENNA, hourly=1, daily=1, weekly=1, monthly=1, yearly=1)
    found = judged([point("a", "2026-11-22T00:32+01:00")], rules)
    assert found["a"].set_labels == {
        labels.HOURLY: "2026-11-21T23Z",
        labels.DAILY: "2026-11-22",
        labels.WEEKLY: "w47",
        labels.MONTHLY: "2026-11",
        labels.YEARLY: "2026",
    }


def test_the_same_week_of_another_year_is_another_week() -> None:
    rules = Rules(zone=VIENNA, weekly=60)
    found = judged(
        [
            point("old", "2024-12-30T00:32+01:00", weekly="w01"),
            point("next", "2025-12-29T00:32+01:00"),
        ],
        rules,
    )
    assert untouched(found["old"])
    assert found["next"].set_labels == {labels.WEEKLY: "w01"}


def test_the_older_spelling_of_a_week_is_carried_over_as_it_is() -> None:
    rules = Rules(zone=VIENNA, weekly=1)
    found = judged(
        [
            point("a", "2026-11-20T00:32+01:00"),
            point("b", "2026-11-21T00:32+01:00", weekly="2026-w47"),
        ],
        rules,
    )
    assert untouched(found["b"])
    assert labels.WEEKLY not in found["a"].set_labels


@pytest.mark.parametrize("value", ["", "today", "2026-13-01", "2020-01-01"])
def test_a_tier_label_that_is_malformed_or_of_another_day_counts_as_none(value: str) -> None:
    found = judged(
        [
            point("a", "2026-11-21T00:32+01:00", daily=value),
            point("b", "2026-11-22T00:32+01:00"),
            point("c", "2026-11-22T01:32+01:00", daily=value),
        ]
    )
    assert found["a"].set_labels == {labels.DAILY: "2026-11-21"}
    assert found["b"].set_labels == {labels.DAILY: "2026-11-22"}
    assert found["c"].remove_labels == (labels.DAILY,)
    assert any("daily label" in reason for reason in found["a"].reasons)


def test_marking_writes_today_in_the_policys_zone_and_the_local_time() -> None:
    found = judged(
        [point("a", "2026-11-20T00:32+01:00"), point("b", "2026-11-21T00:32+01:00")],
        DAILY_ONE,
        "2026-11-22T23:30:00Z",
    )["a"]
    assert found.set_labels == {labels.DELETE_AFTER: "2026-11-23"}
    assert found.set_annotations == {labels.MARKED_AT: "2026-11-23T00:30:00+01:00"}


@pytest.mark.parametrize(
    ("now", "sweeps"),
    [
        ("2026-11-22T12:00:00+01:00", False),
        ("2026-11-22T23:59:59+01:00", False),
        ("2026-11-23T00:00:00+01:00", False),
        ("2026-11-23T11:59:59+01:00", False),
        ("2026-11-23T12:00:00+01:00", False),
        ("2026-11-23T12:00:01+01:00", True),
    ],
)
def test_a_mark_is_swept_when_its_date_is_past_and_a_whole_day_has_gone_by(
    now: str, sweeps: bool
) -> None:
    world = [point("a", "2026-11-20T00:32+01:00"), point("b", "2026-11-21T00:32+01:00")]
    marked = apply(judge(world, DAILY_ONE, at("2026-11-22T12:00:00+01:00")))
    assert judged(marked, DAILY_ONE, now)["a"].sweep is sweeps


def test_a_fraction_of_a_second_does_not_shorten_the_grace() -> None:
    world = [point("a", "2026-11-20T00:32+01:00"), point("b", "2026-11-21T00:32+01:00")]
    when = at("2026-11-22T12:00:00.900000+01:00")
    marked = apply(judge(world, DAILY_ONE, when))
    assert not any(v.sweep for v in judge(marked, DAILY_ONE, when + timedelta(hours=24)))


def test_a_raised_count_takes_the_mark_back() -> None:
    world = [point("a", "2026-11-20T00:32+01:00"), point("b", "2026-11-21T00:32+01:00")]
    marked = apply(judge(world, DAILY_ONE, NOW))
    found = judged(marked, RULES, "2026-11-30T12:00+01:00")["a"]
    assert not found.sweep
    assert found.set_labels == {labels.DAILY: "2026-11-20"}
    assert found.remove_labels == (labels.DELETE_AFTER,)
    assert found.remove_annotations == (labels.MARKED_AT,)


def test_a_mark_is_known_as_ours_after_the_policys_zone_was_changed() -> None:
    world = [point("a", "2026-11-20T00:32+01:00"), point("b", "2026-11-21T00:32+01:00")]
    marked = apply(judge(world, DAILY_ONE, at("2026-11-22T00:30:00+01:00")))
    elsewhere = replace(RULES, zone=ZoneInfo("America/New_York"))
    found = judged(marked, elsewhere, "2026-11-22T12:00:00+01:00")["a"]
    assert labels.DELETE_AFTER in found.remove_labels


@pytest.mark.parametrize(
    ("extra", "sweeps"),
    [
        ({"delete_after": "2026-11-21"}, True),
        ({"delete_after": "2026-11-22"}, False),
        ({"delete_after": "2026-11-23"}, False),
        ({"delete_after": ""}, False),
        ({"delete_after": "never"}, False),
        ({"delete_after": "2025.1.9"}, False),
        ({"delete_after": "20200101"}, False),
        ({"delete_after": "2020-02-30"}, False),
        ({"delete_after": "2026-11-21", "hold": "true"}, False),
        ({"delete_after": "2026-11-21", "hold": "yes"}, False),
        ({"delete_after": "2026-11-21", "hold": "false"}, True),
        ({"delete_after": "2026-11-21", "in_use": "uid"}, False),
        ({"delete_after": "2026-11-21", "marked_at": "yesterday"}, False),
        ({"delete_after": "2026-11-21", "marked_at": "2026-11-20T10:00:00"}, False),
        ({"delete_after": "2026-11-21", "result": "odd"}, False),
        ({"delete_after": "2026-11-21", "retain": "odd"}, True),
        ({"delete_after": "2026-11-21", "result": "pending"}, False),
        ({"delete_after": "2026-11-21", "result": "failed"}, True),
    ],
)
def test_a_date_set_by_hand_wins_over_tiers_and_is_followed_strictly(
    extra: dict[str, str], sweeps: bool
) -> None:
    found = judged(
        [point("a", "2026-11-20T00:32+01:00", **extra), point("b", "2026-11-22T00:32+01:00")]
    )["a"]
    assert found.sweep is sweeps
    assert labels.DELETE_AFTER not in found.remove_labels
    assert labels.DELETE_AFTER not in found.set_labels
    assert found.reasons


@pytest.mark.parametrize("value", ["", "never", "20200101"])
def test_a_malformed_date_is_reported(value: str) -> None:
    world = [point("a", "2026-11-20T00:32+01:00", delete_after=value), point("b", NOW)]
    for rules in (RULES, None):
        assert any("malformed date" in r for r in judged(world, rules)["a"].reasons)


def test_a_hand_edited_date_on_a_marked_point_is_no_longer_ours() -> None:
    edited = point(
        "a",
        "2026-11-20T00:32+01:00",
        delete_after="2027-01-31",
        marked_at="2026-11-21T12:00:00+01:00",
    )
    found = judged([edited, point("b", NOW)])["a"]
    assert labels.DELETE_AFTER not in found.remove_labels
    assert "kept until its date 2027-01-31 is past" in found.reasons


def test_a_hand_removed_date_becomes_a_hold() -> None:
    saved = point("a", "2026-11-01T00:32+01:00", marked_at="2026-11-20T12:00:00+01:00")
    found = judged([saved, point("b", NOW)], DAILY_ONE)["a"]
    assert found.set_labels == {labels.HOLD: "true"}
    assert found.remove_annotations == (labels.MARKED_AT,)
    after = judged([patched(found), point("b", NOW)], DAILY_ONE, "2027-11-22T12:00+01:00")["a"]
    assert untouched(after)


def test_releasing_a_hold_gives_a_fresh_grace() -> None:
    world = [
        point(
            "a",
            "2026-11-01T00:32+01:00",
            delete_after="2026-11-10",
            marked_at="2026-11-10T12:00:00+01:00",
            hold="true",
        ),
        point("b", NOW),
    ]
    held = apply(judge(world, DAILY_ONE, NOW))
    released = [without(p, labels.HOLD) for p in held]
    found = judged(released, DAILY_ONE)["a"]
    assert not found.sweep
    assert found.set_labels == {labels.DELETE_AFTER: "2026-11-22"}


def test_a_point_in_use_is_neither_marked_nor_swept() -> None:
    world = [point("a", "2026-11-01T00:32+01:00", in_use="uid"), point("b", NOW)]
    assert untouched(judged(world, DAILY_ONE)["a"])
    date = {"delete_after": "2026-11-10", "marked_at": "2026-11-10T12:00:00+01:00"}
    world = [point("a", "2026-11-01T00:32+01:00", in_use="uid", **date), point("b", NOW)]
    assert untouched(judged(world, DAILY_ONE)["a"])


def test_the_newest_good_point_is_kept_whatever_its_date_says() -> None:
    none = Rules(zone=VIENNA)
    world = [
        point("a", "2020-01-01T00:00Z", delete_after="2020-02-01"),
        point("f", "2026-11-01T00:00Z", result="failed"),
        point("p", "2026-11-02T00:00Z", result="pending"),
    ]
    for rules in (none, None):
        found = judged(world, rules)["a"]
        assert untouched(found)
        assert "newest good" in found.reasons


def test_the_mark_of_a_point_that_became_the_newest_good_is_taken_back() -> None:
    marked = point(
        "a",
        "2026-11-01T00:32+01:00",
        delete_after="2026-11-10",
        marked_at="2026-11-10T12:00:00+01:00",
    )
    assert judged([marked], Rules(zone=VIENNA))["a"].remove_labels == (labels.DELETE_AFTER,)


def test_of_two_cut_at_the_same_moment_the_greater_name_is_the_newest() -> None:
    found = judged([point("a", NOW), point("b", NOW)], Rules(zone=VIENNA))
    assert labels.DELETE_AFTER in found["a"].set_labels
    assert untouched(found["b"])


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
