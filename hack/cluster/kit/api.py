"""What the kit itself asks the API server, through kubectl and the readiness endpoint."""

import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

from .command import run
from .layout import Layout


def ready(layout: Layout) -> bool:
    """Return whether the API server says that it is ready."""
    trust = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    try:
        with opener.open(f"{layout.server}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Kubectl:
    """kubectl as the cluster's administrator."""

    def __init__(self, program: Path, layout: Layout) -> None:
        self._argv = [str(program), f"--kubeconfig={layout.kubeconfig}"]
        # A cache of its own: one from another cluster on this port would be believed.
        self._argv.append(f"--cache-dir={layout.run / 'kubectl-cache'}")

    def run(self, *words: str | Path, stdin: str | None = None) -> str:
        return run([*self._argv, *words], stdin=stdin)

    def items(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("get", kind, "-o", "json"))["items"]
        return found


def node_is_ready(node: dict[str, Any]) -> bool:
    """Given a Node, return whether its Ready condition is True."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def has_driver(csi_node: dict[str, Any], driver: str) -> bool:
    """Given a CSINode, return whether the driver is registered on it."""
    drivers = csi_node.get("spec", {}).get("drivers") or []
    return any(entry["name"] == driver for entry in drivers)
