"""Find the claims that a policy names, and what it takes to make their like."""

from __future__ import annotations

from backstay.api.policy import ClaimSource
from backstay.domain import labels, objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.record import ClaimRecord
from backstay.domain.sources import claims as sourcing
from backstay.domain.stores.copies.temporary import run_of
from backstay.kube import resources
from backstay.kube.client import Client


async def find_claims(client: Client, namespace: str, wanted: ClaimSource) -> dict[str, Obj]:
    """Given a namespace and a policy's source, return the union of names and selector, by name.

    Raise UserError if a claim does not exist, or if the selector finds none.
    """
    found = {
        name: await find_claim(client, namespace, name, "spec.source.claims.names")
        for name in wanted.names
    }
    if wanted.selector is not None:
        text = sourcing.selector_text(wanted.selector)
        for claim in await client.list(resources.PERSISTENT_VOLUME_CLAIM, namespace, labels=text):
            # What a copy is made of has no label of its source, but a selector may want just that.
            if not run_of(claim):
                found[objects.name(claim)] = claim
        if not found:
            raise UserError(
                "NoClaims",
                f"spec.source.claims.selector: no PersistentVolumeClaim in namespace {namespace} "
                f"matches {text}",
            )
    return found


async def find_claim(client: Client, namespace: str, name: str, field: str) -> Obj:
    """Given a namespace, a claim's name and the field that names it, return the claim.

    Raise UserError if it does not exist.
    """
    claim = await client.find(resources.PERSISTENT_VOLUME_CLAIM, name, namespace)
    if claim is None:
        raise UserError(
            "ClaimNotFound",
            f"{field}: there is no PersistentVolumeClaim {name} in namespace {namespace}",
        )
    return claim


def recorded_claim(claim: Obj) -> ClaimRecord:
    """Given a claim as read, return what is needed to make its like."""
    return ClaimRecord(
        name=objects.name(claim),
        uid=objects.uid(claim),
        size=str(
            dig(claim, "status", "capacity", "storage")
            or dig(claim, "spec", "resources", "requests", "storage", default="")
        ),
        storage_class=dig(claim, "spec", "storageClassName"),
        access_modes=tuple(dig(claim, "spec", "accessModes", default=[])),
        volume_mode=str(dig(claim, "spec", "volumeMode", default="Filesystem")),
        labels=objects.labels(claim),
        volume=dig(claim, "spec", "volumeName"),
        continues=objects.annotations(claim).get(labels.CONTINUES),
    )
