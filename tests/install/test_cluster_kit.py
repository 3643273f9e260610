"""The cluster kit's names, ports, keys, versions and command line."""

import json
from pathlib import Path

import pytest
from hack.cluster.kit import commands, images, layout, toolchain, tools
from hack.cluster.kit.errors import KitError
from tests.install.rendering import ROOT


@pytest.fixture
def first() -> layout.Layout:
    return layout.Layout(root=Path("/state/cluster"), index=0)


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
        names = ("address", "bridge", "bridge_mac", "pod_range", "gateway")
        return ports | {one.cgroup} | {getattr(n, name) for n in nodes for name in names}

    sets = [claims(index) for index in range(layout.MAX_INDEX + 1)]

    assert len(set.union(*sets)) == sum(len(one) for one in sets)


def test_interface_names_fit_the_kernels_limit(first: layout.Layout) -> None:
    assert all(len(node.bridge) <= 15 for node in first.nodes(2))


def test_the_two_nodes_of_a_cluster_share_no_folder_or_range(first: layout.Layout) -> None:
    one, two = first.nodes(2)

    for name in ("root", "containerd_socket", "kubelet_root", "logs", "csi_socket", "pod_range"):
        assert getattr(one, name) != getattr(two, name)


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


def test_the_kubernetes_version_reported_is_the_one_built() -> None:
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


def test_the_projects_image_takes_restic_from_the_kit_and_a_test_image_does_not() -> None:
    postgres = layout.SOURCE / "images/postgres/Dockerfile"

    assert images.takes_restic((ROOT / "Dockerfile").read_text())
    assert not images.takes_restic(postgres.read_text())


def test_the_image_compiles_the_restic_that_the_kit_builds() -> None:
    restic = next(tool for tool in tools.TOOLS if tool.name == "restic")
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert restic.module.path.resolve() == ROOT / "requirements/restic"
    assert "COPY requirements/restic/go.mod requirements/restic/go.sum" in dockerfile
    assert f"{restic.package}\n" in dockerfile


def test_pip_conf_carries_trust_and_index_into_the_build() -> None:
    plain = images.pip_conf({}, "/ca.crt")
    private = images.pip_conf({"PIP_INDEX_URL": "https://pip.test/simple"}, "/ca.crt")

    assert plain == "[global]\ncert = /ca.crt\n"
    assert "index-url = https://pip.test/simple\n" in private


def test_an_error_is_reported_in_one_message_and_status_1(
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
