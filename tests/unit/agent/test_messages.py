"""What the agent says stands in the status of our objects: in their words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import backstay.agent

ROOT = Path(__file__).parents[3]
FIELD = re.compile(r"\bspec(?:\.[a-z][A-Za-z]*)+")


def named() -> set[str]:
    folder = Path(backstay.agent.__file__).parent
    return {field for path in folder.rglob("*.py") for field in FIELD.findall(path.read_text())}


def has(schema: dict[str, Any], field: str) -> bool:
    for part in field.split("."):
        if part not in schema.get("properties", {}):
            return False
        schema = schema["properties"][part]
    return True


@pytest.fixture(scope="module")
def schemas() -> list[dict[str, Any]]:
    found = []
    for name in ("backuppolicies", "backuprepositories", "restorerequests"):
        crd = yaml.safe_load((ROOT / f"crds/{name}.yaml").read_text())
        found += [v["schema"]["openAPIV3Schema"] for v in crd["spec"]["versions"]]
    return found


def test_every_field_that_the_agent_names_is_one_of_the_users(
    schemas: list[dict[str, Any]],
) -> None:
    assert len(named()) > 5
    assert {f for f in named() if not any(has(schema, f) for schema in schemas)} == set()
