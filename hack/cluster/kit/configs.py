"""Configuration files as pure functions of the layout; JSON where YAML is asked for."""

import base64
import json
from pathlib import Path
from typing import Any

from .layout import CONTEXT, DRIVER, Layout, Node

PAUSE_IMAGE = "localhost/pause:kit"


def kubeconfig(layout: Layout, user: str) -> str:
    """Given a user whose key pair is in the pki folder, return a self-contained kubeconfig."""

    def embedded(name: str) -> str:
        return base64.b64encode((layout.pki / name).read_bytes()).decode()

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": CONTEXT,
                    "cluster": {
                        "server": layout.server,
                        "certificate-authority-data": embedded("ca.crt"),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": embedded(f"{user}.crt"),
                        "client-key-data": embedded(f"{user}.key"),
                    },
                }
            ],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
            "current-context": CONTEXT,
        },
        indent=1,
    )


def containerd_toml(node: Node, cni_plugins: Path) -> str:
    """Given a node, return its containerd configuration (version 2, containerd 1.5 to 2.x)."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{node.root}/containerd/root"
state = "{node.root}/containerd/state"
[grpc]
  address = "{node.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{node.root}/containerd/opt"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  stream_server_address = "127.0.0.1"
  # Without CAP_SYS_RESOURCE no sandbox could lower its score; elsewhere it does no harm.
  restrict_oom_score_adj = true
  # Under /run/netns our network namespaces could not be distinguished from others.
  netns_mounts_under_state_dir = true
  [{cri}.cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{node.root}/cni"
"""


def cni(node: Node, s3: str | None = None) -> str:
    """Given a node, return its pod network: addresses, but no way out of the bridge.

    `s3` is the host's address that pods reach over the bridge, the only one.
    """
    routes = [{"dst": f"{s3}/32", "gw": node.gateway}] if s3 else []
    bridge = {
        "type": "bridge",
        "bridge": node.bridge,
        "isGateway": False,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{node.root}/ipam",
            "ranges": [[{"subnet": node.pod_range}]],
            **({"routes": routes} if routes else {}),
        },
    }
    return json.dumps({"cniVersion": "0.4.0", "name": node.bridge, "plugins": [bridge]}, indent=1)


def kubelet(layout: Layout, node: Node) -> str:
    """Given a node, return its KubeletConfiguration."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node.address,
            "port": layout.kubelet_port,
            "healthzBindAddress": node.address,
            "healthzPort": layout.kubelet_health_port,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
            # Both hold on cgroup v1, v2 and the hybrid.
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{node.cgroup}",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "podLogsDir": str(node.logs),
            "volumePluginDir": f"{node.kubelet_root}/volume-plugins",
            # Pods have no cluster DNS and must not wait for the machine's.
            "clusterDNS": [],
            "resolvConf": "",
            # The machine's firewall and kernel settings are not ours to change.
            "makeIPTablesUtilChains": False,
            # Images cannot be pulled again, so none may be collected.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "nodefs.available": "1%",
                "imagefs.available": "1%",
                "memory.available": "100Mi",
            },
            # Config and secret volumes follow their objects soon enough for tests.
            "syncFrequency": "10s",
        },
        indent=1,
    )


def _object(kind: str, group: str, name: str, **rest: Any) -> dict[str, Any]:
    annotations = rest.pop("annotations", {})
    metadata = {"name": name, "annotations": annotations} if annotations else {"name": name}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, **rest}


def classes() -> list[dict[str, Any]]:
    """Return the CSI driver's object and the storage and snapshot classes."""
    storage, snapshot = "storage.k8s.io/v1", "snapshot.storage.k8s.io/v1"
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    late = {"volumeBindingMode": "WaitForFirstConsumer"}
    return [
        _object(
            "CSIDriver",
            storage,
            DRIVER,
            spec={"attachRequired": False, "podInfoOnMount": False, "fsGroupPolicy": "File"},
        ),
        _object("StorageClass", storage, "btrfs", provisioner=DRIVER, annotations=default, **late),
        # Not CSI, for tests of what must be refused: its volumes are made by hand.
        _object(
            "StorageClass", storage, "hostdisk", provisioner="kubernetes.io/no-provisioner", **late
        ),
        _object(
            "VolumeSnapshotClass",
            snapshot,
            "btrfs-retain",
            driver=DRIVER,
            deletionPolicy="Retain",
            annotations={"snapshot.storage.kubernetes.io/is-default-class": "true"},
        ),
        _object(
            "VolumeSnapshotClass", snapshot, "btrfs-delete", driver=DRIVER, deletionPolicy="Delete"
        ),
        _object(
            "VolumeSnapshotClass",
            snapshot,
            "other-driver",
            driver="other.csi.backstay.test",
            deletionPolicy="Delete",
        ),
    ]
