"""docs/how-to/repository.md has every reason that people may see, and names fields that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from backstay.domain.run.machine import FORBIDDEN
from backstay.domain.stores.repository import opening
from backstay.domain.stores.repository.reasons import Reason

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/how-to/repository.md").read_text(encoding="utf-8")
ALL = list(Reason)
OF_A_REPOSITORY = [*ALL[: ALL.index(Reason.BAD_EXCLUDE)], Reason.INTERRUPTED, Reason.FAILED]
OURS = (
    "Initialised",
    "Opened",
    opening.OPENING,
    opening.JOB_WAITS,
    opening.JOB_FAILED,
    opening.NOT_UNDERSTOOD,
    FORBIDDEN,
    "InvalidSpec",
)
ROW = re.compile(r"^\| (?:True|False|Unknown)[^|]*\| ([^|]+) \|", re.MULTILINE)
FIELD = re.compile(r"`((?:spec|status)\.[\w.]+)`")


def shown() -> list[str]:
    return [reason for row in ROW.findall(GUIDE) for reason in row.split(", ")]


def schema() -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds/backuprepositories.yaml").read_text())
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def leaves(node: dict[str, Any], path: str) -> list[str]:
    """The fields below one that have no fields of their own."""
    if "properties" not in node:
        return [path]
    return [
        leaf for key, child in node["properties"].items() for leaf in leaves(child, f"{path}.{key}")
    ]


@pytest.mark.parametrize("reason", sorted({*OF_A_REPOSITORY, *OURS}))
def test_each_reason_of_ready_has_one_row_with_a_remedy(reason: str) -> None:
    assert shown().count(reason) == 1


def test_no_row_is_about_a_reason_that_there_is_not() -> None:
    assert set(shown()) == {*OF_A_REPOSITORY, *OURS}


@pytest.mark.parametrize(
    "field", sorted(set(FIELD.findall(GUIDE)) - {"status.restic.lastUnlocked"})
)
def test_a_field_that_the_guide_names_exists(field: str) -> None:
    node = schema()
    for part in field.split("."):
        node = node["properties"][part]


def test_the_table_of_volsyncs_fields_and_what_is_new_name_every_field_of_the_spec() -> None:
    named = GUIDE[GUIDE.index("## From VolSync") :]
    missing = [
        field
        for field in leaves(schema()["properties"]["spec"], "spec")
        if not any(field.startswith(one) for one in FIELD.findall(named))
        and not named.count(f"`.{field.rsplit('.', 1)[1]}`")
    ]
    assert missing == []
