"""The stores of a policy, by what it names."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.api.policy import PolicySpec

ROLLING = {"destination": {"claim": {"name": "nas"}}}
OFFSITE = {"name": "offsite", "copyMethod": "Clone"}


@pytest.mark.parametrize(
    ("blocks", "stores"),
    [
        ({}, ("Snapshot",)),
        ({"snapshot": {}}, ("Snapshot",)),
        ({"rolling": ROLLING}, ("Rolling",)),
        ({"repository": OFFSITE}, ("Repository",)),
        ({"repository": OFFSITE, "snapshot": {}}, ("Snapshot", "Repository")),
        ({"repository": OFFSITE, "rolling": ROLLING}, ("Rolling", "Repository")),
    ],
)
def test_snapshots_are_kept_unless_only_others_are_named(
    blocks: dict[str, Any], stores: tuple[str, ...]
) -> None:
    spec = PolicySpec.model_validate({"source": {"claims": {"names": ["data"]}}, **blocks})
    assert spec.stores == stores
    assert (spec.snapshots is not None) is ("Snapshot" in stores)


def test_a_store_is_kept_by_its_own_retention_else_by_that_of_the_policy() -> None:
    block = {**OFFSITE, "retention": {"daily": 30}}
    spec = PolicySpec.model_validate(
        {
            "source": {"claims": {"names": ["data"]}},
            "retention": {"daily": 7},
            "snapshot": {},
            "repository": block,
        }
    )
    kept = {store: spec.retention_of(store) for store in spec.stores}
    assert {store: one.daily for store, one in kept.items() if one} == {
        "Snapshot": 7,
        "Repository": 30,
    }
