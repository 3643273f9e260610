"""The CRDs as a real API server sees them, and as people see them through kubectl."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.support.kubectl import Kubectl

from backstay.api.common import format_time
from backstay.api.kinds import KINDS

ROOT: Final = Path(__file__).parents[2]
CRDS: Final = [f"{kind.meta.plural}.backstay.dev" for kind in KINDS]
ALL: Final = "backuppolicies,backups.backstay.dev,restorerequests"
EXAMPLES: Final = sorted((ROOT / "examples").glob("*.yaml"))

POLICY: Final[dict[str, Any]] = {
    "schedule": {"cron": "32 0 * * *", "timeZone": "Europe/Vienna"},
    "source": {"claims": {"names": ["data-pg-0"]}},
    "retention": {"daily": 7},
}


def namespaced(kubeconfig: Path, namespace: str) -> Kubectl:
    made = Kubectl(kubeconfig, namespace)
    answer = made("create", "namespace", namespace)
    assert answer.ok, answer.err
    return made


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Kubectl:
    return namespaced(kubeconfig, "crds")


def create(kubectl: Kubectl, kind: str, name: str, spec: dict[str, Any]) -> None:
    answer = kubectl.apply(
        {
            "apiVersion": "backstay.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
    )
    assert answer.ok, answer.err


@pytest.mark.parametrize("name", CRDS)
def test_the_api_server_accepts_the_crd_in_full(kubectl: Kubectl, name: str) -> None:
    """Schema, CEL cost, columns and selectable fields: no NonStructuralSchema, nothing dropped."""
    crd = kubectl.get("crd", name)

    conditions = {one["type"]: one["status"] for one in crd["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    (version,) = crd["spec"]["versions"]
    file = ROOT / "crds" / f"{crd['spec']['names']['plural']}.yaml"
    wanted = yaml.safe_load(file.read_text())
    assert version == wanted["spec"]["versions"][0]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_accepted_and_means_what_it_says(kubeconfig: Path, path: Path) -> None:
    kubectl = Kubectl(kubeconfig, "shop")
    kubectl("create", "namespace", "shop")  # may exist: every example lives there

    answer = kubectl("apply", "-f", str(path))

    assert answer.ok, answer.err
    written = yaml.safe_load(path.read_text())
    stored = kubectl.get("-f", str(path))
    model = next(kind.spec for kind in KINDS if kind.meta.kind == written["kind"])
    assert model.model_validate(stored["spec"]) == model.model_validate(written["spec"])


def test_there_are_examples_of_every_kind() -> None:
    kinds = {yaml.safe_load(path.read_text())["kind"] for path in EXAMPLES}
    assert kinds == {kind.meta.kind for kind in KINDS}


def test_defaults_are_written_into_a_policy(kubectl: Kubectl) -> None:
    create(kubectl, "BackupPolicy", "defaults", POLICY)

    assert kubectl.get("bp", "defaults")["spec"] == {
        "suspend": False,
        "schedule": {
            "cron": "32 0 * * *",
            "timeZone": "Europe/Vienna",
            "startingDeadline": "6h",
        },
        "source": {"claims": {"names": ["data-pg-0"], "ofDumps": False}},
        "retention": {
            "last": 0,
            "hourly": 0,
            "daily": 7,
            "weekly": 0,
            "monthly": 0,
            "yearly": 0,
            "adhocDays": 30,
            "failed": 3,
        },
        "retries": 2,
    }


def test_a_backup_that_a_person_makes_is_ad_hoc(kubectl: Kubectl) -> None:
    create(kubectl, "Backup", "by-hand", {"policy": "shop"})
    assert kubectl.get("bk", "by-hand")["spec"] == {"policy": "shop", "trigger": "AdHoc"}


def test_a_status_is_written_through_its_subresource_only(kubectl: Kubectl) -> None:
    create(kubectl, "Backup", "status", {"policy": "shop"})

    assert kubectl("patch", "bk", "status", "--type=merge", "-p", '{"status":{"attempt":7}}').ok
    assert "status" not in kubectl.get("bk", "status")

    kubectl.set_status("bk", "status", {"phase": "Dumping", "attempt": 1})
    assert kubectl.get("bk", "status")["status"] == {"phase": "Dumping", "attempt": 1}


def test_a_phase_that_does_not_exist_is_refused(kubectl: Kubectl) -> None:
    create(kubectl, "Backup", "phase", {"policy": "shop"})
    answer = kubectl(
        "patch", "bk", "phase", "--subresource=status", "--type=merge", "-p",
        '{"status":{"phase":"Done"}}',
    )  # fmt: skip
    assert not answer.ok
    assert 'status.phase: Unsupported value: "Done"' in answer.err


@pytest.mark.parametrize(
    ("resource", "selector", "names"),
    [
        ("backups.backstay.dev", "status.phase=Failed", ["b-failed"]),
        ("backups.backstay.dev", "spec.policy=b", ["b-failed", "b-new"]),
        ("backups.backstay.dev", "status.phase!=Failed,status.phase!=Completed", ["b-new"]),
        ("restorerequests", "status.phase=Refused", ["refused"]),
    ],
)
def test_objects_are_selected_by_phase_and_policy(
    kubeconfig: Path, resource: str, selector: str, names: list[str]
) -> None:
    kubectl = Kubectl(kubeconfig, "selected")
    if kubectl("create", "namespace", "selected").ok:
        for name, spec, phase in (
            ("a-done", "a", "Completed"),
            ("b-failed", "b", "Failed"),
            ("b-new", "b", None),
        ):
            create(kubectl, "Backup", name, {"policy": spec})
            if phase:
                kubectl.set_status("bk", name, {"phase": phase})
        for name, phase in (("refused", "Refused"), ("running", "Restoring")):
            create(kubectl, "RestoreRequest", name, restore_spec("a-done"))
            kubectl.set_status("rr", name, {"phase": phase})

    found = kubectl.get(resource, "--field-selector", selector)

    assert sorted(one["metadata"]["name"] for one in found["items"]) == names


def test_the_category_shows_all_kinds(kubectl: Kubectl) -> None:
    create(kubectl, "RestoreRequest", "category", restore_spec("x"))
    create(kubectl, "Backup", "category", {"policy": "x"})
    create(kubectl, "BackupPolicy", "category", POLICY)
    create(kubectl, "BackupRepository", "category", {"secretRef": {"name": "offsite"}})

    shown = kubectl("get", "backstay", "-o", "name").out.splitlines()

    assert {f"{kind.meta.singular}.backstay.dev/category" for kind in KINDS} <= set(shown)


def restore_spec(backup: str) -> dict[str, Any]:
    to = {"newClaim": {"name": "data-restored"}}
    return {"from": {"backup": backup}, "claims": [{"claim": "data-pg-0", "to": to}]}


READY: Final = {
    "type": "Ready",
    "status": "True",
    "reason": "Valid",
    "message": "The policy is valid.",
    "lastTransitionTime": "2026-11-21T09:00:00Z",
}

BACKUPS: Final = (
    ("20261120-0032", "PartiallyFailed", "daily,weekly,monthly", "monthly until 11-20"),
    ("20261121-0032", "Completed", "daily", "daily until 11-28"),
    ("20261122-0032", "Failed", None, None),
    ("20261123-0032", "Snapshotting", None, None),
)


def fill(kubectl: Kubectl, policy: str) -> None:
    """Make a policy with its backups and a restore, with the longest that a status says."""
    create(kubectl, "BackupPolicy", policy, POLICY)
    made = datetime.fromisoformat(kubectl.get("bp", policy)["metadata"]["creationTimestamp"])
    taken = format_time(made - timedelta(hours=33))
    kubectl.set_status(
        "bp",
        policy,
        {
            "conditions": [READY],
            "nextRun": "2026-11-24 00:32 CET",
            "lastSuccess": taken,
            "good": 123,
        },
    )
    for stamp, phase, tiers, until in BACKUPS:
        create(kubectl, "Backup", f"{policy}-{stamp}", {"policy": policy})
        status: dict[str, Any] = {"phase": phase, "message": "pg_dump: error: " + "x" * 300}
        if tiers:
            status |= {"tiers": tiers, "until": until, "size": "1023 MiB", "taken": taken}
        kubectl.set_status("bk", f"{policy}-{stamp}", status)
    create(kubectl, "RestoreRequest", f"{policy}-aside", restore_spec(f"{policy}-20261121-0032"))
    kubectl.set_status(
        "rr",
        f"{policy}-aside",
        {
            "phase": "Completed",
            "backup": f"{policy}-20261121-0032",
            "into": "data-restored +2",
            "message": "3 claims are restored and verified.",
        },
    )


def lines_within_120(text: str) -> list[str]:
    lines = text.splitlines()
    for line in lines:
        assert len(line.rstrip()) <= 120, f"{len(line)} columns: {line}"
    assert "<invalid>" not in text
    return lines


def test_all_kinds_together_read_well_at_120_columns(kubeconfig: Path) -> None:
    kubectl = namespaced(kubeconfig, "printed")
    fill(kubectl, "shop")

    lines = lines_within_120(kubectl("get", ALL).out)

    heads = [line.split("  ") for line in lines if line.startswith("NAME")]
    assert [[word.strip() for word in head if word] for head in heads] == [
        ["NAME", "SCHEDULE", "SUSPEND", "LAST SUCCESS", "NEXT RUN", "READY", "GOOD", "AGE"],
        ["NAME", "PHASE", "TIERS", "SIZE", "TAKEN", "UNTIL"],
        ["NAME", "BACKUP", "PHASE", "INTO", "AGE"],
    ]
    rows = {line.split("  ")[0].rpartition("/")[2]: line for line in lines if "/" in line}
    for value in ("32 0 * * *", "false", "2026-11-24 00:32 CET", "True", "123"):
        assert value in rows["shop"]
    for value in ("PartiallyFailed", "daily,weekly,monthly", "1023 MiB", "monthly until 11-20"):
        assert value in rows["shop-20261120-0032"]
    for value in ("shop-20261121-0032", "Completed", "data-restored +2"):
        assert value in rows["shop-aside"]


@pytest.mark.parametrize("resource", ["bp", "bk", "rr"])
def test_each_kind_reads_well_with_longer_names(kubeconfig: Path, resource: str) -> None:
    kubectl = Kubectl(kubeconfig, "printed-long")
    if kubectl("create", "namespace", "printed-long").ok:
        fill(kubectl, "customer-orders-postgres")

    lines = lines_within_120(kubectl("get", resource).out)

    assert len(lines) == {"bp": 2, "bk": 5, "rr": 2}[resource]


def test_wide_columns_say_why(kubeconfig: Path) -> None:
    kubectl = namespaced(kubeconfig, "printed-wide")
    fill(kubectl, "shop")

    shown = kubectl("get", ALL, "-o", "wide").out

    assert "pg_dump: error: xxx" in shown
    assert "3 claims are restored and verified." in shown
    assert "Valid" in shown
