"""Directories of nodes and claims: a new one, or the source itself in place.

Invariants: where a request may write is asked of what the administrator allows now, for every Job;
in place no Job is made while a Pod uses the claim, unless a person said so.
"""

from __future__ import annotations

from backstay.domain.errors import UserError
from backstay.domain.jobs import Mount
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Found, Spot, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.sources.allowed_paths import below, source_root
from backstay.domain.stores.copies.locations import TARGET, Opened
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM
from backstay.settings import RollingRoots
from backstay.targets.users import check_users


class DirectoryTarget:
    """A new directory: whoever fills it makes it, and gives it its name when it is whole. `roots`
    is what the administrator allows.
    """

    field_on_node = "spec.directory.path"

    def __init__(self, client: Client, roots: RollingRoots) -> None:
        self._client = client
        self._roots = roots

    def locate(self, wish: Wish, found: Found) -> Spot:
        """Where the directory goes. Raise UserError if such a point cannot go there."""
        wanted = wish.directory
        if found.claim is None:
            if wanted is None or wanted.path is None:
                raise UserError(
                    "NotAClaim",
                    "spec.directory.claim: the copy is of a directory of a node; set path, or "
                    "inPlace",
                )
            return _on_node(found.node or "", wanted.path)
        if wanted is None or wanted.claim is None:
            raise UserError(
                "NotANode",
                "spec.directory.path: the copy is of a claim; set claim, or inPlace",
            )
        return _in_claim(wanted.claim.name, wanted.claim.sub_path)

    async def check(self, part: Part, said: Acknowledged) -> str:  # noqa: ARG002
        """Raise UserError if the directory may not be written to, or its claim is missing."""
        if part.item.node is not None:
            self._root(part.request.namespace, part.item.node, part.item.path)
        elif part.item.claim is not None:
            await self._insist_on_claim(part.request, part.item.claim)
        return ""

    async def see(self, part: Part) -> TargetSeen:  # noqa: ARG002
        """Others may use it."""
        return TargetSeen(shared=True)

    async def prepare(self, part: Part, volume: Volume) -> None:
        """Nothing is made beforehand."""

    def open(self, part: Part) -> Opened:
        """The directory below its root or in its claim. Raise UserError if it is not allowed."""
        item = part.item
        if item.node is None:
            return Opened(Mount("target", TARGET, claim=item.claim), item.path)
        root = self._root(part.request.namespace, item.node, item.path)
        return Opened(Mount("target", TARGET, host_path=root), below(item.path, root))

    async def commit(self, part: Part) -> None:
        """What is there is the user's already."""

    async def undo(self, part: Part) -> None:
        """A store's fill leaves nothing that is not whole."""

    def _root(self, namespace: str, node: str, path: str) -> str:
        """The root that the administrator opens to restores. Raise UserError if there is none."""
        field = self.field_on_node
        return source_root(self._roots, namespace, node, path, field=field, write=True).path

    async def _insist_on_claim(self, request: Request, name: str) -> None:
        if await self._client.find(PERSISTENT_VOLUME_CLAIM, name, request.namespace) is None:
            raise UserError(
                "ClaimNotFound",
                f"spec.directory.claim: there is no PersistentVolumeClaim {name}; make it, then "
                "create the request again",
            )


class InPlaceTarget(DirectoryTarget):
    """The source itself: what is there now is copied first."""

    field_on_node = "spec.directory.inPlace"

    def locate(self, wish: Wish, found: Found) -> Spot:  # noqa: ARG002
        """Where the source is, whatever was asked for."""
        if found.claim is not None:
            return _in_claim(found.claim, found.path)
        return _on_node(found.node or "", found.path)

    async def check(self, part: Part, said: Acknowledged) -> str:
        """Wait for Pods of our own Jobs. Raise UserError if others use the claim: that is no wait,
        as nobody expects data to be overwritten whenever those happen to stop.

        Of a node's directory nobody knows who uses it.
        """
        # The claim first: one that is missing has no users.
        await super().check(part, said)
        if part.item.claim is None:
            return ""
        return await check_users(self._client, part, said, field=self.field_on_node)


def _on_node(node: str, path: str) -> Spot:
    return Spot(path=path, into=f"{node}:{path}", node=node)


def _in_claim(claim: str, path: str) -> Spot:
    return Spot(path=path, into=f"{claim}/{path}" if path else claim, claim=claim)
