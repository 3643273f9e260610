"""The restore side of repositories: what a request is of, and what its claim is to be like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backstay.api.backup import BackupStatus
from backstay.api.common import size_text
from backstay.api.point import PointResult, PointStatus
from backstay.api.restore_from import RestoreFromRepository
from backstay.api.store import REPOSITORY
from backstay.domain.errors import DataError, Missing, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.sights import Volume
from backstay.domain.restore.wishes import Part, Request, Wish, wishes
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository import choice
from backstay.domain.stores.repository.choice import Want
from backstay.domain.stores.repository.found import FoundSnapshot
from backstay.domain.stores.repository.reasons import Outcome, Reason, outcome_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of one repository."""

    repository: str
    wants: tuple[Want, ...]


def asked_by_name(request: Request, wanted: RestoreFromRepository) -> Asked:
    """Given a request and the repository that it names, return what it wants of that."""
    wants = (
        Want(
            namespace=request.namespace,
            claim=claim.claim,
            snapshot=wanted.snapshot or "",
            as_of=wanted.as_of,
            previous=wanted.previous or 0,
            host=wanted.host or "",
            path=wanted.path or "",
        )
        for claim in request.spec.claims
    )
    return Asked(wanted.name, tuple(wants))


def asked_by_backup(request: Request, backup: str, status: BackupStatus, wish: Wish) -> Asked:
    """Given a request, the Backup that it names and one of its wishes, return what is wanted of the
    repository that has the point: that of all its wishes with a point there, as one list of the
    repository answers for them all.

    Raise UserError, naming field and remedy, if the Backup has no such point of this wish.
    """
    mine = _stored(backup, status, wish)
    wants = []
    for one in wishes(request.spec):
        found = mine if one == wish else next(iter(_good(status.points, one)), None)
        stored = found.stored if found is not None else None
        if stored is not None and mine.stored and stored.repository == mine.stored.repository:
            claim = one.source or ""
            wants.append(Want(request.namespace, claim, snapshot=stored.data, field=choice.BACKUP))
    return Asked(mine.stored.repository if mine.stored else "", tuple(wants))


def asked_again(part: Part, repository: str) -> Asked:
    """Given an item and its repository, return what is wanted: the very snapshot that was found."""
    field = choice.REPOSITORY if part.request.spec.from_.repository else choice.BACKUP
    wanted = part.request.spec.from_.repository
    path = (wanted.path or "") if wanted is not None else ""
    want = Want(
        part.request.namespace, part.item.source, snapshot=part.item.ref, path=path, field=field
    )
    return Asked(repository, (want,))


def _stored(backup: str, status: BackupStatus, wish: Wish) -> PointStatus:
    """The one good point in a repository that a wish is of."""
    fitting = _good(status.points, wish)
    if not fitting:
        said = next((p.message for p in status.points if _is_of(p, wish) and p.message), None)
        raise UserError(
            "NoGoodPoint",
            f"{wish.field}: Backup {backup} has no good point of {wish.source} in a repository"
            f"{f' ({said})' if said else ''}; it is {status.phase}",
        )
    if len(fitting) > 1:
        raise UserError(
            "SourceNeeded",
            f"{wish.field}: Backup {backup} has several directories of claim {wish.source}: "
            f"{', '.join(p.source for p in fitting)}; restore each by its snapshot, with "
            "spec.from.repository",
        )
    return fitting[0]


def _good(points: Sequence[PointStatus], wish: Wish) -> list[PointStatus]:
    return [
        p
        for p in points
        if _is_of(p, wish) and p.result is PointResult.GOOD and p.stored is not None
        if not p.gone
    ]


def _is_of(point: PointStatus, wish: Wish) -> bool:
    return point.store == REPOSITORY and wish.is_of(point.source)


def refusal_of(result: AgentResult) -> UserError | None:
    """Given what a Job that was to find snapshots said at its end, return why there is nothing to
    restore; None: it may be found at another time.
    """
    try:
        reason = Reason(result.reason)
    except ValueError:
        # Of the choice: there is nothing that matches, or several things do.
        return Missing(result.reason or "SnapshotMissing", result.message)
    if outcome_of(reason) is Outcome.BUSY:
        return None
    return Missing(result.reason, result.message)


def line_of(found: Sequence[FoundSnapshot], claim: str) -> FoundSnapshot:
    """Given what was found for a request and a claim, return that of the claim."""
    for one in found:
        if one.claim == claim:
            return one
    raise DataError(f"nothing was said of claim {claim}")


def volume_of(wish: Wish, found: FoundSnapshot, now: Obj | None) -> Volume:
    """Given a wish, the snapshot, and the claim of its name as it is now (None: there is none),
    return what a new claim must be like: as asked for, else as it was, else as it is.

    Raise UserError if nobody knows how large it is to be.
    """
    new = wish.new_claim
    asked = new.size if new is not None else None
    size = size_text(asked) if asked is not None else found.size
    size = size or dig(now, "status", "capacity", "storage")
    if not size:
        has = f", which has {found.bytes} bytes of files" if found.bytes is not None else ""
        raise UserError(
            "SizeUnknown",
            f"spec.claims[].to.newClaim.size: nobody recorded how large the claim of snapshot "
            f"{found.snapshot[:16]} was{has}: set it",
        )
    wanted = new.storage_class_name if new is not None else None
    modes = found.access_modes or tuple(dig(now, "spec", "accessModes", default=[]))
    return Volume(
        storage_class=wanted or found.storage_class or dig(now, "spec", "storageClassName"),
        access_modes=modes or ("ReadWriteOnce",),
        volume_mode=None,
        size=size,
        continues=found.uid,
    )
