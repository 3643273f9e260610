"""See that the claims that are copied, and the destination, exist and hold files."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.rolling import CopyMethod, Rolling
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM


async def check_claims(
    client: Client, namespace: str, claims: Mapping[str, Obj], rolling: Rolling
) -> None:
    """Given the claims of a run, by name, and how the policy keeps copies, refuse what cannot be
    copied.

    Raise UserError, naming the field and the remedy.
    """
    # Read before the run: a Job whose claim is missing would wait for startTimeout.
    destination = await _destination(client, namespace, rolling)
    for claim in claims.values() if rolling.copy_method is CopyMethod.CLONE else ():
        if not dig(claim, "spec", "storageClassName"):
            raise UserError(
                "ClaimNotCloned",
                f"spec.rolling.copyMethod: claim {objects.name(claim)} has no StorageClass, and so "
                "no driver that clones it; choose Snapshot or Direct",
            )
    # The destination as well: the Job mounts both as directories.
    for claim in (*claims.values(), *destination):
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
