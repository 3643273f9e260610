"""Bad files and wrong use: exit code 2, and a message that names the option and the place."""

from __future__ import annotations

import pytest
from tests.support.builders import snapshot
from tests.unit.cli.running import Cli, listed, manifest

NOW = "2026-11-22T03:00:00+01:00"
TODAY = "2026-11-22T00:32:00Z"


def test_unknown_fields_of_the_policy_are_reported(cli: Cli) -> None:
    spec = {
        "source": {"claims": {"names": ["data"]}},
        "retention": {"dialy": 7, "daily": 1, "adhocDays": 5},
    }
    cli.write("policy.yaml", manifest(spec))
    cli.snapshots([snapshot("new", TODAY)])
    ran = cli.judge(NOW)
    assert ran.code == 0
    (warning,) = ran.err.splitlines()
    assert "spec.retention.dialy is no known field" in warning


SPEC = {"source": {"claims": {"names": ["data"]}}}
BAD_ZONE = {**SPEC, "schedule": {"cron": "@daily", "timeZone": "Europe/Wien"}}
BAD_COUNT = {**SPEC, "retention": {"daily": "many"}}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("a: [", "is no YAML"),
        ("", "found: nothing"),
        ("just text", "found: str"),
        ({"kind": "Backup"}, "found: Backup"),
        ({"kind": "BackupPolicy", "spec": SPEC}, "metadata.name"),
        (manifest({}), "spec.source"),
        (manifest(SPEC, annotations=["a"]), "metadata.annotations"),
        (manifest(SPEC, annotations={"a": 1}), "metadata.annotations"),
        (manifest(BAD_ZONE), "spec.schedule.timeZone"),
        (manifest(BAD_COUNT), "spec.retention.daily"),
    ],
)
def test_a_bad_policy_names_flag_file_and_field(cli: Cli, policy: object, words: str) -> None:
    path = cli.write("policy.yaml", policy)
    cli.snapshots([])
    ran = cli.judge(NOW)
    assert (ran.code, ran.out) == (2, "")
    assert "--policy" in ran.err
    assert path in ran.err
    assert words in ran.err


@pytest.mark.parametrize(
    ("snapshots", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "must hold a List, found list"),
        (snapshot("one", TODAY) | {"kind": "VolumeSnapshot"}, "found VolumeSnapshot"),
        ({"kind": "List"}, "items is missing"),
        ({"kind": "List", "items": [3]}, "items[0] must be a VolumeSnapshot, found int"),
        ({"kind": "List", "items": [{"kind": "Pod"}]}, "found Pod"),
        (listed([{"metadata": {}}]), "items[0].metadata.name"),
        (listed([{"metadata": {"name": "a", "labels": {"b": 1}}}]), "items[0].metadata.labels"),
        (listed([snapshot("a", TODAY), snapshot("a", TODAY)]), "team/a is listed twice"),
    ],
)
def test_bad_snapshots_name_flag_and_place(cli: Cli, snapshots: object, words: str) -> None:
    cli.policy(daily=1)
    cli.write("snapshots.json", snapshots)
    ran = cli.judge(NOW)
    assert (ran.code, ran.out) == (2, "")
    assert "--snapshots" in ran.err
    assert words in ran.err


@pytest.mark.parametrize("flag", ["--policy", "--snapshots"])
def test_an_unreadable_file_names_its_flag(cli: Cli, flag: str) -> None:
    files = {"--policy": cli.policy(daily=1), "--snapshots": cli.snapshots([])}
    files[flag] = "/nowhere/at/all"
    ran = cli.run("retention", *(part for pair in files.items() for part in pair))
    assert ran.code == 2
    assert f"{flag}: /nowhere/at/all: cannot be read: No such file" in ran.err


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ("2026-11-22T03:00:00", "no time zone"),
        ("soon", "not an RFC 3339 time"),
        ("2026-02-30", "not an RFC 3339 time"),
        ("0001-01-01", "not between"),
        ("9999-12-31T23:59:59Z", "not between"),
        ("0001-01-01T00:00:00+14:00", "too far"),
    ],
)
def test_a_bad_now_names_its_flag(cli: Cli, now: str, words: str) -> None:
    cli.policy(daily=1)
    cli.snapshots([])
    ran = cli.judge(now)
    assert (ran.code, ran.out) == (2, "")
    assert "--now" in ran.err
    assert words in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("shop", "--policy", "x"), "either POLICY or --policy"),
        (("--snapshots", "x"), "--snapshots needs --policy"),
        (("shop", "--label-prefix", "backup-ns.sh"), "--label-prefix needs --policy"),
        (("-o", "xml"), "--output"),
    ],
)
def test_wrong_use_ends_with_2(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    ran = cli.run("retention", *arguments)
    assert ran.code == 2
    assert words in ran.err
