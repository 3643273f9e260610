"""Each line of the definition (design section 4) as a sentence: tiers, marks, dates, holds."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.unit.domain.retention.series import (
    DAILY_ONE,
    NOW,
    RULES,
    VIENNA,
    apply,
    at,
    judged,
    patched,
    point,
    untouched,
    without,
)

from backstay.domain import labels
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Rules


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


def test_of_two_taken_at_the_same_moment_the_greater_name_is_the_newest() -> None:
    found = judged([point("a", NOW), point("b", NOW)], Rules(zone=VIENNA))
    assert labels.DELETE_AFTER in found["a"].set_labels
    assert untouched(found["b"])
