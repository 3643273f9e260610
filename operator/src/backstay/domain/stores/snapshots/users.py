"""Who needs a snapshot besides the restores that have written themselves onto it.

A request names its source before it claims it, and a claim that waits for its first consumer
names its snapshot for as long as nobody mounts it: the snapshot controller protects it only once
provisioning has begun. Invariant: everything that names a snapshot keeps it from being swept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.carriers import identity

_BOUND: Final = "Bound"


def named_by_requests(snapshots: Iterable[Obj], requests: Iterable[Obj]) -> dict[str, str]:
    """Given the snapshots of a policy and the RestoreRequests that are not finished, return by
    the name of its snapshot who names it, in words.
    """
    backups: dict[tuple[str, str], str] = {}
    direct: dict[tuple[str, str], str] = {}
    for request in requests:
        source: Mapping[str, Any] = dig(request, "spec", "from", default={})
        home, words = objects.namespace(request), f"RestoreRequest {objects.name(request)}"
        if name := source.get("backup"):
            backups[home, name] = words
        if name := source.get("volumeSnapshot"):
            direct[home, name] = words
    if not backups and not direct:
        return {}
    found: dict[str, str] = {}
    for snapshot in snapshots:
        home, name = objects.namespace(snapshot), objects.name(snapshot)
        user = direct.get((home, name)) or backups.get((home, identity(snapshot, labels.BACKUP)))
        if user is not None:
            found[name] = user
    return found


def named_by_claims(claims: Iterable[Obj]) -> dict[str, str]:
    """Given the claims of a namespace, return by the name of its snapshot which one waits for it,
    in words.
    """
    found: dict[str, str] = {}
    for claim in claims:
        if dig(claim, "status", "phase") == _BOUND or dig(claim, "metadata", "deletionTimestamp"):
            continue
        for field in ("dataSourceRef", "dataSource"):
            source = dig(claim, "spec", field, default={})
            if source.get("kind") == "VolumeSnapshot" and source.get("name"):
                found[str(source["name"])] = f"claim {objects.name(claim)}, which waits for it"
    return found
