"""What the cluster kit writes for others: configs, classes, argument vectors."""

import ipaddress
import json
import tomllib
from pathlib import Path

import pytest
from hack.cluster.kit import api, configs, layout, s3, services, tools


@pytest.fixture
def first() -> layout.Layout:
    return layout.Layout(root=Path("/state/cluster"), index=0)


@pytest.fixture
def binaries() -> dict[str, Path]:
    return {tool.name: Path("/cache") / tool.name for tool in tools.TOOLS}


def test_containerd_is_confined_to_its_nodes_folder(first: layout.Layout) -> None:
    node = first.node(2)

    parsed = tomllib.loads(configs.containerd_toml(node, Path("/usr/lib/cni")))

    cri = parsed["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["netns_mounts_under_state_dir"] is True
    paths = [parsed["root"], parsed["state"], parsed["grpc"]["address"], cri["cni"]["conf_dir"]]
    paths.append(parsed["plugins"]["io.containerd.internal.v1.opt"]["path"])
    assert all(Path(path).is_relative_to(node.root) for path in paths)


def test_a_kubelet_listens_on_its_own_address_only(first: layout.Layout) -> None:
    node = first.node(2)

    parsed = json.loads(configs.kubelet(first, node))

    assert parsed["address"] == parsed["healthzBindAddress"] == "127.0.0.2"
    assert parsed["cgroupRoot"] == f"/{first.cgroup}/n2"
    assert parsed["podLogsDir"] == str(node.logs)
    assert parsed["failCgroupV1"] is False


def test_a_pod_network_has_no_way_out(first: layout.Layout) -> None:
    parsed = json.loads(configs.cni(first.node(1)))

    (bridge,) = parsed["plugins"]
    assert bridge["isGateway"] is False
    assert bridge["ipMasq"] is False
    assert "routes" not in bridge["ipam"]


def test_with_the_s3_server_a_pod_network_reaches_its_address_and_nothing_else(
    first: layout.Layout,
) -> None:
    node = first.node(2)

    (bridge,) = json.loads(configs.cni(node, first.s3_address))["plugins"]

    assert bridge["isGateway"] is False
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["routes"] == [{"dst": "198.18.0.1/32", "gw": "198.18.0.129"}]


def test_the_hosts_address_on_a_bridge_is_the_first_of_its_pods_range(
    first: layout.Layout,
) -> None:
    for node in first.nodes(2):
        hosts = ipaddress.ip_network(node.pod_range).hosts()
        assert str(next(hosts)) == node.gateway


def test_the_kubeconfig_needs_no_other_file_and_names_the_test_context(tmp_path: Path) -> None:
    one = layout.Layout(root=tmp_path, index=0)
    one.pki.mkdir()
    for name in ("ca.crt", "admin.crt", "admin.key"):
        (one.pki / name).write_text(name)

    parsed = json.loads(configs.kubeconfig(one, "admin"))

    assert parsed["current-context"] == "backstay-test"
    assert parsed["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:26443"
    assert str(tmp_path) not in json.dumps(parsed)


def test_exactly_one_storage_class_is_the_default_and_one_is_not_csi() -> None:
    kinds = [item for item in configs.classes() if item["kind"] == "StorageClass"]
    found = {item["metadata"]["name"]: item for item in kinds}
    default = [name for name, item in found.items() if item["metadata"].get("annotations")]

    assert default == ["btrfs"]
    assert found["hostdisk"]["provisioner"] != layout.DRIVER
    assert all(item["volumeBindingMode"] == "WaitForFirstConsumer" for item in found.values())


def test_snapshot_classes_cover_both_policies_and_a_foreign_driver() -> None:
    found = {
        item["metadata"]["name"]: (item["driver"], item["deletionPolicy"])
        for item in configs.classes()
        if item["kind"] == "VolumeSnapshotClass"
    }

    assert found["btrfs-retain"] == (layout.DRIVER, "Retain")
    assert found["btrfs-delete"] == (layout.DRIVER, "Delete")
    assert found["other-driver"][0] != layout.DRIVER


def test_every_process_listens_on_loopback(first: layout.Layout, binaries: dict[str, Path]) -> None:
    started = [
        services.etcd(first, binaries),
        services.api_server(first, binaries),
        *services.controllers(first, binaries),
    ]

    for service in started:
        words = " ".join(service.argv)
        assert "127.0.0.1" in words
        assert "0.0.0.0" not in words  # noqa: S104 - the very thing that must not be there


def test_the_names_to_watch_are_those_of_the_services(
    first: layout.Layout, binaries: dict[str, Path]
) -> None:
    nodes = first.nodes(2)
    every = [
        services.etcd(first, binaries),
        services.api_server(first, binaries),
        *services.controllers(first, binaries),
        services.csi_driver(first, nodes, binaries),
        *services.csi_controllers(first, binaries),
        *(services.containerd(node, Path("/usr/lib/cni")) for node in nodes),
        *(services.kubelet(first, node, binaries) for node in nodes),
    ]

    assert sorted(service.name for service in every) == sorted(services.names(2))
    assert set(services.names(2, with_s3=True)) - set(services.names(2)) == {s3.SERVICE}
    assert services.names(0) == []


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([{"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "DiskPressure", "status": "True"}], False),
        ([], False),
    ],
)
def test_a_node_is_ready_by_its_condition(conditions: list[dict[str, str]], ready: bool) -> None:
    assert api.node_is_ready({"status": {"conditions": conditions}}) is ready


def test_a_csi_node_without_drivers_has_none() -> None:
    assert not api.has_driver({"spec": {"drivers": None}}, "d")
    assert api.has_driver({"spec": {"drivers": [{"name": "d"}]}}, "d")
