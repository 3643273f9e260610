"""The pure parts of the local cluster kit: names, keys, versions, identities, rendering."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.kit import (
    api,
    cgroups,
    commands,
    configs,
    images,
    layout,
    mounts,
    processes,
    services,
    toolchain,
    tools,
)
from hack.cluster.kit.errors import KitError

ROOT = Path("/state/cluster")


@pytest.fixture
def first() -> layout.Layout:
    return layout.Layout(root=ROOT, index=0)


@pytest.fixture
def binaries() -> dict[str, Path]:
    return {tool.name: Path("/cache") / tool.name for tool in tools.TOOLS}


# --- layout


def test_the_state_folder_follows_the_environment() -> None:
    chosen = layout.layout_from({"BACKSTAY_CLUSTER_DIR": "/none/here"})
    xdg = layout.layout_from({"XDG_STATE_HOME": "/none"})
    second = layout.layout_from({"XDG_STATE_HOME": "/none", "BACKSTAY_CLUSTER_INDEX": "1"})

    assert chosen.root == Path("/none/here")
    assert xdg.root == Path("/none/backstay/cluster")
    assert second.root == Path("/none/backstay/cluster-1")


@pytest.mark.parametrize("text", ["-1", "10", "one", "1.5", " "])
def test_a_bad_index_is_named_with_its_remedy(text: str) -> None:
    with pytest.raises(KitError, match=r"BACKSTAY_CLUSTER_INDEX.*0 to 9"):
        layout.layout_from({"BACKSTAY_CLUSTER_INDEX": text})


def test_a_folder_too_deep_for_unix_sockets_is_refused_before_anything_starts() -> None:
    with pytest.raises(KitError, match=r"107 are allowed; set BACKSTAY_CLUSTER_DIR"):
        layout.layout_from({"BACKSTAY_CLUSTER_DIR": "/" + "deep/" * 20})


def test_two_instances_share_no_port_address_or_name(tmp_path: Path) -> None:
    def claims(index: int) -> set[str]:
        one = layout.Layout(root=tmp_path / str(index), index=index)
        ports = {
            str(getattr(one, name))
            for name in dir(one)
            if name.endswith("_port") and name[0] != "_"
        }
        nodes = one.nodes(2)
        return ports | {one.cgroup} | {n.address for n in nodes} | {n.bridge for n in nodes}

    sets = [claims(index) for index in range(layout.MAX_INDEX + 1)]

    assert len(set.union(*sets)) == sum(len(one) for one in sets)


def test_interface_names_fit_the_kernels_limit(first: layout.Layout) -> None:
    assert all(len(node.bridge) <= 15 for node in first.nodes(2))


def test_the_two_nodes_of_a_cluster_share_no_folder_or_range(first: layout.Layout) -> None:
    one, two = first.nodes(2)

    for name in ("root", "containerd_socket", "kubelet_root", "logs", "csi_socket", "pod_range"):
        assert getattr(one, name) != getattr(two, name)


# --- versions and keys


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.9.2 linux/amd64", (1, 9)),
        ("go version go1.27rc1 linux/arm64", (1, 27)),
        ("go version devel +abc", None),
    ],
)
def test_the_version_of_go_is_read_from_its_words(
    text: str, version: tuple[int, int] | None
) -> None:
    assert toolchain.parse_go_version(text) == version


def test_the_least_go_is_what_every_module_asks_for() -> None:
    asked = []
    for module in {tool.module for tool in tools.TOOLS}:
        lines = (module.path / "go.mod").read_text().splitlines()
        line = next(line for line in lines if line.startswith("go "))
        asked.append(tuple(int(part) for part in line.split()[1].split(".")[:2]))

    assert max(asked) == toolchain.GO_LEAST


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tools.Module:
    monkeypatch.setattr(tools, "SOURCE", tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "go.mod").write_text("module mine\n")
    (folder / "go.sum").write_text("sum\n")
    (folder / "main.go").write_text("package main\n")
    (folder / "README.md").write_text("words\n")
    return tools.Module("mine", "mine", own=True)


def test_a_key_is_16_hex_digits_and_stable(module: tools.Module) -> None:
    assert tools.key(module) == tools.key(module)
    assert len(tools.key(module)) == 16
    int(tools.key(module), 16)


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go"])
def test_a_key_changes_with_every_input_of_the_build(module: tools.Module, name: str) -> None:
    before = tools.key(module)

    with (module.path / name).open("a") as file:
        file.write("// more\n")

    assert tools.key(module) != before


def test_a_key_ignores_what_is_not_built(module: tools.Module) -> None:
    before = tools.key(module)

    (module.path / "README.md").write_text("other words\n")

    assert tools.key(module) == before


def test_linker_flags_count_in_the_key(module: tools.Module) -> None:
    other = tools.Module("mine", "mine", own=True, linker="-X a=b")

    assert tools.key(other) != tools.key(module)


def test_every_tool_is_declared_in_its_go_mod() -> None:
    for tool in tools.TOOLS:
        if tool.package != ".":
            assert tool.package in (tool.module.path / "go.mod").read_text()


def test_the_kubernetes_version_told_is_the_one_built() -> None:
    kube = next(tool.module for tool in tools.TOOLS if tool.name == "kubelet")
    required = [
        line.split()[1]
        for line in (kube.path / "go.mod").read_text().splitlines()
        if line.strip().startswith("k8s.io/kubernetes v")
    ]

    assert len(required) == 1
    assert f"gitVersion={required[0]} " in kube.linker


def test_an_unknown_tool_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"no tool named kubelt; there are: etcd, .*kubectl"):
        tools.ensure(tmp_path, ["kubelt"])


def test_build_progress_counts_modules_and_packages() -> None:
    lines = ["go: downloading a v1\n", "go: downloading b v1\n", "internal/cpu\n", "k8s.io/api\n"]

    assert tools.build_progress(lines) == "2 modules fetched, 2 packages compiled"


def test_an_image_key_follows_content_name_and_mode(tmp_path: Path) -> None:
    keys = set()
    file = tmp_path / "Dockerfile"
    for text in ("FROM a", "FROM b"):
        file.write_text(text)
        keys.add(images.folder_key(tmp_path))
    file.chmod(0o755)
    keys.add(images.folder_key(tmp_path))
    file.rename(tmp_path / "Other")
    keys.add(images.folder_key(tmp_path))

    assert len(keys) == 4


def test_pip_conf_carries_trust_and_index_into_the_build() -> None:
    plain = images.pip_conf({}, "/ca.crt")
    private = images.pip_conf({"PIP_INDEX_URL": "https://pip.test/simple"}, "/ca.crt")

    assert plain == "[global]\ncert = /ca.crt\n"
    assert "index-url = https://pip.test/simple\n" in private


# --- processes


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, processes.MARKER: "/state/of-this-test"}
    words = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


def test_stat_is_read_past_a_command_with_brackets_and_blanks() -> None:
    text = "42 (a) b (c)) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 1"

    assert processes.parse_stat(text) == ("S", 987654)


def test_a_process_is_known_by_pid_start_and_boot(child: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(child.pid)

    assert identity is not None
    assert processes.alive(identity)
    stranger = processes.Identity(identity.pid, identity.started + 1, identity.boot)
    rebooted = processes.Identity(identity.pid, identity.started, "another-boot")
    assert not processes.alive(stranger)
    assert not processes.alive(rebooted)


def test_a_stranger_with_a_recorded_pid_is_not_stopped(child: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(child.pid)
    assert identity is not None

    processes.stop([processes.Identity(identity.pid, identity.started - 1, identity.boot)])

    assert child.poll() is None


def test_a_process_is_stopped_and_a_zombie_counts_as_gone(child: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(child.pid)
    assert identity is not None

    processes.stop([identity])

    assert processes.identify(child.pid) is None
    assert child.wait() != 0


def test_owned_processes_are_found_by_their_mark_alone(child: subprocess.Popen[bytes]) -> None:
    mine = processes.owned(Path("/state/of-this-test"))
    others = processes.owned(Path("/state/of-this"))

    assert [one.pid for one in mine] == [child.pid]
    assert others == []


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[processes.Supervisor]:
    root = tmp_path / "cluster"
    root.mkdir()
    yield processes.Supervisor(layout.Layout(root=root, index=0))
    processes.stop(processes.owned(root))


def sleeper(argument: str = "") -> processes.Service:
    words = [sys.executable, "-c", "import signal; signal.pause()", argument]
    return processes.Service("sleeper", words)


def test_a_running_service_is_left_alone(supervisor: processes.Supervisor) -> None:
    assert supervisor.ensure(sleeper())
    before = supervisor.running("sleeper")

    assert not supervisor.ensure(sleeper())
    assert supervisor.running("sleeper") == before


def test_a_changed_service_replaces_its_process(supervisor: processes.Supervisor) -> None:
    supervisor.ensure(sleeper("old"))
    before = supervisor.running("sleeper")
    assert before is not None

    assert supervisor.ensure(sleeper("new"))
    after = supervisor.running("sleeper")
    assert after is not None
    assert after != before
    assert not processes.alive(before)


def test_a_killed_service_is_started_again(supervisor: processes.Supervisor) -> None:
    supervisor.ensure(sleeper())
    before = supervisor.running("sleeper")
    assert before is not None
    processes.stop([before])

    assert supervisor.running("sleeper") is None
    assert supervisor.ensure(sleeper())


def test_a_service_that_dies_is_reported_with_its_last_words(
    supervisor: processes.Supervisor,
) -> None:
    words = [sys.executable, "-c", "import time; print('no luck', flush=True); time.sleep(0.3)"]
    supervisor.ensure(processes.Service("unlucky", words))

    with pytest.raises(KitError, match=r"unlucky ended while waiting until (.|\n)*no luck"):
        supervisor.wait("unlucky", lambda: False, seconds=30, what="it is ready")


def test_the_fingerprint_of_a_service_covers_its_configuration() -> None:
    plain = processes.Service("a", ["x"])

    assert plain.fingerprint == processes.Service("b", ["x"]).fingerprint
    assert plain.fingerprint != processes.Service("a", ["x"], configs=["c"]).fingerprint
    assert plain.fingerprint != processes.Service("a", ["x"], env={"K": "v"}).fingerprint


# --- kernel tables

HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def test_cgroup_hierarchies_are_told_apart() -> None:
    base = Path("/sys/fs/cgroup")

    assert cgroups.parse_mounts(HYBRID) == [
        cgroups.Hierarchy(base / "cpuset", 1, cpuset=True),
        cgroups.Hierarchy(base / "memory", 1, cpuset=False),
        cgroups.Hierarchy(base / "unified", 2, cpuset=False),
    ]


def test_a_group_on_cgroup_v2_gets_the_controllers_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a v2 hierarchy with one controller already delegated
    table = tmp_path / "mounts"
    table.write_text(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", table)
    for folder in (tmp_path, tmp_path / "top", tmp_path / "top" / "n1"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu memory rdma\n")
        (folder / "cgroup.subtree_control").write_text("cpu\n")

    # when the node's group is made
    cgroups.create("top/n1")

    # then memory was enabled on each level, and nothing that the kubelet does not want
    for folder in (tmp_path, tmp_path / "top", tmp_path / "top" / "n1"):
        assert (folder / "cgroup.subtree_control").read_text() == "+memory"


def test_an_empty_cpuset_group_is_filled_from_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"cgroup {tmp_path} cgroup rw,cpuset 0 0\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", table)
    for folder, text in (
        (tmp_path, "0-1\n"),
        (tmp_path / "top", "\n"),
        (tmp_path / "top/n1", "\n"),
    ):
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            (folder / name).write_text(text)

    cgroups.create("top/n1")

    assert (tmp_path / "top/n1/cpuset.cpus").read_text() == "0-1\n"
    assert (tmp_path / "top/n1/cpuset.mems").read_text() == "0-1\n"


def test_mount_points_are_unescaped() -> None:
    text = (
        "36 35 98:0 / /state/with\\040blank rw shared:1 - ext4 /dev/root rw\n"
        "37 36 98:0 / /state/back\\134slash rw - ext4 /dev/root rw\n"
    )

    assert mounts.parse_mountinfo(text) == ["/state/with blank", "/state/back\\slash"]


# --- rendering


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
    assert services.names(0) == []


# --- what the API server says


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


# --- the command line


def test_an_error_is_told_in_one_message_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKSTAY_CLUSTER_DIR", "/none")

    assert commands.main(["kubeconfig"]) == 1
    assert "no cluster is up; run `cluster up`" in capsys.readouterr().err


def test_status_of_no_cluster_is_machine_readable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKSTAY_CLUSTER_DIR", "/none")

    assert commands.main(["status", "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["running"] is False
    assert report["nodes"] == []


@pytest.mark.parametrize("count", ["0", "3", "-1", "two"])
def test_only_one_or_two_nodes_can_be_asked_for(count: str) -> None:
    with pytest.raises(SystemExit):
        commands.main(["up", "--nodes", count])
