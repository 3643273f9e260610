"""What both ways to install share: valid objects, exact rights, a confined pod, known settings."""

from __future__ import annotations

import copy
import os
from datetime import timedelta
from unittest import mock

import kubernetes_validate
import pytest
import yaml
from tests.install.rendering import (
    CRDS,
    KUBERNETES,
    NAMESPACE,
    Object,
    Tools,
    helm_template,
    only,
    operator_container,
)

from backstay.settings import Ceilings, Settings

KEEP = {"helm.sh/resource-policy": "keep"}
ROLES = {"ClusterRole", "Role"}
# Of no meaning to the cluster: who rendered an object, and from which version.
NOISE = {"app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"}


def rules(objects: list[Object]) -> list[Object]:
    return [rule for o in objects if o["kind"] in ROLES for rule in o["rules"]]


def environment(objects: list[Object]) -> dict[str, str | None]:
    """Return the values of the operator's variables; None where the kubelet fills one in."""
    return {e["name"]: e.get("value") for e in operator_container(objects)["env"]}


def settings_from(objects: list[Object]) -> Settings:
    given = {name: value for name, value in environment(objects).items() if value is not None}
    with mock.patch.dict(os.environ, given, clear=True):
        return Settings()


def stripped(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Return copies by kind and name, without what only the chart or only kustomize writes."""
    found = {}
    for original in objects:
        o = copy.deepcopy(original)
        for metadata in (o["metadata"], o.get("spec", {}).get("template", {}).get("metadata", {})):
            labels = metadata.get("labels", {})
            for key in NOISE & labels.keys():
                del labels[key]
            if metadata.get("annotations") == KEEP:
                del metadata["annotations"]
        found[o["kind"], o["metadata"]["name"]] = o
    return found


def test_every_object_is_valid_for_the_api_server(installed: list[Object]) -> None:
    assert len(installed) > 10
    for o in installed:
        kubernetes_validate.validate(o, KUBERNETES, strict=True)


def test_the_kustomize_base_is_the_chart_with_its_defaults(
    chart: list[Object], base: list[Object]
) -> None:
    given, wanted = stripped(base), stripped(chart)
    assert given.pop(("Namespace", NAMESPACE))
    # The base labels the CRDs, the chart takes them as they are.
    for (kind, _), o in given.items():
        if kind == "CustomResourceDefinition":
            del o["metadata"]["labels"]
        # Older kustomize takes what it does not know for namespaced; kubectl drops that again.
        if kind.startswith("ValidatingAdmissionPolicy"):
            o["metadata"].pop("namespace", None)
    assert given == wanted


def test_no_right_is_a_wildcard_or_reaches_secrets(installed: list[Object]) -> None:
    words = [w for rule in rules(installed) for part in rule.values() for w in part]
    assert len(words) > 50
    assert not [w for w in words if "*" in w or w.startswith("secrets")]


def test_rights_on_the_lease_end_at_its_name_and_namespace(installed: list[Object]) -> None:
    role = only(installed, "Role")
    name = settings_from(installed).lease_name
    assert role["metadata"]["namespace"] == NAMESPACE
    assert {
        verb: rule.get("resourceNames") for rule in role["rules"] for verb in rule["verbs"]
    } == {
        "create": None,
        "get": [name],
        "patch": [name],
    }
    assert not [r for o in installed if o["kind"] == "ClusterRole" for r in o["rules"]
                if "leases" in r["resources"]]  # fmt: skip


def test_bindings_give_the_operators_account_the_operators_roles(installed: list[Object]) -> None:
    account = only(installed, "ServiceAccount")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": NAMESPACE}
    bindings = [only(installed, "ClusterRoleBinding"), only(installed, "RoleBinding")]
    for binding in bindings:
        assert binding["subjects"] == [subject]
        assert only(installed, binding["roleRef"]["kind"], binding["roleRef"]["name"])
    pod = only(installed, "Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["name"]


@pytest.mark.parametrize(
    ("role", "parents", "ours", "snapshots"),
    [
        (
            "edit",
            {"admin", "edit"},
            "get list watch create update patch delete",
            "get list watch patch",
        ),
        ("view", {"admin", "edit", "view"}, "get list watch", "get list watch"),
    ],
)
def test_tenants_get_their_rights_by_kubernetes_own_roles(
    installed: list[Object], role: str, parents: set[str], ours: str, snapshots: str
) -> None:
    found = only(installed, "ClusterRole", f"backstay-{role}")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    labels = found["metadata"]["labels"]
    assert {k.removeprefix(prefix) for k in labels if k.startswith(prefix)} == parents
    plurals = {o["spec"]["names"]["plural"] for o in installed if "names" in o.get("spec", {})}
    of_ours, of_snapshots = found["rules"]
    assert of_ours["apiGroups"] == ["backstay.dev"]
    assert set(of_ours["resources"]) == plurals
    assert of_ours["verbs"] == ours.split()
    # Of snapshots the labels only; never the contents, which are of no namespace.
    assert of_snapshots == {
        "apiGroups": ["snapshot.storage.k8s.io"],
        "resources": ["volumesnapshots"],
        "verbs": snapshots.split(),
    }


def test_every_setting_is_an_environment_variable_of_the_operator(installed: list[Object]) -> None:
    assert set(environment(installed)) == {f"BACKSTAY_{f.upper()}" for f in Settings.model_fields}


def test_values_of_the_chart_arrive_as_settings(tools: Tools) -> None:
    given = settings_from(
        helm_template(
            tools,
            {
                "image": {"repository": "hub/backstay", "tag": "7", "pullPolicy": "Never"},
                "logLevel": "DEBUG",
                "workers": 3,
                "pools": {"global": 9, "node": 4, "driver": 5},
                "ceilings": {"dumpDuration": "2d", "copyBandwidth": 0},
                "resyncInterval": "PT1H30S",
                "ports": {"probes": 18080, "metrics": 19090},
                "bindAddress": "127.0.0.1",
            },
        )
    )
    assert given == Settings(
        agent_image="hub/backstay:7",
        agent_pull_policy="Never",
        log_level="DEBUG",
        workers=3,
        pool_global=9,
        pool_node=4,
        pool_driver=5,
        ceilings=Ceilings(dump_duration=timedelta(days=2), copy_bandwidth="0"),
        resync_interval=timedelta(hours=1, seconds=30),
        probe_port=18080,
        metrics_port=19090,
        bind_address="127.0.0.1",
    )


def test_verify_pods_run_the_operators_image(installed: list[Object]) -> None:
    container = operator_container(installed)
    assert settings_from(installed).agent_image == container["image"]
    assert settings_from(installed).agent_pull_policy == container["imagePullPolicy"]


def test_ports_and_probes_are_where_the_operator_listens(installed: list[Object]) -> None:
    container, settings = operator_container(installed), settings_from(installed)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"probes": settings.probe_port, "metrics": settings.metrics_port}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "probes"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "probes"}
    service = only(installed, "Service")["spec"]
    assert [port["targetPort"] for port in service["ports"]] == ["metrics"]
    labels = only(installed, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_the_pod_meets_the_restricted_pod_security_standard(installed: list[Object]) -> None:
    pod = only(installed, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert operator_container(installed)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & pod.keys()


def test_crds_are_those_of_the_repository(chart: list[Object], base: list[Object]) -> None:
    files = {path.name: yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")}
    wanted = {o["metadata"]["name"]: o["spec"] for o in files.values()}
    assert len(wanted) == 4
    for objects in (chart, base):
        crds = [o for o in objects if o["kind"] == "CustomResourceDefinition"]
        assert {o["metadata"]["name"]: o["spec"] for o in crds} == wanted
    listed = yaml.safe_load((CRDS / "Kustomization").read_text())["resources"]
    assert sorted(listed) == sorted(files)
