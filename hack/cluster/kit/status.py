"""What runs, for people and for programs."""

import json
from typing import Any

from . import s3, services, tools
from .cluster import Cluster
from .layout import CONTEXT
from .toolchain import kubectl_present


def report(cluster: Cluster) -> dict[str, Any]:
    """Given a cluster, return its state; paths are of what exists or would exist."""
    layout, cache = cluster.layout, cluster.cache
    count = cluster.node_count()
    names = services.names(count, with_s3=cluster.has_s3)
    processes = {name: cluster.supervisor.running(name) for name in names}
    access = s3.access(layout)
    kubectl = kubectl_present(cache)
    helm = tools.binary(cache, "helm")
    return {
        "running": count > 0 and all(processes.values()),
        "context": CONTEXT,
        "kubeconfig": str(layout.kubeconfig),
        "server": layout.server,
        "nodes": [node.name for node in layout.nodes(count)],
        "storage": str(layout.storage),
        "logs": str(layout.logs),
        "s3": access.report() if access else None,
        "processes": {name: one.pid if one else None for name, one in processes.items()},
        "helm": str(helm) if helm.exists() else None,
        "kubectl": str(kubectl) if kubectl else None,
    }


def show(cluster: Cluster, *, as_json: bool) -> int:
    """Given a cluster, print its state; return 0 if all of it runs, else 1."""
    state = report(cluster)
    if as_json:
        print(json.dumps(state, indent=2))
        return 0 if state["running"] else 1
    if not state["nodes"]:
        print("no cluster is up")
        return 1
    for name in ("kubeconfig", "context", "server", "storage", "logs"):
        print(f"{name:<11} {state[name]}")
    if state["s3"]:
        print(f"{'s3':<11} {state['s3']['endpoint']}")
    print(f"{'nodes':<11} {' '.join(state['nodes'])}")
    for name, pid in state["processes"].items():
        print(f"  {name:<24} {f'pid {pid}' if pid else 'DEAD: run `up` to repair'}")
    return 0 if state["running"] else 1
