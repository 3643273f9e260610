"""A claim that exists, whose content is overwritten.

Invariants: no Job is made while a Pod uses the claim, unless a person said so; the claim itself is
never changed, and what a restore that failed has left in it stays for a person to look at.
"""

from __future__ import annotations

from backstay.domain.errors import UserError
from backstay.domain.jobs import Mount
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Found, Spot, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Wish
from backstay.domain.stores.copies.locations import TARGET, Opened
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM
from backstay.targets.users import check_users

FIELD = "spec.claims[].to.existingClaim"


class ExistingClaimTarget:
    """Writes over what a claim has."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def locate(self, wish: Wish, found: Found) -> Spot:
        """The claim. Raise UserError if the point is of no claim."""
        to = wish.claim.to.existing_claim if wish.claim is not None else None
        if to is None or found.claim is None:
            raise UserError(
                "NotAClaim",
                f"spec.claims: {found.source} is a directory of a node; restore spec.directory",
            )
        into = f"{to.name}/{found.path}" if found.path else to.name
        return Spot(path=found.path, into=into, claim=to.name)

    async def check(self, part: Part, said: Acknowledged) -> str:
        """Wait for Pods of our own Jobs. Raise UserError if others use the claim, or there is none
        that files can be written to.
        """
        name = part.item.claim or ""
        claim = await self._find(part)
        if claim is None:
            raise UserError(
                "ClaimNotFound",
                f"{FIELD}.name: there is no PersistentVolumeClaim {name}; restore into a new one "
                "(newClaim)",
            )
        if dig(claim, "spec", "volumeMode") == "Block":
            raise UserError(
                "NotAFilesystem", f"{FIELD}.name: claim {name} is a block volume, without files"
            )
        return await check_users(self._client, part, said, field=FIELD)

    async def see(self, part: Part) -> TargetSeen:
        """Look whether it is still there. Others may use it."""
        called = f"claim {part.item.claim}"
        if await self._find(part) is None:
            gone = "it was deleted while it was being restored"
            return TargetSeen(shared=True, called=called, broken=gone)
        return TargetSeen(shared=True, called=called)

    async def prepare(self, part: Part, volume: Volume) -> None:
        """Nothing is made."""

    def open(self, part: Part) -> Opened:
        """The claim, at the directory that the point is of."""
        return Opened(Mount("target", TARGET, claim=part.item.claim), part.item.path)

    async def commit(self, part: Part) -> None:
        """What is there is the user's already."""

    async def undo(self, part: Part) -> None:
        """What was there is overwritten."""

    async def _find(self, part: Part) -> Obj | None:
        name, namespace = part.item.claim or "", part.request.namespace
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace)
        return None if dig(claim, "metadata", "deletionTimestamp") else claim
