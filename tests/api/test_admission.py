"""Who may write what, with the admission policies and the roles that are installed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
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
"""May do in a namespace what Kubernetes' edit allows, as far as it matters here."""
CLERK = "clerk"
"""May write our objects, and nothing else."""
MAKER = "maker"
"""May write our objects and make Pods."""
EXECUTOR = "executor"
"""May write our objects and run commands in pods, but read no Secrets."""
ROLES = {
    "executes": (["pods/exec"], ["create"], (TENANT, EXECUTOR)),
    "reads-secrets": (["secrets"], ["get"], (TENANT,)),
    "makes-pods": (["pods"], ["create"], (TENANT, MAKER)),
    "deletes-claims": (["persistentvolumeclaims"], ["delete"], (TENANT,)),
}
SLOT = "2026-11-22T00:32:00Z"
ACTIVE_WITHIN = 30.0
"""Seconds in which the API server heeds a policy that was created."""

Spec = dict[str, Any]
TARGET = {"kind": "Pod", "name": "db"}
DUMP = {"name": "all", "target": TARGET, "file": "/data/all.dump", "command": {"argv": ["id"]}}
FROM_SECRET = {"secretKeyRef": {"name": "db", "key": "password"}}
HOOKS = {"before": [{"name": "freeze", "target": TARGET, "command": ["sync"]}]}
SCHEDULE = {"cron": "0 6 * * *", "timeZone": "UTC"}


def ask(kubectl: Kubectl, who: str, kind: str, **spec: Any) -> Answer:
    """Have somebody ask for an object; nothing is stored."""
    made = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "mine"}, "spec": spec}
    arguments = ("create", "--dry-run=server", "-f", "-", *([f"--as={who}"] if who else []))
    return kubectl(*arguments, stdin=yaml.safe_dump(made))


def ask_backup(kubectl: Kubectl, who: str, **spec: Any) -> Answer:
    return ask(kubectl, who, "Backup", policy="shop", **spec)


def ask_policy(kubectl: Kubectl, who: str, **spec: Any) -> Answer:
    return ask(kubectl, who, "BackupPolicy", source={"claims": {"names": ["data"]}}, **spec)


def ask_restore(kubectl: Kubectl, who: str, **directory: Any) -> Answer:
    return ask(
        kubectl,
        who,
        "RestoreRequest",
        **{"from": {"backup": "shop-1"}},
        directory=directory,
        notAfter=SLOT,
    )


def ask_repository(kubectl: Kubectl, who: str, **spec: Any) -> Answer:
    return ask(kubectl, who, "BackupRepository", secretRef={"name": "s3"}, **spec)


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Iterator[Kubectl]:
    """With what is installed, in force, and four users of one namespace."""
    made = Kubectl(kubeconfig, "admission")
    assert made("create", "namespace", made.namespace).ok
    made("create", "namespace", "backstay")
    files = [f"--filename={ROOT / 'manifests' / name}" for name in INSTALLED]
    # The namespace that kustomize gives to what is in one.
    applied = Kubectl(kubeconfig, "backstay")("apply", *files)
    assert applied.ok, applied.err
    _bind(made, "clusterrole", "backstay-edit", (TENANT, CLERK, EXECUTOR, MAKER))
    for name, (resources, verbs, users) in ROLES.items():
        rights = [f"--resource={','.join(resources)}", f"--verb={','.join(verbs)}"]
        assert made("create", "role", name, *rights).ok
        _bind(made, "role", name, users)
    early = (
        partial(ask_backup, made, CLERK, trigger="Imported"),
        partial(ask_policy, made, CLERK, hooks=HOOKS),
        partial(ask_restore, made, CLERK, inPlace={}),
        partial(ask_repository, made, CLERK),
    )
    try:
        until = time.monotonic() + ACTIVE_WITHIN
        while any(write().ok for write in early):
            assert time.monotonic() < until, "the policies are never in force"
            time.sleep(0.2)
        yield made
    finally:
        made("delete", f"--filename={ROOT / 'manifests/admission.yaml'}")


def _bind(kubectl: Kubectl, kind: str, role: str, users: tuple[str, ...]) -> None:
    given = [f"--{kind}={role}", *(f"--user={user}" for user in users)]
    bound = kubectl("create", "rolebinding", role, *given)
    assert bound.ok, bound.err


@pytest.mark.parametrize(
    "spec", [{"trigger": "Scheduled", "scheduledFor": SLOT}, {"trigger": "Imported"}]
)
def test_a_tenant_asks_for_runs_by_hand_only(kubectl: Kubectl, spec: Spec) -> None:
    refused = ask_backup(kubectl, TENANT, **spec)

    assert not refused.ok
    assert "spec.trigger: only the operator sets Scheduled and Imported; leave it" in refused.err
    for given in ({}, {"trigger": "AdHoc"}):
        asked = ask_backup(kubectl, TENANT, **given)
        assert asked.ok, asked.err


@pytest.mark.parametrize("who", [OPERATOR, ""], ids=["operator", "administrator"])
def test_the_operator_and_administrators_set_any_trigger(kubectl: Kubectl, who: str) -> None:
    for spec in ({"trigger": "Scheduled", "scheduledFor": SLOT}, {"trigger": "Imported"}):
        made = ask_backup(kubectl, who, **spec)
        assert made.ok, made.err


@pytest.mark.parametrize("spec", [{"dumps": [DUMP]}, {"hooks": HOOKS}], ids=["dumps", "hooks"])
def test_commands_in_pods_are_set_by_who_may_run_them(kubectl: Kubectl, spec: Spec) -> None:
    refused = ask_policy(kubectl, CLERK, **spec)

    assert not refused.ok
    assert "spec.dumps, spec.hooks: they run commands in pods; only who may create" in refused.err
    for who, given in ((CLERK, {}), (EXECUTOR, spec), (TENANT, spec), ("", spec)):
        made = ask_policy(kubectl, who, **given)
        assert made.ok, made.err


@pytest.mark.parametrize("engine", ["postgres", "mysql", "mongodb", "redis"])
def test_a_password_from_a_secret_is_set_by_who_may_read_it(kubectl: Kubectl, engine: str) -> None:
    dump = {key: DUMP[key] for key in ("name", "target", "file")}
    secret = [{**dump, engine: {"password": FROM_SECRET}}]
    refused = ask_policy(kubectl, EXECUTOR, dumps=secret)

    assert not refused.ok
    assert "spec.dumps: password.secretKeyRef hands a Secret to the dump; only who" in refused.err
    elsewhere = [{**dump, engine: {"password": {"env": "PASSWORD"}}}]
    for who, given in ((EXECUTOR, elsewhere), (TENANT, secret)):
        made = ask_policy(kubectl, who, dumps=given)
        assert made.ok, made.err


def test_sixteen_dumps_with_secrets_and_as_many_hooks_are_not_too_dear(kubectl: Kubectl) -> None:
    """An expression has a budget, and what goes over it is refused."""
    dumps = [
        {
            "name": f"d{n}",
            "target": TARGET,
            "file": f"/data/{n}.dump",
            "redis": {"password": FROM_SECRET},
        }
        for n in range(16)
    ]
    hooks = {"before": [{"name": f"h{n}", "target": TARGET, "command": ["x"]} for n in range(16)]}
    made = ask_policy(kubectl, TENANT, dumps=dumps, hooks=hooks)
    assert made.ok, made.err


def test_what_runs_no_command_is_changed_by_whoever_may_write_policies(kubectl: Kubectl) -> None:
    spec = {"source": {"claims": {"names": ["data"]}}, "dumps": [DUMP], "hooks": HOOKS}
    policy = {
        "apiVersion": API_VERSION,
        "kind": "BackupPolicy",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    assert kubectl.apply(policy).ok

    def patch(change: str) -> Answer:
        given = ("--type=merge", f"--patch={change}", f"--as={CLERK}")
        return kubectl("patch", "backuppolicy", "shop", *given)

    for change in (
        '{"spec": {"suspend": true}}',
        '{"metadata": {"labels": {"team": "red"}}}',
        '{"spec": {"dumps": null, "hooks": null}}',
    ):
        changed = patch(change)
        assert changed.ok, changed.err
        assert kubectl.apply(policy).ok
    refused = patch('{"spec": {"hooks": {"before": null, "after": [{"name": "x", "target": '
                    '{"kind": "Pod", "name": "db"}, "command": ["id"]}]}}}')  # fmt: skip
    assert "spec.dumps, spec.hooks" in refused.err


def test_a_restore_in_place_is_asked_for_by_who_may_delete_claims(kubectl: Kubectl) -> None:
    refused = ask_restore(kubectl, CLERK, inPlace={})

    assert not refused.ok
    assert "spec.directory.inPlace: it replaces what is there; only who may delete" in refused.err
    for who, given in ((CLERK, {"path": "/srv/aside"}), (TENANT, {"inPlace": {}})):
        made = ask_restore(kubectl, who, **given)
        assert made.ok, made.err


def test_a_repository_is_made_by_who_may_make_pods(kubectl: Kubectl) -> None:
    refused = ask_repository(kubectl, EXECUTOR, mover={"serviceAccountName": "powerful"})

    assert not refused.ok
    assert "spec: Pods are made of it, with the Secrets and the ServiceAccount" in refused.err
    for who in (MAKER, TENANT, ""):
        made = ask_repository(kubectl, who, mover={"serviceAccountName": "powerful"})
        assert made.ok, made.err


def test_a_repositorys_labels_are_changed_by_whoever_may_write_repositories(
    kubectl: Kubectl,
) -> None:
    repository = {
        "apiVersion": API_VERSION,
        "kind": "BackupRepository",
        "metadata": {"name": "offsite"},
        "spec": {"secretRef": {"name": "s3"}},
    }
    assert kubectl.apply(repository).ok

    def patch(change: str, who: str) -> Answer:
        given = ("--type=merge", f"--patch={change}", f"--as={who}")
        return kubectl("patch", "backuprepository", "offsite", *given)

    labelled = patch('{"metadata": {"labels": {"team": "red"}}}', CLERK)
    assert labelled.ok, labelled.err
    another = '{"spec": {"secretRef": {"name": "of-somebody-else"}}}'
    assert "only who may create pods in this namespace sets it" in patch(another, CLERK).err
    assert patch(another, MAKER).ok
