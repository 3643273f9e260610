"""Who may create which Backups, with the policy and the roles that are installed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.kubectl import Answer, Kubectl

from backstay.api.common import API_VERSION

ROOT = Path(__file__).parents[2]
INSTALLED = ("rbac.yaml", "rbac-tenants.yaml", "admission.yaml")
OPERATOR = "system:serviceaccount:backstay:backstay"
TENANT = "tenant"
SLOT = "2026-11-22T00:32:00Z"
ACTIVE_WITHIN = 30.0
"""Seconds in which the API server heeds a policy that was created."""


def ask(kubectl: Kubectl, who: str, name: str, **spec: Any) -> Answer:
    """Have somebody ask for a Backup; nothing is stored."""
    made = {
        "apiVersion": API_VERSION,
        "kind": "Backup",
        "metadata": {"name": name},
        "spec": {"policy": "shop", **spec},
    }
    arguments = ("create", "--dry-run=server", "-f", "-", *([f"--as={who}"] if who else []))
    return kubectl(*arguments, stdin=yaml.safe_dump(made))


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Iterator[Kubectl]:
    """With what is installed, in force, and a tenant who may edit one namespace."""
    made = Kubectl(kubeconfig, "triggers")
    assert made("create", "namespace", made.namespace).ok
    made("create", "namespace", "backstay")
    files = [f"--filename={ROOT / 'manifests' / name}" for name in INSTALLED]
    # The namespace that kustomize gives to what is in one.
    applied = Kubectl(kubeconfig, "backstay")("apply", *files)
    assert applied.ok, applied.err
    bound = made("create", "rolebinding", "t", "--clusterrole=backstay-edit", f"--user={TENANT}")
    assert bound.ok, bound.err
    try:
        until = time.monotonic() + ACTIVE_WITHIN
        while ask(made, TENANT, "early", trigger="Scheduled", scheduledFor=SLOT).ok:
            assert time.monotonic() < until, "the policy is never in force"
            time.sleep(0.2)
        yield made
    finally:
        made("delete", f"--filename={ROOT / 'manifests/admission.yaml'}")


@pytest.mark.parametrize(
    "spec", [{"trigger": "Scheduled", "scheduledFor": SLOT}, {"trigger": "Imported"}]
)
def test_a_tenant_asks_for_runs_by_hand_only(kubectl: Kubectl, spec: dict[str, str]) -> None:
    refused = ask(kubectl, TENANT, "mine", **spec)

    assert not refused.ok
    assert "spec.trigger: only the operator sets Scheduled and Imported; leave it" in refused.err
    for given in ({}, {"trigger": "AdHoc"}):
        asked = ask(kubectl, TENANT, "by-hand", **given)
        assert asked.ok, asked.err


@pytest.mark.parametrize("who", [OPERATOR, ""], ids=["operator", "administrator"])
def test_the_operator_and_administrators_set_any_trigger(kubectl: Kubectl, who: str) -> None:
    for spec in ({"trigger": "Scheduled", "scheduledFor": SLOT}, {"trigger": "Imported"}):
        made = ask(kubectl, who, "any", **spec)
        assert made.ok, made.err
