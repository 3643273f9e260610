"""Temporary claims: what a copy is made of instead of the live volume.

Invariants: a claim says from its creation which run made it; it is needed until its copy is
decided, and is deleted only when neither a Job nor a Pod can read it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from backstay.api.point import PointResult
from backstay.domain import labels, naming, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.record import ClaimRecord
from backstay.domain.stores.copies.locations import running_users

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class Temporary:
    """One look at the temporary claim of a copy that has no Job yet."""

    source: ClaimRecord | None = None
    """The claim that it is made of, as it was at that moment."""
    body: Obj | None = None
    """What is to be created; None: it is there."""
    taken: datetime | None = None
    """Of what moment its data is, by the API server's clock; None: of when it is created."""
    problem: str = ""
    """Why it can never be made."""
    waits: str = ""
    """What it waits for before its Job is made."""


def job_name(backup: Obj, attempt: int, series: str) -> str:
    """Given a Backup, its attempt and a series, return the name of the Job of that copy, and of the
    temporary claim that it reads.
    """
    name, uid = objects.name(backup), objects.uid(backup)
    return naming.agent_job_name("copy", name, uid, str(attempt), series)


def run_of(claim: Obj) -> str:
    """Given a claim, return the uid of the run that made it for a copy, "" if none did: a person
    may write our label, or make another claim of our manifest.
    """
    run = objects.labels(claim).get(labels.TEMPORARY, "")
    owners = dig(claim, "metadata", "ownerReferences", default=[])
    named = objects.annotations(claim).get(labels.TEMPORARY) == objects.name(claim)
    return run if named and any(owner.get("uid") == run for owner in owners) else ""


def fitting_class(
    source: ClaimRecord, driver: str, classes: Iterable[Obj]
) -> tuple[str, Sequence[str]] | None:
    """Given a claim, the driver of its snapshot and all StorageClasses, return the class of a claim
    made of that, and its access modes: the claim's own where its class is of that driver. Return
    None if there is no such class.

    An in-tree class that was migrated to the driver has another provisioner: where no class fits,
    the claim's own is tried.
    """
    own = source.storage_class
    fitting = [c for c in classes if c.get("provisioner") == driver]
    if own and (own in {objects.name(c) for c in fitting} or not fitting):
        return own, source.access_modes or ("ReadWriteOnce",)
    if not fitting:
        return None
    best = min(fitting, key=lambda c: (not _is_default(c), objects.name(c)))
    # What another class of the driver can share, nobody says; all can do this.
    return objects.name(best), ("ReadWriteOnce",)


def _is_default(storage_class: Obj) -> bool:
    return objects.annotations(storage_class).get(_DEFAULT_CLASS) == "true"


def is_needed(claim: Obj, backup: Obj | None) -> bool:
    """Given a temporary claim, and the Backup of its owner's name, read after it (None: there is
    none), return whether a copy may still be made of it.
    """
    if backup is None or run_of(claim) != objects.uid(backup):
        return False
    if dig(backup, "metadata", "deletionTimestamp") is not None:
        return False
    attempt = dig(backup, "status", "attempt", default=0)
    waiting = [
        str(p.get("source"))
        for p in dig(backup, "status", "points", default=[])
        if p.get("result") == PointResult.PENDING.value and p.get("attempt") == attempt
    ]
    return objects.name(claim) in {job_name(backup, attempt, source) for source in waiting}


def is_read(claim: Obj, job: Obj | None, pods: Iterable[Obj]) -> bool:
    """Given a temporary claim, the Job of its name (None: there is none) and the Pods of their
    namespace, return whether one of them reads it or will.
    """
    ended = {c.get("type") for c in dig(job, "status", "conditions", default=[]) if _is_true(c)}
    works = job is not None and not ended & {"Complete", "Failed"}
    return works or bool(running_users(objects.name(claim), pods))


def _is_true(condition: Mapping[str, object]) -> bool:
    return condition.get("status") == "True"
