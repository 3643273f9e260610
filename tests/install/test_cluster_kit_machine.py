"""What the cluster kit does to the machine, and what it leaves alone."""

import os
from pathlib import Path

import pytest
from hack.cluster.kit import (
    certificates,
    cgroups,
    cleanup,
    cluster,
    command,
    layout,
    locks,
    mounts,
    packages,
)
from hack.cluster.kit.errors import KitError

HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def test_cgroup_hierarchies_are_distinguished() -> None:
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


def test_only_mounts_inside_the_folder_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    lines = ["/state/cluster/n1/kubelet", "/state/cluster-1/storage", "/state/cluster"]
    table.write_text("".join(f"1 1 8:0 / {point} rw - ext4 d rw\n" for point in lines))
    monkeypatch.setattr(mounts, "_MOUNTINFO", table)

    assert mounts.below(Path("/state/cluster")) == ["/state/cluster/n1/kubelet", "/state/cluster"]


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the code past its check: what is tested here needs no privilege."""
    monkeypatch.setattr(packages, "require_root", lambda _: None)


@pytest.mark.usefixtures("root")
def test_down_leaves_a_folder_alone_that_is_not_a_clusters(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    with pytest.raises(KitError, match="left alone"):
        cleanup.down(layout.Layout(root=tmp_path, index=9))

    assert (tmp_path / "precious").exists()


def test_up_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    one = cluster.Cluster(layout.Layout(root=tmp_path, index=9), tmp_path)

    with pytest.raises(KitError, match="set BACKSTAY_CLUSTER_DIR to an empty folder"):
        one.claim_folder(1)


def test_a_cluster_grows_but_does_not_shrink(tmp_path: Path) -> None:
    one = cluster.Cluster(layout.Layout(root=tmp_path / "state", index=9), tmp_path)
    one.claim_folder(1)
    one.claim_folder(2)

    assert one.node_count() == 2
    with pytest.raises(KitError, match="has 2 nodes; to have 1, run `down` first"):
        one.claim_folder(1)


def test_only_strays_of_this_instance_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given log links and network results of this instance and of another
    logs, results = tmp_path / "logs", tmp_path / "results"
    logs.mkdir()
    results.mkdir()
    monkeypatch.setattr(cleanup, "_SANDBOX_LOGS", logs)
    monkeypatch.setattr(cleanup, "_CNI_RESULTS", results)
    mine = layout.Layout(root=tmp_path / "mine", index=0)
    other = layout.Layout(root=tmp_path / "other", index=1)
    for one, name in ((mine, "a"), (other, "b")):
        (logs / f"{name}.log").symlink_to(one.root / "n1" / "logs" / "0.log")
        (results / f"{one.node(2).bridge}-{name}-eth0").touch()
        (results / f"cni-loopback-{name}-lo").touch()

    # when this instance is cleaned up
    cleanup.remove_strays(mine, [])

    # then only the other's are left
    assert [path.name for path in logs.iterdir()] == ["b.log"]
    left = {path.name for path in results.iterdir()}
    assert left == {f"{other.node(2).bridge}-b-eth0", "cni-loopback-b-lo"}


def test_missing_packages_are_named_where_they_cannot_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    here = packages.Package("sh", "sh")
    absent = packages.Package("nowhere-tools", "no-such-program-anywhere")

    with pytest.raises(KitError, match=r"missing on this machine .*: nowhere-tools; install"):
        packages.ensure([here, absent])


def test_what_is_present_needs_no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "run", lambda *_, **__: pytest.fail("installed something"))

    packages.ensure([packages.Package("sh", "sh")])


def test_a_certificate_is_signed_by_the_clusters_authority(tmp_path: Path) -> None:
    certificates.ensure_authority(tmp_path)
    certificates.ensure_pair(tmp_path, "server", "/CN=server", ["127.0.0.1", "localhost"])

    check = ["openssl", "verify", "-verify_ip", "127.0.0.1"]
    verified = command.run([*check, "-CAfile", tmp_path / "ca.crt", tmp_path / "server.crt"])
    assert verified.strip().endswith("OK")


def test_keys_are_made_once(tmp_path: Path) -> None:
    certificates.ensure_authority(tmp_path)
    certificates.ensure_pair(tmp_path, "admin", "/O=system:masters/CN=admin")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    certificates.ensure_authority(tmp_path)
    certificates.ensure_pair(tmp_path, "admin", "/O=system:masters/CN=admin")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failed_program_is_reported_with_its_own_output() -> None:
    with pytest.raises(KitError, match=r"sh -c .* ended with 3:\nout of luck"):
        command.run(["sh", "-c", "echo out of luck >&2; exit 3"])


def test_what_a_killed_builder_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".building-kube-dead").mkdir()
    (tmp_path / ".building-helm-alive").mkdir()

    with locks.scratch(tmp_path, ".building-kube-") as folder:
        assert folder.is_dir()
        assert not (tmp_path / ".building-kube-dead").exists()

    assert [path.name for path in tmp_path.iterdir()] == [".building-helm-alive"]
