"""Whether a repository can be used now: pure readings of its status and its Jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from backstay.api.repository import RepositorySpec
from backstay.api.repository_status import RepositoryStatus
from backstay.api.store import REPOSITORY
from backstay.domain import labels, objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.wishes import Request

READY = "Ready"
CHECKED = "Checked"
MAINTAINED = "Maintained"
NOT_READY = "RepositoryNotReady"
"""Why one cannot be used that may be later."""
SHARED = "ReadWriteMany"


class Task(StrEnum):
    """What a Job of the BackupRepository itself does."""

    OPEN = "Open"
    LIST = "List"
    MAINTAIN = "Maintain"


def check_ready(name: str, status: RepositoryStatus) -> None:
    """Given a BackupRepository's name and status, raise UserError unless it can be used."""
    ready = next((c for c in status.conditions if c.type == READY), None)
    if ready is not None and ready.status == "True" and status.id:
        return
    why = f"{ready.reason}: {ready.message}" if ready is not None else "it was not opened yet"
    raise UserError(NOT_READY, f"BackupRepository {name} is not Ready: {why}")


def busy(
    name: str,
    spec: RepositorySpec,
    status: RepositoryStatus,
    jobs: Sequence[Obj],
    *,
    one: bool,
    first: Sequence[str] = (),
) -> str:
    """Given a BackupRepository, its Jobs, whether only one at a time can have its claim, and the
    restores that go first, return in words what keeps another mover from starting, "" if nothing
    does.

    It only spares waiting: what starts all the same meets restic's locks.
    """
    if status.work == Task.MAINTAIN:
        return f"maintenance of BackupRepository {name} is under way"
    running = sorted(objects.name(j) for j in jobs if is_mover(j) and not has_ended(j))
    most = 1 if one or not _is_shared(spec) else spec.limits.movers
    if len(running) + len(first) < most:
        return ""
    if len(running) < most:
        return f"RestoreRequest {', '.join(sorted({*first}))} goes first"
    shown = ", ".join(running[:3]) + (", ..." if len(running) > 3 else "")
    return f"{len(running)} of at most {most} Jobs of BackupRepository {name} are at work: {shown}"


def waiting(request: Request, claims: Collection[str]) -> list[str]:
    """Given a RestoreRequest and the claims that a run holds, return its name once for each item
    that waits for a Job on a repository.

    A restore into what the run holds waits for the run, which must not wait for it.
    """
    if request.status.phase.final or {item.claim for item in request.status.items} & {*claims}:
        return []
    return [
        request.name
        for item in request.status.items
        if item.store == REPOSITORY and item.job is None and not item.failed and not item.verified
    ]


def is_cache(claim: Obj) -> bool:
    """Given a claim, return whether it is the cache of a BackupRepository, and no data. The label
    alone does not say so: anybody may write it.
    """
    owners = dig(claim, "metadata", "ownerReferences", default=[])
    of_ours = any(o.get("kind") == "BackupRepository" for o in owners)
    return of_ours and labels.REPOSITORY in objects.labels(claim)


def is_mover(job: Obj) -> bool:
    """Given a Job of a repository, return whether it moves data, and is none of Task."""
    return labels.REPOSITORY_TASK not in objects.labels(job)


def has_ended(job: Obj) -> bool:
    """Given a Job, return whether nothing of it runs any more, nor ever will."""
    conditions = dig(job, "status", "conditions", default=[])
    return any(
        c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions
    )


def _is_shared(spec: RepositorySpec) -> bool:
    """Whether Pods on several nodes can have the cache at the same time."""
    return spec.cache.storage_class_name is None or SHARED in spec.cache.access_modes
