"""Bad input is answered at `kubectl apply`, with a message that names the field and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.api.bad import dumps, policies, repositories, restores, rolling, uploads
from tests.api.bad.common import (
    API,
    DUMP,
    FIVE_FIELDS,
    GONE,
    GOOD,
    HOOKS,
    OFFICE,
    document,
)
from tests.support.kubectl import Answer, Kubectl

BAD: Final = (
    *policies.BAD,
    *dumps.BAD,
    *rolling.BAD,
    *repositories.BAD,
    *restores.BAD,
    *uploads.BAD,
)


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Kubectl:
    made = Kubectl(kubeconfig, "bad-input")
    answer = made("create", "namespace", made.namespace)
    assert answer.ok, answer.err
    return made


@pytest.fixture(scope="module")
def refusals(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Apply all bad input at once, as a folder of files; return the answers by row."""
    folder = tmp_path_factory.mktemp("bad")
    for number, row in enumerate(BAD):
        made = document(row.kind, row.changes, name="bad")
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(made))
    answer = kubectl("apply", "-f", str(folder))
    assert answer.out == "", "bad input was accepted"
    errors = re.split(r'error when creating "[^"]*/(\d+)\.yaml": ', answer.err)
    return {int(number): text for number, text in zip(errors[1::2], errors[2::2], strict=True)}


def assert_refused(answer: Answer, field: str, message: str) -> None:
    assert not answer.ok, answer.out
    assert f"{field}: " in answer.err, answer.err
    assert message in answer.err


@pytest.mark.parametrize("number", range(len(BAD)), ids=lambda number: str(BAD[number]))
def test_bad_input_is_refused_with_the_field_and_the_remedy(
    refusals: dict[int, str], number: int
) -> None:
    row = BAD[number]
    assert f"{row.field}: " in refusals[number], refusals[number]
    assert row.message in refusals[number]


def test_a_person_sees_field_and_remedy_in_one_line(kubectl: Kubectl) -> None:
    bad = {"spec.schedule.cron": "0 32 0 * * *"}
    answer = kubectl.apply(document("BackupPolicy", bad, name="one"))
    (line,) = answer.err.splitlines()
    assert line.startswith('The BackupPolicy "one" is invalid: spec.schedule.cron: ')
    assert FIVE_FIELDS in line


@pytest.mark.parametrize("kind", GOOD)
def test_what_the_table_changes_is_good_before(kubectl: Kubectl, kind: str) -> None:
    answer = kubectl.apply(document(kind, {}, name="good"))
    assert answer.ok, answer.err


def test_a_policy_name_that_leaves_no_room_for_backup_names_is_refused(kubectl: Kubectl) -> None:
    answer = kubectl.apply(document("BackupPolicy", {}, name="p" * 221))
    assert_refused(answer, "Invalid value", "metadata.name may have at most 220 characters")


@pytest.mark.parametrize("length", [64, 200])
def test_long_names_of_policies_and_claims_are_accepted(kubectl: Kubectl, length: int) -> None:
    long = document("BackupPolicy", {"spec.source.claims.names": ["c" * length]}, name="p" * length)
    assert kubectl.apply(long).ok
    claims = [{"claim": "c" * length, "to": {"newClaim": {"name": "n" * length}}}]
    restore = document("RestoreRequest", {"spec.claims": claims}, name="r" * length)
    assert kubectl.apply(restore).ok


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.schedule": GONE},
        {"spec.retention": GONE},
        {"spec.schedule": GONE, "spec.retention": {"adhocDays": 7}},
        {"spec.retention": {"hourly": 8760}},
        {"spec.retention": {"yearly": 100}},
        {"spec.retention": {"last": 1000}},
        {"spec.retention": {"within": "1d12h"}},
        {"spec.adopt": {"labelPrefix": "backup-ns.sh"}},
        {"spec.schedule.cron": "@weekly"},
        {"spec.schedule.cron": "*/15 8-18 * * mon-fri"},
        {"spec.schedule.timeZone": "America/Argentina/Buenos_Aires"},
        {"spec.schedule.startingDeadline": "1d12h"},
        {"spec.schedule.jitter": "10m"},
        {"spec.schedule.blackouts": [OFFICE] * 8},
        {"spec.source.claims": {"selector": {"matchLabels": {"example.com/backup": ""}}}},
        {
            "spec.source.claims": {
                "names": ["a.b"],
                "selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
            }
        },
        {"spec.dumps": [DUMP, {**DUMP, "name": "two", "file": "/data/backstay/two.dump"}]},
        {"spec.dumps.0.file": "/data/.backstay/..shop dump"},
        {"spec.dumps.0.postgres": {}, "spec.dumps.0.minFree": "0"},
        {"spec.dumps.0.minFree": 0},
        {"spec.dumps.0.minFree": 67108864},
        {"spec.dumps.0.minFree": "123456789"},
        {"spec.dumps.0.target.container": GONE},
        {"spec.dumps.0.target.prefer": "Standby"},
        {"spec.source.claims": {"ofDumps": True}},
        {"spec.hooks.before": GONE, "spec.hooks.after": [HOOKS["after"][1]]},
        {"spec.hooks.after": GONE},
        {"spec.hooks.before.0.command": ["sh", "-c", "line 1\nline 2", "", "'\"$(id)", "-x"]},
        {"spec.hooks.maxFreeze": GONE},
        {"spec.hooks.before.0.freezes": True, "spec.hooks.before.1.freezes": True},
        {"spec.snapshot.consistency": "PerClaim"},
    ],
    ids=lambda changes: f"{changes!r:.60}",
)
def test_unusual_but_good_policies_are_accepted(kubectl: Kubectl, changes: dict[str, Any]) -> None:
    answer = kubectl.apply(document("BackupPolicy", changes, name="unusual"))
    assert answer.ok, answer.err


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Backup", {"spec.keepDays": 5}),
        ("Backup", {"spec.policy": "other"}),
        ("RestoreRequest", {"spec.from": {"backup": "other"}}),
        ("RestoreRequest", {"spec.claims.0.to.newClaim.name": "other"}),
    ],
)
def test_what_was_asked_for_cannot_be_changed(
    kubectl: Kubectl, kind: str, changes: dict[str, Any]
) -> None:
    assert kubectl.apply(document(kind, {}, name="fixed")).ok

    answer = kubectl.apply(document(kind, changes, name="fixed"))

    assert_refused(answer, "spec", f"spec is immutable: create another {kind}")


def test_a_policy_may_take_up_a_store_and_give_one_up(kubectl: Kubectl) -> None:
    rolled = {"destination": {"claim": {"name": "backups"}}}
    made = {"apiVersion": API, "kind": "BackupPolicy", "metadata": {"name": "stores"}}
    every: list[dict[str, Any]] = [
        {"rolling": rolled},
        {"rolling": rolled, "snapshot": {}},
        {"snapshot": {}},
        {},
        *uploads.GOOD,
    ]
    for stores in every:
        answer = kubectl.apply({**made, "spec": {"source": rolling.CLAIM_SOURCE, **stores}})
        assert answer.ok, answer.err
