"""Directories of a node as a source: see `sources.base.Source`."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.rolling import PlannedCopy
from backstay.api.source import Source as Wanted
from backstay.domain.errors import UserError
from backstay.domain.stores.copies.locations import node_trouble
from backstay.kube.client import Client
from backstay.kube.resources import NODE
from backstay.sources.base import Resolved


class HostPath:
    """Directories of one node."""

    def is_named(self, wanted: Wanted, /) -> bool:
        """Whether a node's directories are named."""
        return wanted.host_path is not None

    async def resolve(
        self, client: Client, _: str, wanted: Wanted, of_dumps: Mapping[str, str], /
    ) -> Resolved:
        """See that their node is there. Whether it is ready is asked when a Job is made."""
        source = wanted.host_path
        if source is None or of_dumps:
            raise ValueError("directories of a node are named, and no dump is written there")
        found = await client.find(NODE, source.node)
        trouble, for_good = node_trouble(source.node, found)
        if for_good:
            raise UserError("NodeNotFound", f"spec.source.hostPath.node: {trouble}")
        copies = (PlannedCopy(node=source.node, path=path) for path in source.directories)
        return Resolved(directories=tuple(copies), node=source.node)
