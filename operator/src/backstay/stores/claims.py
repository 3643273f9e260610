"""Find the claims that a policy names."""

from __future__ import annotations

from backstay.api.source import ClaimSource
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.sources import claims as sourcing
from backstay.kube import resources
from backstay.kube.client import Client


async def find_claims(client: Client, namespace: str, wanted: ClaimSource) -> dict[str, Obj]:
    """Given a namespace and a policy's source, return the union of names and selector, by name.

    Raise UserError if a claim does not exist, or if the selector finds none.
    """
    # Each by its name: the field that names one that is missing is in the message.
    found = {
        name: await find_claim(client, namespace, name, "spec.source.claims.names")
        for name in wanted.names
    }
    if wanted.selector is not None:
        # Looked up for each plan and kept nowhere: claims that match come and go.
        text = sourcing.selector_text(wanted.selector)
        for claim in await client.list(resources.PERSISTENT_VOLUME_CLAIM, namespace, labels=text):
            found[objects.name(claim)] = claim
        # Refused: a run without any claim would end Completed with nothing in it.
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
