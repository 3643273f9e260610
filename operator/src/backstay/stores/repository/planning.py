"""Plan the uploads of a run: of which claims, and into which repository."""

from __future__ import annotations

from backstay.api.common import changed
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.repository import RepositorySpec
from backstay.api.repository_store import PlannedRepository, Repository, UploadMethod
from backstay.api.rolling import PlannedCopy
from backstay.api.store import REPOSITORY, ROLLING, SNAPSHOT
from backstay.domain.errors import UserError
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_REPOSITORY
from backstay.settings import RollingRoots
from backstay.steps.repositories import repository_spec, repository_status, usable
from backstay.stores.base import Draft
from backstay.stores.repository.reading import check_directories
from backstay.stores.source_claims import check_cloned, check_files

_FIELD = "spec.repository"
_MADE_OF = {UploadMethod.SNAPSHOT: SNAPSHOT, UploadMethod.ROLLING: ROLLING}
"""The store whose points are uploaded; no entry: the source is, or a clone of it."""
_REMEDIES = {
    "RepositoryNotFound": "create it, or correct the name",
    "RepositoryReadOnly": "set its access to ReadWrite, or choose another one",
}


async def extend(client: Client, draft: Draft, roots: RollingRoots) -> RunPlan:
    """Given a plan in the making and what the administrator allows, return the plan with an upload
    of each directory of the source, if the policy names a repository.

    Raise UserError, naming the field and the remedy, if one of them could not be made.
    """
    wanted, plan = draft.spec.repository, draft.plan
    if wanted is None:
        return plan
    claims = draft.source.claims
    if wanted.copy_method is UploadMethod.CLONE:
        check_cloned(claims.values(), f"{_FIELD}.copyMethod")
    check_files(claims.values(), "copies in a repository are")
    copies = draft.source.directories
    check_directories(draft.namespace, copies, wanted, draft.spec.rolling, roots)
    id, kept_in = await _known(client, draft, wanted)
    # Also while it cannot be used: what is wrong with the policy itself is no matter of waiting.
    if kept_in in claims:
        raise UserError(
            "RepositoryIsSource",
            f"{_FIELD}.name: BackupRepository {wanted.name} is kept in claim {kept_in}, which is "
            "also a source; copies on the claim itself are lost with it, choose another one",
        )
    return changed(
        plan,
        repository=PlannedRepository(copies=copies, settings=wanted, id=id),
        points=(*plan.points, *(_point(copy, wanted) for copy in copies)),
    )


def _point(copy: PlannedCopy, wanted: Repository) -> PlannedPoint:
    made_of = _MADE_OF.get(wanted.copy_method)
    # What is made of a snapshot can be made of it later as well: the snapshot stays for as long.
    late_after = wanted.late_after if made_of == SNAPSHOT and not wanted.required else None
    return PlannedPoint(
        source=copy.series,
        store=REPOSITORY,
        claim=copy.claim,
        made_of=made_of,
        late_after=late_after,
    )


async def _known(client: Client, draft: Draft, wanted: Repository) -> tuple[str | None, str | None]:
    """The ID of the repository, and the claim that it is kept in, as far as they are known. Raise
    UserError if it cannot be written to, unless a run begins.
    """
    try:
        found = await usable(client, draft.namespace, wanted.name, write=True)
        return found.id, _claim(found.spec)
    except UserError as error:
        # In a run only its upload fails then, when its turn has come and the time to mend it is
        # over: that a server far away is down must not keep snapshots from being taken.
        if draft.begins:
            return await _known_before(client, draft.namespace, wanted)
        remedy = _REMEDIES.get(error.reason)
        more = f"; {remedy}" if remedy else ""
        raise UserError(error.reason, f"{_FIELD}.name: {error.message}{more}") from error


async def _known_before(
    client: Client, namespace: str, wanted: Repository
) -> tuple[str | None, str | None]:
    """The same of one that cannot be used now."""
    obj = await client.find(BACKUP_REPOSITORY, wanted.name, namespace)
    try:
        return (repository_status(obj).id, _claim(repository_spec(obj))) if obj else (None, None)
    except UserError:
        return None, None  # Its spec is refused once more, when the turn of the upload has come.


def _claim(spec: RepositorySpec) -> str | None:
    return spec.claim.name if spec.claim else None
