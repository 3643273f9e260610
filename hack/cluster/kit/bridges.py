"""The bridges of the pod networks. CNI makes them; with the S3 server they have an address."""

from pathlib import Path

from .command import run
from .layout import Node


def ensure(node: Node) -> None:
    """Given a node, leave its bridge up with the host's address on it.

    CNI would do that too (isGateway), but it would also make the machine forward packets.
    """
    if not Path("/sys/class/net", node.bridge).exists():
        run(["ip", "link", "add", node.bridge, "type", "bridge"])
    # A bridge without an address of its own takes another with each pod, and pods remember the old.
    run(["ip", "link", "set", node.bridge, "address", node.bridge_mac, "up"])
    prefix = node.pod_range.partition("/")[2]
    run(["ip", "address", "replace", f"{node.gateway}/{prefix}", "dev", node.bridge])


def remove(name: str) -> None:
    if Path("/sys/class/net", name).exists():
        run(["ip", "link", "delete", name])
