"""A claim that is made for a restore, beside the original.

Invariants: a claim that this request did not make is never touched; until it is verified, ours has
the label of a restore under way, by which it goes when its request was deleted
(`reconcile/leftovers.py`). Each is deleted by uid and resourceVersion, so what changed stays.
"""

from __future__ import annotations

from backstay.builders.restore import restored_claim
from backstay.builders.snapshot import metadata_patch
from backstay.domain import labels, objects
from backstay.domain.errors import AlreadyExists, UserError
from backstay.domain.jobs import Mount
from backstay.domain.objects import Obj
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.leftovers import Fate
from backstay.domain.restore.new_claim import fate_at_failure, is_made_by, look_at
from backstay.domain.restore.sights import Found, Spot, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Wish
from backstay.domain.stores.copies.locations import TARGET, Opened
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM


class NewClaimTarget:
    """Makes claims. It needs no turn: what did not exist is of nobody else."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def locate(self, wish: Wish, found: Found) -> Spot:
        """The claim that is to be made. Raise UserError if the point is of no claim."""
        if wish.new_claim is None or found.claim is None:
            raise UserError(
                "NotAClaim",
                f"spec.claims: {found.source} is a directory of a node; restore spec.directory",
            )
        name = wish.new_claim.name
        return Spot(path=found.path, into=name, claim=name)

    async def check(self, part: Part, said: Acknowledged) -> str:  # noqa: ARG002
        """Raise UserError if there is such a claim."""
        existing = await self._find(part)
        if existing is not None and not is_made_by(existing, part.request.uid):
            raise UserError(
                "ClaimExists",
                f"spec.claims[].to.newClaim.name: claim {part.item.claim} exists already; choose "
                "another name, or delete it if it is not needed",
            )
        return ""

    async def see(self, part: Part) -> TargetSeen:
        """Look at the claim of that name."""
        return look_at(part.item, await self._find(part), part.request.uid)

    async def prepare(self, part: Part, volume: Volume) -> None:
        """Make the claim, which says whose data it holds: under the name of the lost one it goes
        on with that one's series.
        """
        notes = {labels.RESTORE_REQUEST: part.request.uid}
        if volume.continues:
            notes[labels.CONTINUES] = volume.continues
        # In one write: a claim without the label is its user's, and would stay for ever.
        body = restored_claim(
            name=part.item.claim or "",
            namespace=part.request.namespace,
            data_source=volume.data_source,
            storage_class=volume.storage_class,
            access_modes=volume.access_modes,
            volume_mode=volume.volume_mode,
            size=volume.size,
            labels={labels.RESTORING: part.request.uid},
            annotations=notes,
        )
        try:
            await self._client.create(PERSISTENT_VOLUME_CLAIM, body)
        except AlreadyExists:
            return  # The next look shows whether it is ours.

    def open(self, part: Part) -> Opened:
        """The claim, at the directory that the point is of."""
        return Opened(Mount("target", TARGET, claim=part.item.claim), part.item.path)

    async def commit(self, part: Part) -> None:
        """Hand the claim over: it is the user's from now on."""
        claim = await self._find(part)
        if claim is not None and is_made_by(claim, part.request.uid):
            await hand_over(self._client, claim)

    async def undo(self, part: Part) -> None:
        """Delete the claim if it has no volume, else hand it over."""
        claim = await self._find(part)
        match fate_at_failure(claim, part.request.uid):
            case Fate.DELETE:
                await delete(self._client, claim)
            case Fate.HAND_OVER:
                await hand_over(self._client, claim)
            case Fate.KEEP:
                pass

    async def _find(self, part: Part) -> Obj | None:
        name, namespace = part.item.claim or "", part.request.namespace
        return await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace)


async def hand_over(client: Client, claim: Obj | None) -> None:
    """Given a claim as read (None: there is none), take the label of a restore under way off it.

    Raise Conflict if it changed meanwhile.
    """
    if claim is None or labels.RESTORING not in objects.labels(claim):
        return
    patch = metadata_patch(claim, labels={labels.RESTORING: None})
    name, namespace = objects.name(claim), objects.namespace(claim)
    await client.patch(PERSISTENT_VOLUME_CLAIM, name, namespace, patch)


async def delete(client: Client, claim: Obj | None) -> None:
    """Given a claim as read (None: there is none), delete it. Raise Conflict if it changed."""
    if claim is None:
        return
    await client.delete(
        PERSISTENT_VOLUME_CLAIM,
        objects.name(claim),
        objects.namespace(claim),
        uid=objects.uid(claim),
        resource_version=objects.version(claim),
    )
