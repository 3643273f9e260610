"""Claims as a source: see `sources.base.Source`."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.rolling import PlannedCopy
from backstay.api.source import CLAIMS_MAX, ClaimSource
from backstay.api.source import Source as Wanted
from backstay.domain import labels, objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.record import ClaimRecord
from backstay.domain.sources import claims as sourcing
from backstay.domain.stores.repository.use import is_cache
from backstay.domain.stores.temporary import run_of
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.sources.base import Resolved


class Claims:
    """PersistentVolumeClaims of the policy's namespace, and a directory of each."""

    def is_named(self, wanted: Wanted, /) -> bool:
        """Whether claims are named."""
        return wanted.claims is not None

    async def resolve(
        self, client: Client, namespace: str, wanted: Wanted, of_dumps: Mapping[str, str], /
    ) -> Resolved:
        """Find the claims by name, by their labels, and where dumps are written."""
        named = wanted.claims or ClaimSource()
        claims = await find_claims(client, namespace, named)
        # One that was read with the source is not read again: it could be another one by then.
        for dump, name in of_dumps.items():
            claims[name] = claims.get(name) or await find_claim(
                client, namespace, name, f"spec.dumps[{dump}].file"
            )
        if len(claims) > CLAIMS_MAX:
            raise UserError(
                "TooManyClaims",
                f"spec.source.claims: {len(claims)} claims are more than one run can hold "
                f"({CLAIMS_MAX}); split the policy",
            )
        names, path = sorted(claims), named.sub_path or ""
        return Resolved(
            {name: claims[name] for name in names},
            tuple(PlannedCopy(claim=name, path=path) for name in names),
        )


async def find_claims(client: Client, namespace: str, wanted: ClaimSource) -> dict[str, Obj]:
    """Given a namespace and a policy's source, return the union of names and selector, by name.

    Raise UserError if a claim does not exist, or if nothing is named and the selector finds none.
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
            # What a copy is made of has no label of its source, but a selector may want just that.
            # A cache is no data of anybody.
            if not run_of(claim) and not is_cache(claim):
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
