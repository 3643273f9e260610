"""`kubectl backstay retention --label-prefix backup-ns.sh`: another tool's snapshots."""

from __future__ import annotations

import pytest
from tests.unit.cli.running import FOREIGN as F
from tests.unit.cli.running import Cli, foreign

PREFIX = ("--label-prefix", "backup-ns.sh")
NOW = "2026-11-22T03:00:00+01:00"


def test_the_first_point_of_each_period_gets_the_other_tools_labels(cli: Cli) -> None:
    cli.policy(daily=7, weekly=4, monthly=12)
    cli.snapshots([foreign("a", "2026-11-20T23:32:00Z"), foreign("b", "2026-11-21T23:32:00Z")])
    found = cli.judge(NOW, *PREFIX).by_name
    # local dates: 23:32 UTC is the next day in Vienna
    assert found["a"]["set"] == {
        F + "daily": "2026-11-21",
        F + "weekly": "w47",
        F + "monthly": "2026-11",
    }
    assert found["b"]["set"] == {F + "daily": "2026-11-22"}


def test_an_earlier_failed_attempt_gives_its_labels_to_the_ready_one(cli: Cli) -> None:
    # given what a retried job leaves: the labels are on the one that never got ready
    cli.policy(daily=7, weekly=4)
    stuck = foreign("stuck", "2026-11-21T23:32:00Z", ready=False, daily="2026-11-22", weekly="w47")
    cli.snapshots([stuck, foreign("good", "2026-11-21T23:40:00Z")])
    found = cli.judge(NOW, *PREFIX).by_name
    assert found["good"]["set"] == {F + "daily": "2026-11-22", F + "weekly": "w47"}
    assert sorted(found["stuck"]["remove"]) == [F + "daily", F + "weekly"]
    assert found["stuck"]["delete"] is False


def test_unready_points_never_push_out_good_ones(cli: Cli) -> None:
    cli.policy(daily=2)
    good = [
        foreign(f"good-{day}", f"2026-11-{day}T01:00:00Z", daily=f"2026-11-{day}")
        for day in (10, 11)
    ]
    stuck = [
        foreign(f"stuck-{day}", f"2026-11-{day}T01:00:00Z", ready=False, daily=f"2026-11-{day}")
        for day in range(12, 20)
    ]
    cli.snapshots([*good, *stuck])
    found = cli.judge(NOW, *PREFIX).by_name
    assert all(not found[s["metadata"]["name"]]["remove"] for s in good)
    assert not any(line["delete"] for line in found.values())


def test_dates_decide_alone(cli: Cli) -> None:
    # given no marked-at: the day after the date, nothing waits for a grace
    cli.policy(daily=7)
    cli.snapshots(
        [
            foreign("new", "2026-11-21T23:32:00Z"),
            foreign("past", "2026-11-01T00:32:00Z", delete_after="2026-11-21"),
            foreign("today", "2026-11-02T00:32:00Z", delete_after="2026-11-22"),
            foreign("days", "2026-10-01T00:32:00Z", retain="days", delete_after="2026-10-31"),
            foreign("odd", "2026-10-02T00:32:00Z", retain="days", delete_after="20200101"),
            foreign("empty", "2026-10-03T00:32:00Z", retain="days", delete_after=""),
        ]
    )
    found = cli.judge(NOW, *PREFIX).by_name
    assert {name for name, line in found.items() if line["delete"]} == {"past", "days"}
    assert "malformed date '20200101'" in found["odd"]["reasons"][0]
    assert "malformed date ''" in found["empty"]["reasons"][0]


def test_the_newest_good_one_stays_whatever_its_date(cli: Cli) -> None:
    cli.policy(daily=7)
    cli.snapshots([foreign("last", "2026-11-01T00:32:00Z", delete_after="2026-11-02")])
    (line,) = cli.judge(NOW, *PREFIX).json
    assert line["delete"] is False
    assert "newest good" in line["reasons"]


def test_what_the_other_tool_would_not_touch_is_reported_and_left_alone(cli: Cli) -> None:
    cli.policy(daily=1)
    cli.snapshots(
        [
            foreign("plain", "2026-01-01T00:00:00Z", retain=None, delete_after="2026-01-02"),
            foreign("lost", "2026-01-01T00:00:00Z", claim=None, delete_after="2026-01-02"),
            foreign("new", "2026-11-21T23:32:00Z"),
        ]
    )
    lines = cli.judge(NOW, *PREFIX).json
    assert [line["name"] for line in lines] == ["plain", "lost", "new"]
    assert lines[0]["reasons"] == [f"no label {F}retain: not touched"]
    assert lines[1]["reasons"] == [f"no label {F}pvc: not touched"]
    assert all((x["set"], x["remove"], x["delete"]) == ({}, [], False) for x in lines[:2])


def test_a_snapshot_still_being_taken_changes_nothing(cli: Cli) -> None:
    cli.policy(daily=7)
    cli.snapshots(
        [foreign("taking", None, daily="2026-11-22"), foreign("a", "2026-11-20T23:00:00Z")]
    )
    line = cli.judge(NOW, *PREFIX).by_name["taking"]
    assert (line["set"], line["remove"], line["delete"]) == ({}, [], False)


def test_claims_of_one_namespace_have_tiers_of_their_own(cli: Cli) -> None:
    cli.policy(daily=1)
    cli.snapshots(
        [
            foreign("one", "2026-11-21T23:32:00Z"),
            foreign("two", "2026-11-21T23:33:00Z", claim="logs"),
            foreign("three", "2026-11-21T23:34:00Z", namespace="wiki"),
        ]
    )
    found = cli.judge(NOW, *PREFIX).by_name
    assert all(line["set"] == {F + "daily": "2026-11-22"} for line in found.values())


@pytest.mark.parametrize("week", ["w53", "2026-w53"])
def test_both_forms_of_a_week_are_read_and_left_as_they_are(cli: Cli, week: str) -> None:
    # given a year's end: 2026-12-31 and 2027-01-03 are of the same ISO week
    cli.policy(weekly=2)
    cli.snapshots(
        [
            foreign("first", "2026-12-31T12:00:00Z", weekly=week),
            foreign("second", "2027-01-03T12:00:00Z"),
            foreign("next", "2027-01-04T12:00:00Z"),
        ]
    )
    found = cli.judge("2027-01-05", *PREFIX).by_name
    assert (found["first"]["set"], found["first"]["remove"]) == ({}, [])
    assert F + "weekly" not in found["second"]["set"]
    assert found["next"]["set"] == {F + "weekly": "w01"}


def test_last_years_week_of_the_same_number_is_another_week(cli: Cli) -> None:
    cli.policy(weekly=60)
    cli.snapshots(
        [
            foreign("old", "2025-01-02T12:00:00Z", weekly="w01"),
            foreign("new", "2025-12-29T12:00:00Z"),
        ]
    )
    assert cli.judge("2026-01-02", *PREFIX).by_name["new"]["set"] == {F + "weekly": "w01"}


@pytest.mark.parametrize("prefix", ["", "/", "back up", "a..b", "UPPER.sh", "x/y"])
def test_a_prefix_that_is_none_names_its_flag(cli: Cli, prefix: str) -> None:
    cli.policy(daily=1)
    cli.snapshots([])
    ran = cli.judge(NOW, "--label-prefix", prefix)
    assert ran.code == 2
    assert "--label-prefix" in ran.err


def test_our_own_prefix_means_our_own_snapshots(cli: Cli) -> None:
    cli.policy(daily=1)
    cli.snapshots([foreign("theirs", "2026-11-21T23:32:00Z")])
    assert cli.judge(NOW, "--label-prefix", "backstay.dev").json == []
    assert len(cli.judge(NOW, "--label-prefix", "backup-ns.sh/").json) == 1
