"""Which claims a run copies: all of them, and the destination, exist and hold files."""

from __future__ import annotations

from collections.abc import Sequence

from backstay.api.plan import PlannedClaim
from backstay.api.rolling import Rolling
from backstay.api.source import CLAIMS_MAX, ClaimSource
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM
from backstay.stores.snapshots import resolve


async def claims_to_copy(
    client: Client,
    namespace: str,
    wanted: ClaimSource,
    rolling: Rolling,
    names: Sequence[str] | None,
) -> tuple[PlannedClaim, ...]:
    """Given a policy's source and how it keeps copies, and the claims that the run takes snapshots
    of (None: it takes none), return the claims to copy.

    Raise UserError, naming the field and the remedy, if one is missing or cannot be copied.
    """
    if names is None:
        claims = await resolve.find_claims(client, namespace, wanted)
    else:
        field = "spec.source.claims"
        claims = {n: await resolve.find_claim(client, namespace, n, field) for n in names}
    if len(claims) > CLAIMS_MAX:
        raise UserError("TooManyClaims", "spec.source.claims: split the policy")
    sources = [claims[name] for name in sorted(claims)]
    destination = await _destination(client, namespace, rolling)
    for claim in (*sources, *destination):
        if dig(claim, "spec", "volumeMode") == "Block":
            raise UserError(
                "ClaimNotFiles",
                f"spec.source.claims: claim {objects.name(claim)} is a block volume; rolling "
                "copies are of files, take snapshots of it",
            )
    for name in (objects.name(claim) for claim in destination):
        if name in claims:
            raise UserError(
                "DestinationIsSource",
                f"spec.rolling.destination.claim: {name} is also a source; copies on the claim "
                "itself are lost with it, choose another claim",
            )
    return tuple(
        PlannedClaim(name=objects.name(c), uid=objects.uid(c), class_name="") for c in sources
    )


async def _destination(client: Client, namespace: str, rolling: Rolling) -> list[Obj]:
    """The claim that copies are kept in, if they are kept in one."""
    target = rolling.destination.claim
    if target is None:
        return []
    kept = await client.find(PERSISTENT_VOLUME_CLAIM, target.name, namespace)
    if kept is None:
        raise UserError(
            "DestinationNotFound",
            f"spec.rolling.destination.claim: there is no PersistentVolumeClaim {target.name} in "
            f"namespace {namespace}",
        )
    return [kept]
