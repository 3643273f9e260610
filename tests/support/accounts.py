"""The operator as the service account that it is in a cluster, with the rights of the manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tests.support.kubectl import Kubectl

from backstay.domain.objects import Obj
from backstay.kube.login import Login, login

ROOT = Path(__file__).parents[2]
ACCOUNT = "operator"


def installed_rules() -> list[Obj]:
    """Return the rules of the operator's ClusterRole as it is installed."""
    documents = yaml.safe_load_all((ROOT / "manifests" / "rbac.yaml").read_text())
    (role,) = [d for d in documents if d["kind"] == "ClusterRole"]
    rules: list[Obj] = role["rules"]
    return rules


def without(rules: list[Obj], resource: str) -> list[Obj]:
    """Given rules and a resource, return them without what they say of it."""
    return [rule for rule in rules if resource not in rule["resources"]]


async def make_operator(kubectl: Kubectl, folder: Path, rules: list[Obj]) -> Login:
    """Given an administrator's kubectl, a folder and rules, make an account in its namespace that
    has them in all namespaces; return its login.
    """
    name = f"{kubectl.namespace}-operator"
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": kubectl.namespace}
    apply(kubectl, "v1", "ServiceAccount", ACCOUNT)
    grant(kubectl, "ClusterRole", name, rules)
    bind(kubectl, "ClusterRole", name, subject)
    token = kubectl("create", "token", ACCOUNT)
    assert token.ok, token.err
    config = yaml.safe_load(kubectl.kubeconfig.read_text())
    config["users"] = [{"name": "admin", "user": {"token": token.out.strip()}}]
    mine = folder / "operator-kubeconfig"
    mine.write_text(yaml.safe_dump(config))
    mine.chmod(0o600)
    return await login(mine)


def grant_secret(kubectl: Kubectl, secret: str) -> None:
    """Given a Secret's name, let the operator read it, as docs/how-to/dumps.md says."""
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret]}
    grant(kubectl, "Role", "backstay-reads", [rule | {"verbs": ["get"]}])
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": kubectl.namespace}
    bind(kubectl, "Role", "backstay-reads", subject)


def grant(kubectl: Kubectl, kind: str, name: str, rules: list[Obj]) -> None:
    """Given a kind of role, its name and rules, make it so."""
    apply(kubectl, "rbac.authorization.k8s.io/v1", kind, name, rules=rules)


def bind(kubectl: Kubectl, kind: str, role: str, subject: Obj) -> None:
    """Given a role and a subject, bind them."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    apply(
        kubectl,
        "rbac.authorization.k8s.io/v1",
        f"{kind}Binding",
        role,
        roleRef=reference,
        subjects=[subject],
    )


def apply(kubectl: Kubectl, version: str, kind: str, name: str, **fields: Any) -> None:
    """Given an object, apply it."""
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}
    answer = kubectl.apply(made)
    assert answer.ok, answer.err
