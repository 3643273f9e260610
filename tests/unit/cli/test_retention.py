"""`kubectl backstay retention` over files: snapshots of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.builders import record, snapshot
from tests.unit.cli.running import Cli, foreign, manifest

from backstay.domain import labels
from backstay.domain.records.record import DumpRecord

P = labels.PREFIX
NOW = "2026-11-22T03:00:00+01:00"
TODAY, YESTERDAY, OLD = "2026-11-22T00:32:00Z", "2026-11-21T00:32:00Z", "2026-11-11T00:32:00Z"
MARKED = {"delete-after": "2026-11-20"}
MARKED_AT = {"marked-at": "2026-11-20T00:40:00+01:00"}


def test_each_snapshot_is_reported_with_its_labels_and_reasons(cli: Cli) -> None:
    # given a new point, a point beyond every rule, and one that was marked long ago
    cli.policy(daily=1)
    cli.snapshots(
        [
            snapshot("new", TODAY),
            snapshot("old", OLD, extra={"daily": "2026-11-11"}),
            snapshot("marked", "2026-11-10T00:32:00Z", extra=MARKED, notes=MARKED_AT),
        ]
    )
    # when
    lines = cli.judge(NOW).json
    # then they stand in the order of the file, and nothing but the agreed keys is printed
    assert [line["name"] for line in lines] == ["new", "old", "marked"]
    assert all(
        list(line) == ["namespace", "name", "set", "remove", "delete", "reasons"] for line in lines
    )
    new, old, marked = lines
    assert new["set"] == {P + "daily": "2026-11-22"}
    assert (new["remove"], new["delete"]) == ([], False)
    assert "keeps daily 2026-11-22" in new["reasons"]
    assert old["set"] == {P + "delete-after": "2026-11-22"}
    assert (old["remove"], old["delete"]) == ([P + "daily"], False)
    assert f"annotation {P}marked-at=2026-11-22T03:00:00+01:00 is set" in old["reasons"]
    assert (marked["set"], marked["remove"], marked["delete"]) == ({}, [], True)
    assert marked["reasons"] == ["swept: past its date 2026-11-20"]


def test_what_is_held_in_use_or_marked_today_is_not_deleted(cli: Cli) -> None:
    cli.policy(daily=1)
    late = {"marked-at": "2026-11-21T03:00:00+01:00"}
    cli.snapshots(
        [
            snapshot("new", TODAY, extra={"daily": "2026-11-22"}),
            snapshot("held", OLD, extra={**MARKED, "hold": "true"}),
            snapshot("used", OLD, extra=MARKED, notes={**MARKED_AT, "in-use": "uid-request"}),
            snapshot("grace", OLD, extra={"delete-after": "2026-11-21"}, notes=late),
        ]
    )
    found = cli.judge(NOW).by_name
    assert not any(line["delete"] for line in found.values())
    assert found["held"]["reasons"][0] == "held"
    assert found["used"]["reasons"] == ["past its date 2026-11-20, but in use by uid-request"]
    assert found["grace"]["reasons"] == ["marked 2026-11-21: in its grace"]
    # and a second later the grace of exactly one day is over
    later = cli.judge("2026-11-22T03:00:01+01:00").by_name
    assert later["grace"]["delete"] is True


def test_a_point_saved_by_hand_becomes_held_and_a_kept_one_is_unmarked(cli: Cli) -> None:
    cli.policy(daily=1)
    cli.snapshots(
        [
            snapshot("saved", OLD, notes=MARKED_AT),
            snapshot("new", TODAY, extra={"daily": "2026-11-22"} | MARKED, notes=MARKED_AT),
        ]
    )
    found = cli.judge(NOW).by_name
    assert found["saved"]["set"] == {P + "hold": "true"}
    assert f"annotation {P}marked-at is removed" in found["saved"]["reasons"]
    assert found["new"]["remove"] == [P + "delete-after"]
    assert "newest good" in found["new"]["reasons"]


def test_a_shrunken_series_is_frozen_until_the_policy_in_the_file_accepts_it(cli: Cli) -> None:
    large, small = ({"record": dumped(size)} for size in (1000, 400))
    cli.snapshots(
        [
            snapshot("new", TODAY, extra={"daily": "2026-11-22"}, notes=small),
            snapshot("marked", OLD, extra=MARKED, notes={**MARKED_AT, **large}),
        ]
    )
    cli.policy(daily=1)
    frozen = cli.judge(NOW).by_name["marked"]
    assert frozen["delete"] is False
    why = "its series is frozen: dump shop has 400, under half of the 1000 before"
    assert frozen["reasons"] == [f"past its date 2026-11-20, but {why}"]

    accepted = {P + "accept-size": f"data@{TODAY}"}
    spec = {"source": {"claims": {"names": ["data"]}}, "retention": {"daily": 1}}
    cli.write("policy.yaml", manifest(spec, annotations=accepted))
    assert cli.judge(NOW).by_name["marked"]["delete"] is True


def dumped(size: int) -> str:
    return record(
        dumps=(DumpRecord("shop", "postgres", "/d/shop", "shop", "a" * 64, size, 999, 999),)
    )


def test_pending_points_are_taken_for_running(cli: Cli) -> None:
    cli.policy(daily=1)
    pending = snapshot("pending", TODAY, result="pending", ready=False)
    del pending["status"]
    cli.snapshots([pending, snapshot("good", YESTERDAY, extra={"daily": "2026-11-21"})])
    found = cli.judge(NOW).by_name
    assert found["pending"] == {
        "namespace": "team", "name": "pending", "set": {}, "remove": [], "delete": False,
        "reasons": ["pending: not touched"],
    }  # fmt: skip


def test_only_snapshots_of_the_policy_are_listed(cli: Cli) -> None:
    cli.policy(daily=1)
    other = snapshot("other", TODAY, extra={"policy": "wiki"})
    elsewhere = snapshot("elsewhere", TODAY, namespace="else")
    cli.snapshots([snapshot("mine", TODAY), other, elsewhere, foreign("theirs", TODAY)])
    assert set(cli.judge(NOW).by_name) == {"mine", "elsewhere"}
    assert set(cli.judge(NOW, "-n", "team").by_name) == {"mine"}


def test_the_namespace_of_the_policys_file_counts(cli: Cli) -> None:
    spec = {"source": {"claims": {"names": ["data"]}}}
    cli.write("policy.yaml", manifest(spec, namespace="else"))
    cli.snapshots([snapshot("mine", TODAY), snapshot("elsewhere", TODAY, namespace="else")])
    assert set(cli.judge(NOW).by_name) == {"elsewhere"}


def test_series_of_two_namespaces_do_not_meet(cli: Cli) -> None:
    cli.policy(daily=1)
    cli.snapshots([snapshot("one", TODAY), snapshot("two", TODAY, namespace="else", uid="uid-2")])
    found = cli.judge(NOW).by_name
    assert found["one"]["set"] == found["two"]["set"] == {P + "daily": "2026-11-22"}


def test_snapshots_without_uids_are_distinguished(cli: Cli) -> None:
    cli.policy(daily=1)
    items = [snapshot("new", TODAY), snapshot("old", YESTERDAY)]
    for item in items:
        del item["metadata"]["uid"]
    cli.snapshots(items)
    found = cli.judge(NOW).by_name
    assert found["new"]["set"] == {P + "daily": "2026-11-22"}
    assert found["old"]["set"] == {P + "delete-after": "2026-11-22"}


@pytest.mark.parametrize("taken", ["yesterday", "2026-11-11T00:32:00", "", 7])
def test_a_snapshot_whose_time_cannot_be_read_changes_nothing(cli: Cli, taken: object) -> None:
    cli.policy(daily=1)
    broken = snapshot("broken", OLD, extra=MARKED)
    broken["metadata"]["creationTimestamp"] = taken
    cli.snapshots([broken, snapshot("new", TODAY)])
    found = cli.judge(NOW).by_name
    assert (found["broken"]["set"], found["broken"]["remove"]) == ({}, [])
    assert found["broken"]["delete"] is False
    assert "metadata.creationTimestamp" in found["broken"]["reasons"][0]
    assert found["new"]["set"] == {P + "daily": "2026-11-22"}


def test_a_snapshot_without_any_time_changes_nothing(cli: Cli) -> None:
    cli.policy(daily=1)
    broken = snapshot("broken", OLD)
    del broken["status"], broken["metadata"]["creationTimestamp"]
    cli.snapshots([broken])
    (line,) = cli.judge(NOW).json
    assert "creationTimestamp" in line["reasons"][0]
    assert line["delete"] is False


@pytest.mark.parametrize("date", ["", "2026.1.9", "20200101", "2020-13-01", "2020-1-1", "never"])
def test_malformed_dates_are_kept_and_reported(cli: Cli, date: str) -> None:
    cli.policy(daily=1)
    odd = snapshot("odd", OLD, extra={"delete-after": date})
    cli.snapshots([odd, snapshot("new", TODAY)])
    line = cli.judge(NOW).by_name["odd"]
    assert line["delete"] is False
    assert P + "delete-after" not in line["set"]
    assert f"malformed date {date!r}" in line["reasons"][0]


def test_a_date_means_midnight_in_the_policys_zone(cli: Cli) -> None:
    # given a point whose day ends at midnight in Vienna, an hour before it does in UTC
    cli.policy(daily=1)
    due = snapshot("due", OLD, extra={"delete-after": "2026-11-21"})
    cli.snapshots([due, snapshot("new", "2026-11-20T00:32:00Z")])
    assert cli.judge("2026-11-22").by_name["due"]["delete"] is True
    assert cli.judge("2026-11-21T23:00:00Z").by_name["due"]["delete"] is True
    assert cli.judge("2026-11-21T22:59:59Z").by_name["due"]["delete"] is False


def test_a_policy_without_retention_marks_nothing(cli: Cli) -> None:
    cli.policy()
    cli.snapshots([snapshot("new", TODAY), snapshot("old", OLD)])
    found = cli.judge("2027-03-01").by_name
    assert all(P + "delete-after" not in line["set"] for line in found.values())


def test_the_table_names_series_verdicts_and_reasons(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    policy = cli.policy(daily=1)
    name = "data-pg-0-20261111-003200-abcde"
    file = cli.snapshots([snapshot("new", TODAY), snapshot(name, OLD)])
    ran = cli.run("retention", "--policy", policy, "--snapshots", file, "--now", NOW)
    lines = ran.out.splitlines()
    assert lines[0] == "Policy shop, as of 2026-11-22 03:00 Europe/Vienna: 2 snapshots"
    assert "team/data" in lines
    assert max(map(len, lines)) <= 120
    assert lines[3].split() == ["NAME", "TAKEN", "TIERS", "VERDICT", "REASONS"]
    assert lines[4].split()[:5] == ["new", "2026-11-22", "01:32", "daily", "relabel"]
    assert any(line.startswith(name) and " mark " in line for line in lines)


def test_names_are_never_shortened_however_narrow_the_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    policy, name = cli.policy(daily=1), "n" * 63
    file = cli.snapshots([snapshot(name, OLD)])
    assert name in cli.run("retention", "--policy", policy, "--snapshots", file, "--now", NOW).out


def test_no_kubernetes_client_is_loaded_for_files(cli: Cli) -> None:
    policy, file = cli.policy(daily=1), cli.snapshots([snapshot("new", TODAY)])
    program = (
        "import sys; from backstay.cli import main;"
        f"files = ['--policy', {policy!r}, '--snapshots', {file!r}];"
        "code = main(['retention', *files, '-o', 'json']);"
        "bad = {'kubernetes', 'kopf', 'aiohttp', 'rich'} & set(sys.modules);"
        "sys.exit(f'loaded {bad}' if bad else code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr
