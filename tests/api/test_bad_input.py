"""Bad input is answered at `kubectl apply`, with a message that names the field and the remedy."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.support.kubectl import Answer, Kubectl


class Gone(Enum):
    """A value that stands for: leave the field out."""

    GONE = "gone"


GONE: Final = Gone.GONE
STRICT: Final = "strict decoding error"

API: Final = "backstay.dev/v1alpha1"

DUMP: Final[dict[str, Any]] = {
    "name": "shop",
    "target": {"kind": "StatefulSet", "name": "pg", "container": "postgres"},
    "postgres": {"databases": ["shop"]},
    "file": "/data/backstay/shop.dump",
}

HOOKS: Final[dict[str, Any]] = {
    "before": [
        {"name": "quiet", "target": DUMP["target"], "command": ["fsfreeze", "--freeze", "/data"]},
        {
            "name": "session",
            "target": DUMP["target"],
            "session": {"command": ["psql"], "begin": "select 1;", "end": "select 2;"},
        },
    ],
    "after": [
        {"name": "quiet", "command": ["fsfreeze", "--unfreeze", "/data"]},
        {"name": "tell", "target": DUMP["target"], "command": ["echo", "done"]},
    ],
    "maxFreeze": "30s",
}

CLAIM: Final[dict[str, Any]] = {"claim": "data-pg-0", "to": {"newClaim": {"name": "data-restored"}}}

GOOD: Final[dict[str, dict[str, Any]]] = {
    "BackupPolicy": {
        "schedule": {"cron": "32 0 * * *", "timeZone": "Europe/Vienna", "startingDeadline": "6h"},
        "source": {"claims": {"names": ["data-pg-0"]}},
        "dumps": [DUMP],
        "hooks": HOOKS,
        "snapshot": {"className": "fast"},
        "retention": {"daily": 7, "weekly": 4, "monthly": 12},
        "retries": 2,
    },
    "Backup": {"policy": "shop"},
    "RestoreRequest": {"from": {"backup": "shop-20261122-0032"}, "claims": [CLAIM]},
}

FIVE_FIELDS: Final = "must have five fields (minute hour day-of-month month day-of-week)"
DURATION: Final = "must be a duration such as 90s, 10m, 1h30m or 2d, longer than 0"
OBJECT: Final = "must be the name of a Kubernetes object"
PREFIX: Final = "must be the prefix of labels, without its slash, such as backup-ns.sh"
SCHEDULE: Final = "spec.schedule"
WINDOW: Final = "spec.schedule.blackouts[0]"
OFFICE: Final = {"start": "0 8 * * mon-fri", "duration": "10h"}
CLAIMS: Final = "spec.source.claims"
CLAIMS_NEED: Final = "claims needs names, a selector, or ofDumps: true"


def document(kind: str, changes: dict[str, Any], name: str = "shop") -> dict[str, Any]:
    """Given a kind and values by path (`spec.dumps.0.file`), return a good object changed so."""
    made: dict[str, Any] = {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": name},
        "spec": copy.deepcopy(GOOD[kind]),
    }
    for path, value in changes.items():
        *above, last = (int(part) if part.isdigit() else part for part in path.split("."))
        node: Any = made
        for part in above:
            node = node[part]
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return made


@dataclass(frozen=True, slots=True)
class Row:
    """One bad input, and what one line of the answer must say of it."""

    kind: str
    changes: dict[str, Any]
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.changes!r:.60}"


def policy(path: str, value: Any, field: str, message: str) -> Row:
    return Row("BackupPolicy", {path: value}, field, message)


def window(value: dict[str, Any], field: str, message: str) -> Row:
    return policy("spec.schedule.blackouts", [value], field, message)


def backup(changes: dict[str, Any], field: str, message: str) -> Row:
    return Row("Backup", changes, field, message)


def restore(changes: dict[str, Any], field: str, message: str) -> Row:
    return Row("RestoreRequest", changes, field, message)


BAD: Final = [
    policy("spec.schedule.cron", "0 32 0 * * *", f"{SCHEDULE}.cron", FIVE_FIELDS),
    policy("spec.schedule.cron", "32 0 * *", f"{SCHEDULE}.cron", FIVE_FIELDS),
    policy("spec.schedule.cron", "@reboot", f"{SCHEDULE}.cron", "or be one of @hourly, @daily"),
    policy("spec.schedule.cron", "CRON_TZ=UTC 1 2 * * *", f"{SCHEDULE}.cron", "into timeZone"),
    policy("spec.schedule.cron", GONE, f"{SCHEDULE}.cron", "Required value"),
    policy("spec.schedule.timeZone", "../x", f"{SCHEDULE}.timeZone", "such as UTC or Europe/"),
    policy("spec.schedule.startingDeadline", "0s", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.startingDeadline", "6 hours", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.startingDeadline", "-6h", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.startingDeadline", "", f"{SCHEDULE}.startingDeadline", DURATION),
    policy("spec.schedule.jitter", "0s", f"{SCHEDULE}.jitter", DURATION),
    policy("spec.schedule.jitter", "ten", f"{SCHEDULE}.jitter", DURATION),
    window({"duration": "1h"}, f"{WINDOW}.start", "Required value"),
    window({"start": "@daily"}, f"{WINDOW}.duration", "Required value"),
    window({"start": "08:00", "duration": "1h"}, f"{WINDOW}.start", FIVE_FIELDS),
    window({"start": "@daily", "duration": "till 8"}, f"{WINDOW}.duration", DURATION),
    window({"start": "@daily", "duration": "1h", "end": "@daily"}, STRICT, f'"{WINDOW}.end"'),
    policy("spec.schedule.blackouts", [OFFICE] * 9, f"{SCHEDULE}.blackouts", "at most 8 items"),
    policy("spec.snapshot.cutTimeout", "1h5", "spec.snapshot.cutTimeout", DURATION),
    policy("spec.snapshot.readyTimeout", "5000d", "spec.snapshot.readyTimeout", DURATION),
    policy("spec.snapshot.className", "Fast", "spec.snapshot.className", OBJECT),
    policy("spec.source", GONE, "spec.source", "Required value"),
    policy("spec.source", {}, "spec.source", "source needs exactly one of claims and hostPath"),
    policy("spec.source.claims", {}, CLAIMS, CLAIMS_NEED),
    policy("spec.source.claims", {"names": []}, CLAIMS, CLAIMS_NEED),
    policy("spec.source.claims", {"selector": {}}, f"{CLAIMS}.selector", "name at least one label"),
    policy(
        "spec.source.claims",
        {"selector": {"matchLabels": {}}},
        f"{CLAIMS}.selector",
        "selector is empty and would match every claim",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchLabels": {"a b": "c"}}},
        f"{CLAIMS}.selector.matchLabels",
        "must be a label's key, such as app",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchLabels": {"app": "a b"}}},
        f"{CLAIMS}.selector.matchLabels[app]",
        "must be a label's value",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
        f"{CLAIMS}.selector.matchExpressions[0]",
        "values are required for In and NotIn",
    ),
    policy(
        "spec.source.claims",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "Equals"}]}},
        f"{CLAIMS}.selector.matchExpressions[0].operator",
        'supported values: "In", "NotIn", "Exists", "DoesNotExist"',
    ),
    policy("spec.source.claims.names", ["Data"], f"{CLAIMS}.names[0]", OBJECT),
    policy("spec.source.claims.names", ["a" * 254], f"{CLAIMS}.names[0]", "more than 253 bytes"),
    policy("spec.source.claims.names", ["a", "a"], f"{CLAIMS}.names[1]", "Duplicate value"),
    policy("spec.retention.daily", -1, "spec.retention.daily", "greater than or equal to 0"),
    policy("spec.retention.weekly", 5000, "spec.retention.weekly", "less than or equal to 1040"),
    policy("spec.retention.monthly", 10**9, "spec.retention.monthly", "less than or equal to 240"),
    policy("spec.retention.adhocDays", 0, "spec.retention.adhocDays", "greater than or equal to 1"),
    policy("spec.retention.hourly", 8761, "spec.retention.hourly", "less than or equal to 8760"),
    policy("spec.retention.yearly", 101, "spec.retention.yearly", "less than or equal to 100"),
    policy("spec.retention.last", 1001, "spec.retention.last", "less than or equal to 1000"),
    policy("spec.retention.within", "0s", "spec.retention.within", "longer than 0"),
    policy("spec.retention.within", "soon", "spec.retention.within", "must be a duration"),
    policy("spec.retention.failed", -3, "spec.retention.failed", "greater than or equal to 0"),
    policy("spec.retention.daily", 1.5, "spec.retention.daily", "must be of type integer"),
    policy("spec.retention", {}, "spec", "set last, within, hourly, daily"),
    policy("spec.retries", 11, "spec.retries", "less than or equal to 10"),
    policy("spec.retention.minutely", 3, STRICT, 'unknown field "spec.retention.minutely"'),
    policy("spec.adopt", {}, "spec.adopt.labelPrefix", "Required value"),
    policy("spec.adopt", {"labelPrefix": ""}, "spec.adopt.labelPrefix", "at least 1 chars long"),
    policy("spec.adopt", {"labelPrefix": "backup-ns.sh/"}, "spec.adopt.labelPrefix", PREFIX),
    policy("spec.adopt", {"labelPrefix": "Backup NS"}, "spec.adopt.labelPrefix", PREFIX),
    policy("spec.adopt", {"labelPrefix": "backstay.dev"}, "spec.adopt", "the other tool's"),
    policy("spec", GONE, "spec", "Required value"),
    backup({"spec.policy": GONE}, "spec.policy", "Required value"),
    backup({"spec.policy": "Shop"}, "spec.policy", OBJECT),
    backup({"spec.trigger": "Manual"}, "spec.trigger", 'supported values: "Scheduled", "AdHoc"'),
    backup({"spec.trigger": "Scheduled"}, "spec", "scheduledFor is required when trigger is Sch"),
    backup(
        {"spec.scheduledFor": "2026-11-22T00:32:00Z"},
        "spec",
        "scheduledFor is set by the operator, for trigger Scheduled or Imported only",
    ),
    backup({"spec.scheduledFor": "tomorrow"}, "spec.scheduledFor", "must be of type date-time"),
    backup({"spec.keepDays": 0}, "spec.keepDays", "greater than or equal to 1"),
    backup({"spec.keepDays": 100000}, "spec.keepDays", "less than or equal to 3660"),
    backup(
        {
            "spec.trigger": "Scheduled",
            "spec.scheduledFor": "2026-11-22T00:32:00Z",
            "spec.keepDays": 3,
        },
        "spec",
        "keepDays is for trigger AdHoc only",
    ),
    restore({"spec.from": {}}, "spec.from", "from needs exactly one of backup and volumeSnapshot"),
    restore(
        {"spec.from": {"backup": "a", "volumeSnapshot": "b"}},
        "spec.from",
        "from needs exactly one of backup and volumeSnapshot",
    ),
    restore({"spec.from": GONE}, "spec.from", "Required value"),
    restore({"spec.claims": []}, "spec.claims", "should have at least 1 items"),
    restore({"spec.claims": [CLAIM, CLAIM]}, "spec.claims[1]", "Duplicate value"),
    restore(
        {"spec.claims": [CLAIM, {**CLAIM, "claim": "data-pg-1"}]},
        "spec",
        "two claims are restored into the same newClaim",
    ),
    restore(
        {
            "spec.from": {"volumeSnapshot": "snap"},
            "spec.claims": [
                CLAIM,
                {"claim": "data-pg-1", "to": {"newClaim": {"name": "other"}}},
            ],
        },
        "spec",
        "a volumeSnapshot holds one claim: restore exactly one from it",
    ),
    restore({"spec.claims.0.to": {}}, "spec.claims[0].to.newClaim", "Required value"),
    restore(
        {"spec.claims.0.to.newClaim.name": "Data_2"}, "spec.claims[0].to.newClaim.name", OBJECT
    ),
    restore({"spec.claims.0.to.inPlace": {}}, STRICT, 'unknown field "spec.claims[0].to.inPla'),
]


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Kubectl:
    made = Kubectl(kubeconfig, "bad-input")
    answer = made("create", "namespace", made.namespace)
    assert answer.ok, answer.err
    return made


@pytest.fixture(scope="module")
def refusals(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Apply all bad input at once, as a folder of files; return the answers by row."""
    return apply_all(kubectl, BAD, tmp_path_factory.mktemp("bad"))


def apply_all(kubectl: Kubectl, rows: Sequence[Row], folder: Path) -> dict[int, str]:
    """Given bad input, apply it at once from an empty folder; return the answers by row."""
    for number, row in enumerate(rows):
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
        {"spec.dumps.0.target.container": GONE},
        {"spec.dumps.0.target.prefer": "Standby"},
        {"spec.source.claims": {"ofDumps": True}},
        {"spec.hooks.before": GONE, "spec.hooks.after": [HOOKS["after"][1]]},
        {"spec.hooks.after": GONE},
        {"spec.hooks.before.0.command": ["sh", "-c", "line 1\nline 2", "", "'\"$(id)", "-x"]},
        {"spec.hooks.maxFreeze": GONE},
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
