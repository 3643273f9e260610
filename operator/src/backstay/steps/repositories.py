"""The BackupRepository that runs and restores use, and whether a mover may start on it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import ValidationError

from backstay.api.repository import Access, RepositorySpec
from backstay.api.repository_status import RepositoryStatus
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import FINAL_RESTORE_PHASES, RestoreStatus
from backstay.builders.mover import Mover
from backstay.domain import labels, naming, objects
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.wishes import Request
from backstay.domain.stores.repository import use
from backstay.domain.subject import parse_subject
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_REPOSITORY,
    JOB,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    RESTORE_REQUEST,
)


@dataclass(frozen=True, slots=True)
class Usable:
    """A repository that can be used."""

    mover: Mover
    id: str
    busy: str
    """What keeps movers from starting for now, in words; "" if nothing does."""

    @property
    def spec(self) -> RepositorySpec:
        """Return its spec."""
        return self.mover.spec


async def usable(
    client: Client,
    namespace: str,
    name: str,
    *,
    write: bool,
    held: Collection[str] | None = None,
) -> Usable:
    """Given the address of a BackupRepository, whether it is to be written to, and the claims that
    the run holds for which it is asked, return it. Ask before a Job is made: one that is there
    counts among those that it is busy with. Restores go before runs (None: it is no run).

    Raise UserError: RepositoryNotFound, RepositoryNotReady with what its condition says,
    RepositoryReadOnly.
    """
    obj = await client.find(BACKUP_REPOSITORY, name, namespace)
    if obj is None or dig(obj, "metadata", "deletionTimestamp"):
        raise UserError(
            "RepositoryNotFound", f"there is no BackupRepository {name} in namespace {namespace}"
        )
    spec, status = repository_spec(obj), repository_status(obj)
    use.check_ready(name, status)
    if write and spec.access is Access.READ_ONLY:
        raise UserError(
            "RepositoryReadOnly",
            f"BackupRepository {name}: spec.access is ReadOnly, so nothing is written to it",
        )
    mover = await mover_of(client, obj)
    jobs = await jobs_of(client, namespace, name)
    one = await _only_one_at_a_time(client, namespace, spec)
    first = await _restores(client, namespace, name, held) if held is not None else []
    return Usable(mover, status.id or "", use.busy(name, spec, status, jobs, one=one, first=first))


async def _restores(client: Client, namespace: str, name: str, held: Collection[str]) -> list[str]:
    """The RestoreRequests that wait for a Job on a repository, by name, once for each Job."""
    under_way = ",".join(sorted(f"status.phase!={phase}" for phase in FINAL_RESTORE_PHASES))
    found = []
    for obj in await client.list(RESTORE_REQUEST, namespace, fields=under_way):
        try:
            request = parse_subject("RestoreRequest", obj, RestoreSpec, RestoreStatus)
        except DataError:
            continue  # It is reported on the request, and does nothing.
        if await _reads(client, request, name):
            found += use.waiting(request, held)
    return found


async def _reads(client: Client, request: Request, name: str) -> bool:
    """Whether a request is of a repository, which it names itself, or by its Backup."""
    if (wanted := request.spec.from_.repository) is not None:
        return wanted.name == name
    if request.spec.from_.backup is None:
        return False
    backup = await client.find(BACKUP, request.spec.from_.backup, request.namespace)
    points = dig(backup, "status", "points", default=[])
    return any(dig(point, "stored", "repository") == name for point in points)


async def mover_of(
    client: Client, obj: Obj, *, maintenance: bool = False, own_cache: bool = False
) -> Mover:
    """Given a BackupRepository as read, return what its Jobs are made of."""
    return Mover(
        repository=objects.name(obj),
        uid=objects.uid(obj),
        spec=repository_spec(obj),
        privileged=await _is_privileged(client, objects.namespace(obj)),
        maintenance=maintenance,
        own_cache=own_cache,
    )


async def jobs_of(client: Client, namespace: str, name: str) -> list[Obj]:
    """Given the address of a BackupRepository, return all Jobs that work on it or have done so."""
    selector = f"{labels.REPOSITORY}={naming.label_value(name)}"
    return await client.list(JOB, namespace, labels=selector)


async def _only_one_at_a_time(client: Client, namespace: str, spec: RepositorySpec) -> bool:
    """Whether the repository is in a claim that only Pods on one node can have."""
    if spec.claim is None:
        return False
    claim = await client.find(PERSISTENT_VOLUME_CLAIM, spec.claim.name, namespace)
    return use.SHARED not in dig(claim, "spec", "accessModes", default=[])


def repository_spec(obj: Obj) -> RepositorySpec:
    """Given a BackupRepository as read, return its spec. Raise UserError if it cannot be read."""
    try:
        return RepositorySpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("spec", *first["loc"])))
        raise UserError("InvalidSpec", f"{place}: {first['msg']}") from error


def repository_status(obj: Obj) -> RepositoryStatus:
    """Given a BackupRepository as read, return its status. Raise DataError if it is not one."""
    try:
        return RepositoryStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        name = objects.name(obj)
        raise DataError(f"status of BackupRepository {name} cannot be read: {error}") from error


async def _is_privileged(client: Client, namespace: str) -> bool:
    """Whether movers in a namespace are root: a database's files are its own, and nobody else can
    read them. Its annotation says so; without one they are, unless no Pod there may be root.
    """
    found = await client.find_metadata(NAMESPACE, namespace) or {}
    notes = objects.annotations(found)
    said = [notes[key] for key in labels.PRIVILEGED_MOVERS if key in notes]
    if said:
        return "true" in said
    return objects.labels(found).get(labels.POD_SECURITY) != "restricted"
