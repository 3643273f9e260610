"""The node that a Job must run on, and whether it can."""

from __future__ import annotations

from collections.abc import Collection

from backstay.domain.stores.copies.locations import node_of_claims, node_trouble
from backstay.kube.client import Client
from backstay.kube.resources import NODE, PERSISTENT_VOLUME_CLAIM, POD


async def node_for(client: Client, namespace: str, names: Collection[str]) -> str | None:
    """Given claims that one Job needs ("" is none), return the node that has them, None if any will
    do. Raise UserError if they are in use on different nodes.
    """
    claims = [
        claim
        for name in sorted(filter(None, names))
        if (claim := await client.find(PERSISTENT_VOLUME_CLAIM, name, namespace))
    ]
    return node_of_claims(claims, await client.list(POD, namespace))


async def trouble_of(client: Client, node: str | None) -> tuple[str, bool]:
    """Given a node (None: any), return what keeps Jobs from it, and whether for good."""
    return node_trouble(node, await client.find(NODE, node)) if node else ("", False)
