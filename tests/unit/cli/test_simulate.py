"""`kubectl backstay simulate`: years of virtual time, and what is there at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.cli.running import Cli, manifest

from backstay.domain.retention.simulation import gaps

CLAIMS = {"claims": {"names": ["data"]}}


def test_800_daily_runs_leave_what_the_rules_say(cli: Cli) -> None:
    # given seven days, four weeks and twelve months, and no failure
    policy = cli.policy(daily=7, weekly=4, monthly=12)
    # when
    found = cli.run(
        "simulate", "--policy", policy, "--from", "2026-01-01", "--days", "800", "-o", "json"
    ).json
    # then the end is a midnight in the policy's zone, and each tier is as long as its rule
    assert found["to"] == "2028-03-11T00:00:00+01:00"
    assert (found["runs"], found["failed"], found["failedSnapshots"]) == (800, 0, 0)
    tiers = {
        tier: [p["taken"][:10] for p in found["points"] if tier in p["tiers"]]
        for tier in ("daily", "weekly", "monthly")
    }
    assert tiers["daily"] == [f"2028-03-{day:02d}" for day in range(10, 3, -1)]
    assert tiers["weekly"] == ["2028-03-06", "2028-02-28", "2028-02-21", "2028-02-14"]
    assert tiers["monthly"][:3] == ["2028-03-01", "2028-02-01", "2028-01-01"]
    assert len(tiers["monthly"]) == 12
    # and one more, which was marked on the last day and has its grace
    kept = {day for days in tiers.values() for day in days}
    (marked,) = [p for p in found["points"] if p["taken"][:10] not in kept]
    assert (marked["taken"][:10], marked["until"]) == ("2028-03-03", "marked 03-10")
    # and nothing is lost on the way
    assert found["swept"] + len(found["points"]) == 800


def test_the_largest_gap_grows_with_age(cli: Cli) -> None:
    policy = cli.policy(zone="UTC", daily=7, weekly=4, monthly=12)
    found = cli.run(
        "simulate", "--policy", policy, "--from", "2026-01-01", "--days", "400", "-o", "json"
    ).json
    days = {gap["age"]: gap["largestSeconds"] / 86400 for gap in found["gaps"]}
    assert list(days) == ["1 day", "1 week", "1 month", "3 months", "1 year"]
    assert days["1 day"] == days["1 week"] == 1
    assert 7 <= days["1 month"] <= 14
    assert 28 <= days["3 months"] <= 31 + 7
    assert 28 <= days["1 year"] <= 31 + 7
    assert sum(gap["points"] for gap in found["gaps"]) == len(found["points"])


def test_the_same_seed_fails_the_same_runs(cli: Cli) -> None:
    policy = cli.policy(daily=7, failed=3)
    arguments = ("simulate", "--policy", policy, "--from", "2026-01-01", "--days", "60")
    first, second = (cli.run(*arguments, "--fail", "0.3", "-o", "json").json for _ in range(2))
    other = cli.run(*arguments, "--fail", "0.3", "--seed", "2", "-o", "json").json
    assert first == second
    assert first != other
    assert 5 < first["failed"] < 35
    # failed runs fill no tier: seven days with a point are kept, and three failed ones
    assert sum("daily" in p["tiers"] for p in first["points"]) == 7
    assert first["failedSnapshots"] >= 3


def test_nothing_is_left_where_every_run_fails(cli: Cli) -> None:
    policy = cli.policy(daily=7, failed=2)
    arguments = ("simulate", "--policy", policy, "--from", "2026-01-01", "--days", "30")
    found = cli.run(*arguments, "--fail", "1", "-o", "json").json
    assert (found["failed"], found["points"], found["gaps"]) == (30, [], [])
    assert cli.run(*arguments, "--fail", "1").code == 0


def test_marked_points_go_after_their_grace_and_not_before(cli: Cli) -> None:
    # given one day kept: each point is marked by the next run, at 00:32, and due a day later
    policy = cli.policy(zone="UTC", daily=1)
    arguments = ("simulate", "--policy", policy, "-o", "json", "--from")
    before = cli.run(*arguments, "2026-01-01T00:32:00Z", "--days", "2").json
    after = cli.run(*arguments, "2026-01-01T00:32:01Z", "--days", "3").json
    # the first starts with the run of 01-01, marked on 01-02 00:32: not over at 01-03 00:32
    assert [p["taken"][:10] for p in before["points"]] == ["2026-01-02", "2026-01-01"]
    # the second starts with that of 01-02, marked on 01-03: over at 01-04 00:32:01
    assert [p["taken"][:10] for p in after["points"]] == ["2026-01-04", "2026-01-03"]


def test_the_table_shows_points_and_gaps(cli: Cli) -> None:
    policy = cli.policy(daily=2)
    ran = cli.run("simulate", "--policy", policy, "--from", "2026-01-01", "--days", "10")
    lines = ran.out.splitlines()
    assert "10 runs, 0 failed, 7 snapshots swept" in lines[0]
    assert lines[1] == "At the end: 3 recovery points and 0 failed snapshots"
    assert lines[4].split() == [
        "2026-01-10",
        "00:32",
        "23h",
        "28m",
        "daily",
        "daily",
        "until",
        "01-12",
    ]
    assert any(line.split()[:3] == ["1", "day", "1"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("--from", "2026-01-01", "--days", "0"), "--days"),
        (("--from", "2026-01-01", "--fail", "1.5"), "--fail"),
        (
            (
                "--from",
                "2026-01-01T00:00:00",
            ),
            "--from",
        ),
        ((), "--from"),
    ],
)
def test_wrong_use_names_the_flag(cli: Cli, arguments: tuple[str, ...], flag: str) -> None:
    ran = cli.run("simulate", "--policy", cli.policy(daily=1), *arguments)
    assert ran.code == 2
    assert flag in ran.err


def test_a_policy_without_a_schedule_is_refused(cli: Cli) -> None:
    path = cli.write("policy.yaml", manifest({"source": CLAIMS}))
    ran = cli.run("simulate", "--policy", path, "--from", "2026-01-01")
    assert ran.code == 2
    assert "spec.schedule is missing" in ran.err


def test_runs_start_after_jitter_and_blackouts_as_the_operators_do(cli: Cli) -> None:
    # given hourly runs; those from 08:00 to 17:00 wait for 18:00, which has one of its own
    schedule = {
        "cron": "@hourly",
        "timeZone": "Europe/Vienna",
        "jitter": "20m",
        "blackouts": [{"start": "0 8 * * mon-fri", "duration": "10h"}],
    }
    spec = {"source": CLAIMS, "schedule": schedule}
    path = cli.write("policy.yaml", manifest(spec, namespace="shop"))
    arguments = ("--policy", path, "--from", "2026-11-20", "--days", "2", "-o", "json")
    # when a Friday and a Saturday are simulated
    found = cli.run("simulate", *arguments).json
    # then each starts at the policy's own moment
    taken = [p["taken"] for p in reversed(found["points"])]
    hours = [*range(8), *range(18, 24), *range(24)]
    assert [int(t[11:13]) for t in taken] == hours
    assert {t[14:19] for t in taken} == {"00:53"}


@pytest.mark.parametrize(("cron", "code"), [("*/10 * * * *", 2), ("@monthly", 0)])
def test_more_runs_than_can_be_simulated_are_refused(cli: Cli, cron: str, code: int) -> None:
    spec = {"source": CLAIMS, "schedule": {"cron": cron}, "retention": {"monthly": 2}}
    path = cli.write("policy.yaml", manifest(spec))
    ran = cli.run("simulate", "--policy", path, "--from", "2026-01-01", "--days", "400")
    assert ran.code == code
    assert ("--days" in ran.err) == (code == 2)


def test_a_schedule_that_is_none_is_an_error_with_its_field(cli: Cli) -> None:
    spec = {"source": CLAIMS, "schedule": {"cron": "61 0 * * *"}}
    path = cli.write("policy.yaml", manifest(spec))
    ran = cli.run("simulate", "--policy", path, "--from", "2026-01-01")
    assert ran.code == 2
    assert "--policy" in ran.err
    assert "spec.schedule.cron" in ran.err


def test_gaps_count_from_the_end_and_stop_at_the_oldest_point() -> None:
    end = datetime(2026, 11, 22, tzinfo=UTC)
    taken = [end - timedelta(hours=hours) for hours in (0, 30, 40, 24 * 5)]
    assert [(g.age, g.points, g.largest) for g in gaps(taken, end)] == [
        ("1 day", 1, timedelta(hours=30)),
        ("1 week", 3, timedelta(hours=80)),
    ]
    assert gaps([], end) == ()


def test_an_age_without_a_point_shows_the_gap_that_spans_it() -> None:
    end = datetime(2026, 11, 22, tzinfo=UTC)
    found = gaps([end - timedelta(hours=1), end - timedelta(days=40)], end)
    assert [(g.age, g.points) for g in found] == [
        ("1 day", 1), ("1 week", 0), ("1 month", 0), ("3 months", 1),
    ]  # fmt: skip
    assert {g.largest for g in found} == {timedelta(days=39, hours=23)}
