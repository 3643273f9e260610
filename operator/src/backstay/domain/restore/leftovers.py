"""What a RestoreRequest that was deleted on its way leaves behind.

Invariant: only a claim that carries the label of a restore under way is ever looked at here, and
one that anybody but our own pods names is handed over instead of deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig


class Fate(StrEnum):
    """What happens to a claim that a restore made."""

    KEEP = "keep"
    """Its request goes on with it."""
    HAND_OVER = "hand-over"
    DELETE = "delete"


def fate(claim: Obj, requests: Collection[str], pods: Iterable[Obj]) -> Fate:
    """Given a claim with the label of a restore under way, the uids of all requests, and the Pods
    of its namespace, running or not, return what happens to it.
    """
    request = objects.labels(claim).get(labels.RESTORING, "")
    if request in requests or dig(claim, "metadata", "deletionTimestamp"):
        return Fate.KEEP
    if not request or objects.annotations(claim).get(labels.RESTORE_REQUEST) != request:
        return Fate.HAND_OVER  # A copy of ours, or a label that somebody wrote.
    if any(_names(pod, objects.name(claim)) and not _works_for(pod, request) for pod in pods):
        return Fate.HAND_OVER
    return Fate.DELETE


def _names(pod: Obj, claim: str) -> bool:
    volumes = dig(pod, "spec", "volumes", default=[])
    return any(dig(v, "persistentVolumeClaim", "claimName") == claim for v in volumes)


def _works_for(pod: Obj, request: str) -> bool:
    """Whether it verifies the claim, or is of the Job that fills it."""
    if objects.annotations(pod).get(labels.RUN) == request:
        return True
    owners = dig(pod, "metadata", "ownerReferences", default=[])
    return any(owner.get("uid") == request for owner in owners)
