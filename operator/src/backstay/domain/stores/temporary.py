"""Temporary claims: what a point is made of instead of the live volume.

Invariants: a claim says from its creation which run made it; it is needed until its point is
decided, and is deleted only when neither a Job nor a Pod can read it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backstay.api.point import PointResult
from backstay.api.repository_store import TemporaryVolume
from backstay.api.store import REPOSITORY, ROLLING
from backstay.domain import labels, naming, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.record import ClaimRecord, Record
from backstay.domain.stores.copies.locations import running_users

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_VERBS: Final = {ROLLING: "copy", REPOSITORY: "upload"}
"""What the Job of a store does."""
_ALL_CAN: Final = ("ReadWriteOnce",)
"""What a class can share, nobody says; all can do this."""


@dataclass(frozen=True, slots=True)
class Temporary:
    """One look at the temporary claim of a point that has no Job yet."""

    source: ClaimRecord | None = None
    """The claim that it is made of, as it was at that moment."""
    record: Record | None = None
    """What the snapshot says of itself that it is made of; None: it is a clone."""
    body: Obj | None = None
    """What is to be created; None: it is there."""
    taken: datetime | None = None
    """Of what moment its data is, by the API server's clock; None: of when it is created."""
    problem: str = ""
    """Why it can never be made."""
    waits: str = ""
    """What it waits for before its Job is made."""


def job_name(backup: Obj, attempt: int, source: str, store: str) -> str:
    """Given a Backup, its attempt, a source and a store of it that Jobs make points of, return the
    name of that Job, and of the temporary claim that it reads.
    """
    name, uid = objects.name(backup), objects.uid(backup)
    return naming.agent_job_name(_VERBS[store], name, uid, str(attempt), source)


def run_of(claim: Obj) -> str:
    """Given a claim, return the uid of the run that made it for a point, "" if none did: a person
    may write our label, or make another claim of our manifest.
    """
    run = objects.labels(claim).get(labels.TEMPORARY, "")
    owners = dig(claim, "metadata", "ownerReferences", default=[])
    named = objects.annotations(claim).get(labels.TEMPORARY) == objects.name(claim)
    return run if named and any(owner.get("uid") == run for owner in owners) else ""


def fitting_class(
    source: ClaimRecord,
    driver: str,
    classes: Iterable[Obj],
    wanted: TemporaryVolume | None = None,
) -> tuple[str, Sequence[str]] | None:
    """Given a claim, the driver of its snapshot, all StorageClasses and what a policy says of such
    claims, return the class of a claim made of that, and its access modes: the claim's own where
    its class is of that driver. Return None if there is no such class.

    An in-tree class that was migrated to the driver has another provisioner: where no class fits,
    the claim's own is tried.
    """
    wanted = wanted or TemporaryVolume()
    own = source.storage_class
    fitting = [c for c in classes if c.get("provisioner") == driver]
    if wanted.storage_class_name:
        best = wanted.storage_class_name
    elif own and (own in {objects.name(c) for c in fitting} or not fitting):
        best = own
    elif fitting:
        best = objects.name(min(fitting, key=lambda c: (not _is_default(c), objects.name(c))))
    else:
        return None
    modes = source.access_modes if best == own else ()
    return best, wanted.access_modes or modes or _ALL_CAN


def _is_default(storage_class: Mapping[str, Any]) -> bool:
    return objects.annotations(storage_class).get(_DEFAULT_CLASS) == "true"


def is_needed(claim: Obj, backup: Obj | None) -> bool:
    """Given a temporary claim, and the Backup of its owner's name, read after it (None: there is
    none), return whether a point may still be made of it.
    """
    if backup is None or run_of(claim) != objects.uid(backup):
        return False
    if dig(backup, "metadata", "deletionTimestamp") is not None:
        return False
    attempt = dig(backup, "status", "attempt", default=0)
    return objects.name(claim) in {
        job_name(backup, attempt, str(p.get("source")), p["store"])
        for p in dig(backup, "status", "points", default=[])
        if p.get("result") == PointResult.PENDING.value
        and p.get("attempt") == attempt
        and p.get("store") in _VERBS
    }


def is_read(claim: Obj, job: Obj | None, pods: Iterable[Obj]) -> bool:
    """Given a temporary claim, the Job of its name (None: there is none) and the Pods of their
    namespace, return whether one of them reads it or will.
    """
    ended = {c.get("type") for c in dig(job, "status", "conditions", default=[]) if _is_true(c)}
    works = job is not None and not ended & {"Complete", "Failed"}
    return works or bool(running_users(objects.name(claim), pods))


def _is_true(condition: Mapping[str, object]) -> bool:
    return condition.get("status") == "True"
