"""The cluster's processes as values: pure functions of layout, nodes and binaries."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from . import configs, s3
from .layout import Layout, Node
from .processes import Service

# They speak to the CSI driver and end when they lose it.
SIDECARS = ("csi-snapshotter", "csi-provisioner")


def etcd(layout: Layout, tools: Mapping[str, Path]) -> Service:
    client = f"http://127.0.0.1:{layout.etcd_port}"
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return Service("etcd", [
        str(tools["etcd"]), f"--data-dir={layout.root}/etcd",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}", "--log-level=warn",
        # The data is thrown away with the cluster; fsync would only slow tests down.
        "--unsafe-no-fsync",
    ])  # fmt: skip


def api_server(layout: Layout, tools: Mapping[str, Path]) -> Service:
    pki = layout.pki
    return Service("kube-apiserver", [
        str(tools["kube-apiserver"]), f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
        f"--secure-port={layout.api_port}",
        f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/sa.key",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        # TEST-NET-2 (RFC 5737): without kube-proxy no service address leads anywhere.
        "--service-cluster-ip-range=198.51.100.0/24", "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
    ])  # fmt: skip


def controllers(layout: Layout, tools: Mapping[str, Path]) -> list[Service]:
    """Return controller manager and scheduler."""
    manager = [
        str(tools["kube-controller-manager"]),
        f"--kubeconfig={layout.root}/controller-manager.kubeconfig",
        f"--service-account-private-key-file={layout.pki}/sa.key",
        f"--root-ca-file={layout.pki}/ca.crt", "--use-service-account-credentials",
        "--leader-elect=false", "--bind-address=127.0.0.1",
        f"--secure-port={layout.controller_manager_port}",
        f"--flex-volume-plugin-dir={layout.root}/volume-plugins",
    ]  # fmt: skip
    scheduler = [
        str(tools["kube-scheduler"]), f"--kubeconfig={layout.root}/scheduler.kubeconfig",
        "--leader-elect=false", "--bind-address=127.0.0.1",
        f"--secure-port={layout.scheduler_port}",
    ]  # fmt: skip
    return [Service("kube-controller-manager", manager), Service("kube-scheduler", scheduler)]


def csi_driver(layout: Layout, nodes: Sequence[Node], tools: Mapping[str, Path]) -> Service:
    argv = [str(tools["csi-btrfs"]), "-root", str(layout.storage)]
    argv += ["-controller", str(layout.controller_socket)]
    for node in nodes:
        argv += ["-node", f"{node.name}={node.csi_socket}={node.registration_socket}"]
    return Service("csi-btrfs", argv)


def csi_controllers(layout: Layout, tools: Mapping[str, Path]) -> list[Service]:
    """Return the snapshot controller and the sidecars of the CSI driver."""
    common = [
        f"--kubeconfig={layout.kubeconfig}",
        # The defaults back off to minutes and allow 5 requests per second: tests would wait.
        "--retry-interval-max=5s", "--kube-api-qps=50", "--kube-api-burst=100",
    ]  # fmt: skip
    socket = f"--csi-address={layout.controller_socket}"
    return [
        Service("snapshot-controller", [str(tools["snapshot-controller"]), *common]),
        Service("csi-snapshotter", [str(tools["csi-snapshotter"]), *common, socket]),
        Service("csi-provisioner", [str(tools["csi-provisioner"]), *common, socket]),
    ]


def containerd(node: Node, cni_plugins: Path, s3_address: str | None = None) -> Service:
    return Service(
        f"containerd-{node.number}",
        ["containerd", "--config", f"{node.root}/containerd.toml"],
        configs=[configs.containerd_toml(node, cni_plugins), configs.cni(node, s3_address)],
    )


def kubelet(layout: Layout, node: Node, tools: Mapping[str, Path]) -> Service:
    argv = [
        str(tools["kubelet"]), f"--config={node.root}/kubelet.json",
        f"--kubeconfig={node.root}/kubelet.kubeconfig", f"--hostname-override={node.name}",
        f"--root-dir={node.kubelet_root}", f"--cert-dir={node.kubelet_root}/pki",
    ]  # fmt: skip
    return Service(f"kubelet-{node.number}", argv, configs=[configs.kubelet(layout, node)])


def names(nodes: int, *, with_s3: bool = False) -> list[str]:
    """Given a number of nodes, return the names of all services; none for no node."""
    if nodes == 0:
        return []
    fixed = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "csi-btrfs"]
    fixed += ["snapshot-controller", "csi-snapshotter", "csi-provisioner"]
    fixed += [s3.SERVICE] if with_s3 else []
    numbers = range(1, nodes + 1)
    return [*fixed, *(f"{kind}-{n}" for n in numbers for kind in ("containerd", "kubelet"))]
