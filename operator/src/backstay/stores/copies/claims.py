"""See that the claims that are copied, and the destination, exist and hold files."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.rolling import CopyMethod, Rolling
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM
from backstay.stores.source_claims import check_cloned, check_files


async def check_claims(
    client: Client, namespace: str, claims: Mapping[str, Obj], rolling: Rolling
) -> None:
    """Given the claims of a run, by name, and how the policy keeps copies, refuse what cannot be
    copied.

    Raise UserError, naming the field and the remedy.
    """
    # Read before the run: a Job whose claim is missing would wait for startTimeout.
    destination = await _destination(client, namespace, rolling)
    if rolling.copy_method is CopyMethod.CLONE:
        check_cloned(claims.values(), "spec.rolling.copyMethod")
    # The destination as well: the Job mounts both.
    check_files((*claims.values(), *destination), "rolling copies are")
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
