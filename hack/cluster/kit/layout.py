"""Where an instance of the cluster lives: folders, addresses, ports, names.

Invariants: everything an instance creates is found again from its root folder and its
index alone, so that `down` can clean up after a crash without any arguments;
two instances with different indexes share no port, address, folder, cgroup or bridge.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import KitError

CONTEXT = "backstay-test"
DRIVER = "btrfs.csi.backstay.test"
SOURCE = Path(__file__).resolve().parent.parent
MAX_INDEX = 9
MAX_NODES = 2

# struct sockaddr_un holds 108 bytes with the terminating NUL (unix(7)).
_SOCKET_PATH_MAX = 107


@dataclass(frozen=True, slots=True)
class Node:
    """One node: a containerd and a kubelet with folders of their own."""

    number: int
    address: str
    root: Path
    cgroup: str
    bridge: str
    bridge_mac: str
    pod_range: str
    gateway: str

    @property
    def name(self) -> str:
        # The kubelet refuses a loopback --node-ip but takes an IP as the node's name, and
        # a node without an address cannot serve exec, logs or port-forward.
        return self.address

    @property
    def containerd_socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def kubelet_root(self) -> Path:
        return self.root / "kubelet"

    @property
    def csi_socket(self) -> Path:
        return self.root / "csi.sock"

    @property
    def registration_socket(self) -> Path:
        return self.kubelet_root / "plugins_registry" / "btrfs-reg.sock"

    @property
    def logs(self) -> Path:
        # Two kubelets with one folder would delete each other's logs.
        return self.root / "logs"


@dataclass(frozen=True, slots=True)
class Layout:
    """All paths, addresses and ports of one instance."""

    root: Path
    index: int

    def _port(self, base: int) -> int:
        return base + 100 * self.index

    @property
    def etcd_port(self) -> int:
        return self._port(22379)

    @property
    def etcd_peer_port(self) -> int:
        return self._port(22380)

    @property
    def api_port(self) -> int:
        return self._port(26443)

    @property
    def controller_manager_port(self) -> int:
        return self._port(26257)

    @property
    def scheduler_port(self) -> int:
        return self._port(26259)

    @property
    def kubelet_port(self) -> int:
        # Not 10250: that is taken where the machine is itself a node of some cluster.
        return self._port(26250)

    @property
    def kubelet_health_port(self) -> int:
        return self._port(26248)

    @property
    def s3_port(self) -> int:
        return self._port(26270)

    @property
    def s3_address(self) -> str:
        """Return the one address of the S3 server that pods of both nodes and the host reach."""
        return self.node(1).gateway

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def token(self) -> str:
        """Return 6 hex digits that stand for this instance in names outside its folder."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    @property
    def cgroup(self) -> str:
        return f"backstay-{self.token}"

    @property
    def marker(self) -> Path:
        return self.root / ".backstay-cluster"

    @property
    def lock(self) -> Path:
        # Beside the root, because the root goes away with `down`.
        return self.root.with_name(self.root.name + ".lock")

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def s3(self) -> Path:
        return self.root / "s3"

    @property
    def storage_image(self) -> Path:
        return self.root / "storage.img"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def controller_socket(self) -> Path:
        return self.root / "csi.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    def node(self, number: int) -> Node:
        token = self.token
        # 198.18.0.0/15 is for benchmarks (RFC 2544): never a real destination.
        network, first = f"198.18.{self.index}", 128 * (number - 1)
        return Node(
            number=number,
            address=f"127.0.{self.index}.{number}",
            root=self.root / f"n{number}",
            cgroup=f"{self.cgroup}/n{number}",
            bridge=f"bs{token}n{number}",
            # The first byte says that nobody's vendor gave it.
            bridge_mac=f"02:{token[:2]}:{token[2:4]}:{token[4:]}:00:0{number}",
            pod_range=f"{network}.{first}/25",
            # The first address: CNI gives it to no pod.
            gateway=f"{network}.{first + 1}",
        )

    def nodes(self, count: int) -> list[Node]:
        return [self.node(number) for number in range(1, count + 1)]

    def check(self) -> None:
        """Raise KitError if a unix socket below the root would have too long a path."""
        longest = str(self.node(MAX_NODES).registration_socket)
        if len(longest) > _SOCKET_PATH_MAX:
            raise KitError(
                f"the cluster's folder {self.root} is too deep: unix sockets in it would have "
                f"{len(longest)} characters, {_SOCKET_PATH_MAX} are allowed; set "
                "BACKSTAY_CLUSTER_DIR to a shorter path"
            )


def layout_from(environ: Mapping[str, str]) -> Layout:
    """Given the environment, return the instance that it names.

    Raise KitError if BACKSTAY_CLUSTER_INDEX is not 0..9 or the folder is too deep.
    """
    text = environ.get("BACKSTAY_CLUSTER_INDEX", "0")
    if not text.isdecimal() or int(text) > MAX_INDEX:
        raise KitError(f"BACKSTAY_CLUSTER_INDEX is {text!r}; give a number from 0 to {MAX_INDEX}")
    index = int(text)
    folder = "cluster" if index == 0 else f"cluster-{index}"
    chosen = environ.get("BACKSTAY_CLUSTER_DIR")
    root = (
        Path(chosen) if chosen else user_folder(environ, "XDG_STATE_HOME", ".local/state") / folder
    )
    layout = Layout(root=Path(os.path.realpath(root)), index=index)
    layout.check()
    return layout


def cache_from(environ: Mapping[str, str]) -> Path:
    """Given the environment, return the folder that keeps built tools and images."""
    return user_folder(environ, "XDG_CACHE_HOME", ".cache")


def user_folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    base = environ.get(variable)
    return (Path(base) if base else Path.home() / default) / "backstay"
