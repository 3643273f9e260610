"""Temporary claims: what a copy is made of instead of the live volume.

Invariants: a claim carries the label of its run from its creation, and nothing of its source that a
selector could find; it is needed only while its Backup is Copying, and is deleted only when neither
a Job nor a Pod can read it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from backstay.api.backup import BackupPhase
from backstay.domain import labels, objects
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


def is_ours(claim: Obj, run: str) -> bool:
    """Given a claim and the uid of a run, return whether that made it for a copy."""
    return objects.labels(claim).get(labels.TEMPORARY) == run


def fitting_class(
    source: ClaimRecord, driver: str, classes: Iterable[Obj]
) -> tuple[str | None, Sequence[str]]:
    """Given a claim, the driver of its snapshot and all StorageClasses, return the class of a claim
    made of that, and its access modes: the claim's own where its driver makes it.

    A class of another name for the same driver (an in-tree one that was migrated) is not known for
    one: where none fits, the claim's own is tried.
    """
    own = source.storage_class
    fitting = [c for c in classes if c.get("provisioner") == driver]
    if own in {objects.name(c) for c in fitting} or not fitting:
        return own, source.access_modes or ("ReadWriteOnce",)
    best = min(fitting, key=lambda c: (not _is_default(c), objects.name(c)))
    # What another class of the driver can share, nobody says; all can do this.
    return objects.name(best), ("ReadWriteOnce",)


def _is_default(storage_class: Obj) -> bool:
    return objects.annotations(storage_class).get(_DEFAULT_CLASS) == "true"


def is_needed(claim: Obj, backup: Obj | None) -> bool:
    """Given a temporary claim, and the Backup of that name, read after it (None: there is none),
    return whether a copy may still be made of it.
    """
    if backup is None or not is_ours(claim, objects.uid(backup)):
        return False
    leaving = dig(backup, "metadata", "deletionTimestamp") is not None
    return dig(backup, "status", "phase") == BackupPhase.COPYING.value and not leaving


def is_read(claim: Obj, job: Obj | None, pods: Iterable[Obj]) -> bool:
    """Given a temporary claim, the Job of its name (None: there is none) and the Pods of their
    namespace, return whether one of them reads it or will.
    """
    ended = {c.get("type") for c in dig(job, "status", "conditions", default=[]) if _is_true(c)}
    works = job is not None and not ended & {"Complete", "Failed"}
    return works or bool(running_users(objects.name(claim), pods))


def _is_true(condition: Mapping[str, object]) -> bool:
    return condition.get("status") == "True"
