"""A claim that is made for a restore: whose it is, and what a look at it says."""

from __future__ import annotations

from backstay.api.restore_status import RestoreItem
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.leftovers import Fate
from backstay.domain.restore.sights import TargetSeen


def is_made_by(claim: Obj, request: str) -> bool:
    """Given a claim and a request's uid, return whether that request made it."""
    return objects.annotations(claim).get(labels.RESTORE_REQUEST) == request


def is_bound(claim: Obj | None) -> bool:
    """Given a claim as read (None: there is none), return whether it has a volume."""
    return bool(dig(claim, "status", "phase") == "Bound")


def look_at(item: RestoreItem, claim: Obj | None, request: str) -> TargetSeen:
    """Given an item, the claim of its name (None: there is none) and the request's uid, return what
    that says.
    """
    called, uid = f"claim {item.claim}", objects.uid(claim) if claim is not None else None
    if claim is not None and not is_made_by(claim, request):
        broken = "a claim of that name was made by somebody else"
        return TargetSeen(called=called, claim_uid=uid, broken=broken)
    lost = item.claim_uid is not None and uid != item.claim_uid
    return TargetSeen(
        ready=claim is not None,
        claim=claim,
        claim_uid=uid,
        called=called,
        broken="it was deleted while it was being restored" if lost else "",
        leaves=is_bound(claim),
    )


def fate_at_failure(claim: Obj | None, request: str) -> Fate:
    """Given the claim of an item's name and the uid of its request, which failed before it was
    verified, return what happens to it: one with a volume is left for a person to look at.
    """
    if claim is None or not is_made_by(claim, request):
        return Fate.KEEP
    return Fate.HAND_OVER if is_bound(claim) else Fate.DELETE
