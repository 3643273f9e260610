"""What only the chart does: values, their schema, and CRDs that outlive a release."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from typing import Any
from unittest import mock

import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError
from tests.install.rendering import (
    CHART,
    KUBERNETES,
    Object,
    Tools,
    helm_template,
    only,
    operator_container,
)

from backstay.settings import RollingRoots, Settings

TEST_CLUSTER: Object = {
    "hostNetwork": True,
    "imagePullSecrets": [{"name": "registry"}],
    "extraEnv": [{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}],
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"key": "backup", "operator": "Exists"}],
    "affinity": {"podAffinity": {}},
    "resources": {},
}


def test_an_uninstall_keeps_the_crds(chart: list[Object]) -> None:
    crds = [o for o in chart if o["kind"] == "CustomResourceDefinition"]
    assert [o["metadata"]["annotations"] for o in crds] == [{"helm.sh/resource-policy": "keep"}] * 4
    # Helm never upgrades what lies in this folder.
    assert not (CHART / "crds").exists()


def test_crds_can_be_left_to_others(chart: list[Object], tools: Tools) -> None:
    without = helm_template(tools, {"crds": {"install": False}})
    assert without == [o for o in chart if o["kind"] != "CustomResourceDefinition"]


def test_scheduling_network_and_environment_reach_the_pod(tools: Tools) -> None:
    objects = helm_template(tools, TEST_CLUSTER)
    deployment = only(objects, "Deployment")
    kubernetes_validate.validate(deployment, KUBERNETES, strict=True)
    pod = deployment["spec"]["template"]["spec"]
    for key in ("hostNetwork", "imagePullSecrets", "tolerations", "affinity"):
        assert pod[key] == TEST_CLUSTER[key]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "zone": "a"}
    assert operator_container(objects)["env"][-1] == TEST_CLUSTER["extraEnv"][0]


def test_on_the_nodes_network_only_the_nodes_own_address_is_listened_on(tools: Tools) -> None:
    env = operator_container(helm_template(tools, {"hostNetwork": True}))["env"]
    assert {"fieldRef": {"fieldPath": "status.podIP"}} in [
        e.get("valueFrom") for e in env if e["name"] == "BACKSTAY_BIND_ADDRESS"
    ]


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("backstay", "backstay"),
        ("prod", "prod-backstay"),
        ("p" * 53, f"{'p' * 40}-backstay"),
    ],
)
def test_objects_are_named_after_the_release(tools: Tools, release: str, name: str) -> None:
    objects = helm_template(tools, {}, release=release)
    names = {o["metadata"]["name"] for o in objects if o["kind"] != "CustomResourceDefinition"}
    parts = ("metrics", "lease", "edit", "view", "triggers", "commands", "in-place", "movers")
    assert names == {name, *(f"{name}-{part}" for part in parts)}
    assert all(len(n) <= 63 for n in names)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"worker": 3}, "'worker'"),
        ({"workers": 0}, "/workers"),
        ({"pools": {"node": 0}}, "/pools/node"),
        ({"pools": {"nodes": 2}}, "nodes"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"logLevel": "verbose"}, "/logLevel"),
        ({"resyncInterval": "5m"}, "/resyncInterval"),
        ({"resyncInterval": "PT"}, "/resyncInterval"),
        ({"resyncInterval": "PT0H00S"}, "/resyncInterval"),
        ({"ports": {"probes": 80}}, "/ports/probes"),
        ({"ceilings": {"dumpDuration": "0h"}}, "/ceilings/dumpDuration"),
        ({"ceilings": {"dumpDuration": 24}}, "/ceilings/dumpDuration"),
        ({"ceilings": {"copyBandwidth": "1 MB"}}, "/ceilings/copyBandwidth"),
        ({"ceilings": {"dump": "1h"}}, "'dump'"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(tools: Tools, values: Object, word: str) -> None:
    with pytest.raises(AssertionError, match="values don't meet the specifications") as refusal:
        helm_template(tools, values)
    assert word in str(refusal.value)


def test_every_value_has_a_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) == {*defaults, "global"}
    for key in ("image", "crds", "ports", "ceilings"):
        assert set(schema["properties"][key]["properties"]) == set(defaults[key])


def test_what_rolling_copies_may_use_reaches_the_operator(tools: Tools) -> None:
    rolling = {
        "sources": [{"path": "/srv/a", "namespaces": ["team-a"], "restore": True}],
        "destinations": [
            {"path": "/backup", "namespaces": ["*"], "nodes": ["worker-1"], "id": "disk-1"},
            {"claim": "nfs", "subPath": "copies", "namespaces": ["team-a"]},
        ],
    }
    env = operator_container(helm_template(tools, {"rolling": rolling}))["env"]
    given = next(e["value"] for e in env if e["name"] == "BACKSTAY_ROLLING")
    with mock.patch.dict(os.environ, {"BACKSTAY_ROLLING": given}, clear=True):
        found = Settings().rolling
    assert found.sources[0].open_to("team-a", "any")
    assert not found.sources[0].open_to("team-b", "any")
    assert [d.open_to("b", "worker-1") for d in found.destinations] == [True, False]
    assert (found.destinations[1].claim, found.destinations[1].sub_path) == ("nfs", "copies")


DIRECTORIES = {
    "/srv": True,
    "/srv/a..b": True,
    "/srv/..a": True,
    "/srv/.a": True,
    "/": False,
    "srv": False,
    "//srv": False,
    "/srv/": False,
    "/srv//a": False,
    "/srv/.": False,
    "/srv/./a": False,
    "/srv/..": False,
    "/srv/../etc": False,
}
"""Whether each may be opened to rolling copies."""


@pytest.mark.parametrize("path", DIRECTORIES)
def test_the_chart_takes_the_directories_that_the_operator_takes(tools: Tools, path: str) -> None:
    rolling = {"sources": [{"path": path, "namespaces": ["a"]}]}
    expected = nullcontext() if DIRECTORIES[path] else pytest.raises(ValidationError)
    with expected:
        RollingRoots.model_validate(rolling)
    refused = nullcontext() if DIRECTORIES[path] else pytest.raises(AssertionError, match="/path")
    with refused:
        helm_template(tools, {"rolling": rolling})


@pytest.mark.parametrize(("interval", "right"), [("PT1S", True), ("PT0S", False)])
def test_everything_is_looked_at_with_a_pause(interval: str, right: bool) -> None:
    expected = nullcontext() if right else pytest.raises(ValidationError)
    with mock.patch.dict(os.environ, {"BACKSTAY_RESYNC_INTERVAL": interval}, clear=True), expected:
        Settings()


@pytest.mark.parametrize(
    "rolling",
    [
        {"sources": [{"path": "srv", "namespaces": ["a"]}]},
        {"sources": [{"path": "/srv"}]},
        {"sources": [{"path": "/srv", "namespaces": []}]},
        {"destinations": [{"namespaces": ["a"]}]},
        {"destinations": [{"path": "/b", "claim": "c", "namespaces": ["a"]}]},
        {"roots": []},
    ],
)
def test_roots_that_mean_nothing_are_refused(tools: Tools, rolling: Object) -> None:
    with pytest.raises(AssertionError, match="rolling"):
        helm_template(tools, {"rolling": rolling})
