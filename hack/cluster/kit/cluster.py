"""Bringing an instance up, step by step, each step a no-op where it holds already."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import api, bridges, cgroups, configs, images, mounts, packages, s3, services, tools
from .certificates import ensure_account_key, ensure_authority, ensure_pair
from .errors import KitError
from .files import write
from .layout import DRIVER, Layout, Node
from .processes import Service, Supervisor, stop

_STORAGE_SIZE = "16G"
_NODES_FILE = "nodes"


class Cluster:
    """Given a layout and a cache folder, one instance of the cluster."""

    def __init__(self, layout: Layout, cache: Path) -> None:
        self.layout = layout
        self.cache = cache
        self.supervisor = Supervisor(layout)

    def node_count(self) -> int:
        """Return how many nodes the instance has, 0 if it is down."""
        file = self.layout.root / _NODES_FILE
        return int(file.read_text()) if file.exists() else 0

    @property
    def has_s3(self) -> bool:
        """Return whether the instance has an S3 server; once asked for, it stays until `down`."""
        return self.layout.s3.exists()

    def up(self, count: int, *, with_s3: bool = False) -> bool:
        """Given a number of nodes, leave them running. Return whether anything was started."""
        packages.require_root("the cluster")
        packages.ensure(packages.CLUSTER)
        built = tools.ensure(self.cache, tools.OF_A_CLUSTER)
        crds = tools.snapshot_crds(self.cache)
        archives = images.test_images(self.cache)
        with_s3 = with_s3 or self.has_s3
        if with_s3:
            built |= tools.ensure(self.cache, [s3.SERVICE])
        self.claim_folder(count)
        if with_s3:
            self.layout.s3.mkdir(exist_ok=True)
        nodes = self.layout.nodes(count)
        self._prepare(nodes)
        kubectl = api.Kubectl(built["kubectl"], self.layout)
        start = self.supervisor.ensure
        started = [self._start_runtime(node) for node in nodes]
        if with_s3:
            started.append(self._start_s3(built))
        with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
            # Importing images takes longest, so everything else comes up beside it.
            loading = [pool.submit(images.load_all, node, archives) for node in nodes]
            started += self._control_plane(nodes, built)
            started += [start(services.kubelet(self.layout, node, built)) for node in nodes]
            self._apply(kubectl, crds)
            started += [start(s) for s in services.csi_controllers(self.layout, built)]
            self._wait_for_nodes(kubectl, nodes)
            for future in loading:
                future.result()
        self._check_all_run(count)
        return any(started)

    def _control_plane(self, nodes: Sequence[Node], built: Mapping[str, Path]) -> list[bool]:
        start = self.supervisor.ensure
        started = [start(services.etcd(self.layout, built))]
        started.append(start(services.api_server(self.layout, built)))
        self._wait_for_api()
        started += [start(service) for service in services.controllers(self.layout, built)]
        return [*started, self._start_driver(services.csi_driver(self.layout, nodes, built))]

    def claim_folder(self, count: int) -> None:
        root = self.layout.root
        if root.exists() and not self.layout.marker.exists() and any(root.iterdir()):
            raise KitError(
                f"{root} holds something else; set BACKSTAY_CLUSTER_DIR to an empty folder"
            )
        running = self.node_count()
        if running > count:
            raise KitError(f"the cluster has {running} nodes; to have {count}, run `down` first")
        root.mkdir(parents=True, exist_ok=True)
        self.layout.marker.touch()
        (root / _NODES_FILE).write_text(str(count))

    def _prepare(self, nodes: Sequence[Node]) -> None:
        """Make what the processes find when they start: keys, configs, groups, storage."""
        layout = self.layout
        ensure_authority(layout.pki)
        ensure_account_key(layout.pki)
        ensure_pair(layout.pki, "apiserver", "/CN=kube-apiserver", ["127.0.0.1", "localhost"])
        ensure_pair(
            layout.pki, "kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"
        )
        ensure_pair(layout.pki, "admin", "/O=system:masters/CN=admin")
        for name in ("controller-manager", "scheduler"):
            ensure_pair(layout.pki, name, f"/CN=system:kube-{name}")
        for name in ("admin", "controller-manager", "scheduler"):
            write(layout.root / f"{name}.kubeconfig", configs.kubeconfig(layout, name))
        mounts.ensure_btrfs(layout.storage_image, layout.storage, _STORAGE_SIZE)
        plugins = packages.cni_plugins()
        for node in nodes:
            user = f"kubelet-{node.number}"
            ensure_pair(layout.pki, user, f"/O=system:nodes/CN=system:node:{node.name}")
            write(node.root / "kubelet.kubeconfig", configs.kubeconfig(layout, user))
            write(node.root / "kubelet.json", configs.kubelet(layout, node))
            write(node.root / "containerd.toml", configs.containerd_toml(node, plugins))
            write(node.root / "cni" / "10-pods.conflist", configs.cni(node, self._s3_address))
            if self.has_s3:
                bridges.ensure(node)
            cgroups.create(node.cgroup)

    @property
    def _s3_address(self) -> str | None:
        return self.layout.s3_address if self.has_s3 else None

    def _start_s3(self, built: Mapping[str, Path]) -> bool:
        address = self.layout.s3_address
        return s3.up(self.layout, self.supervisor, built[s3.SERVICE], address)

    def _start_runtime(self, node: Node) -> bool:
        service = services.containerd(node, packages.cni_plugins(), self._s3_address)
        started = self.supervisor.ensure(service)
        self.supervisor.wait(
            service.name, lambda: images.answers(node), seconds=30, what="containerd answers"
        )
        return started

    def _start_driver(self, driver: Service) -> bool:
        started = self.supervisor.ensure(driver)
        if started:
            # They exit when they lose the driver, at a moment of their own: do it now.
            lost = [self.supervisor.running(name) for name in services.SIDECARS]
            stop([identity for identity in lost if identity])
        return started

    def _wait_for_api(self) -> None:
        self.supervisor.wait(
            "kube-apiserver",
            lambda: api.ready(self.layout),
            seconds=90,
            what=f"{self.layout.server}/readyz answers",
        )

    def _check_all_run(self, count: int) -> None:
        for name in services.names(count, with_s3=self.has_s3):
            if self.supervisor.running(name) is None:
                raise KitError(f"{name} ended at once:\n{self.supervisor.tail(name)}")

    def _apply(self, kubectl: api.Kubectl, crds: Path) -> None:
        # Without validation: downloading the schema would cost the new API server seconds.
        apply = ("apply", "--server-side", "--force-conflicts", "--validate=false", "-f")
        kubectl.run(*apply, crds)
        kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
        manifest = {"apiVersion": "v1", "kind": "List", "items": configs.classes()}
        kubectl.run(*apply, "-", stdin=json.dumps(manifest))

    def _wait_for_nodes(self, kubectl: api.Kubectl, nodes: Sequence[Node]) -> None:
        names = {node.name for node in nodes}

        def settled() -> bool:
            ready = {n["metadata"]["name"] for n in kubectl.items("nodes") if api.node_is_ready(n)}
            found = kubectl.items("csinodes")
            served = {n["metadata"]["name"] for n in found if api.has_driver(n, DRIVER)}
            accounts = {a["metadata"]["name"] for a in kubectl.items("serviceaccounts")}
            return names <= ready and names <= served and "default" in accounts

        self.supervisor.wait(
            f"kubelet-{nodes[-1].number}",
            settled,
            seconds=90,
            what="all nodes are Ready and have the CSI driver",
        )
