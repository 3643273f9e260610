"""Find what a RestoreRequest wants restored, and refuse what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import size_text
from backstay.api.point import PointResult
from backstay.api.restore import ClaimRestore, RestoreSpec
from backstay.api.store import SNAPSHOT
from backstay.domain import labels, objects
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import parse_record
from backstay.domain.records.record import Record
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.stores.snapshots.sights import Pair
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.kube.quantities import parse_quantity
from backstay.stores.snapshots.objects import read_pair

_BY_NAME: Final = "a ready snapshot is restored by its name: set from.volumeSnapshot to it"


@dataclass(frozen=True, slots=True)
class Source:
    """One claim to restore: its snapshot and how the new claim is to look."""

    claim: str
    new_claim: str
    snapshot: Obj
    record: Record | None
    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str | None
    size: str


async def find_snapshots(client: Client, namespace: str, spec: RestoreSpec) -> Mapping[str, str]:
    """Given a request's spec, return the snapshot's name for each claim of it.

    Raise UserError if the source does not exist in this namespace, is not finished, has no good
    point, or lacks one of the claims.
    """
    wanted = [c.claim for c in spec.claims]
    if spec.from_.volume_snapshot is not None:
        if len(wanted) != 1:
            raise UserError(
                "OneClaimExpected",
                "spec.claims: a VolumeSnapshot holds one claim; name that one only",
            )
        return {wanted[0]: spec.from_.volume_snapshot}
    name = spec.from_.backup or ""
    backup = await client.find(resources.BACKUP, name, namespace)
    if backup is None:
        raise UserError(
            "BackupNotFound",
            f"spec.from.backup: there is no Backup {name} in namespace {namespace}; a request "
            f"restores only from its own namespace. If its snapshot is there, {_BY_NAME}",
        )
    status = BackupStatus.model_validate(backup.get("status") or {})
    if not status.phase.final:
        raise UserError(
            "BackupNotFinished",
            f"spec.from.backup: Backup {name} is {status.phase}; create the request again when it "
            f"is Completed, or {_BY_NAME}",
        )
    good = {
        p.source: p.ref
        for p in status.points
        if p.store == SNAPSHOT and p.result is PointResult.GOOD
    }
    if not good:
        raise UserError(
            "BackupFailed",
            f"spec.from.backup: Backup {name} is {status.phase} and has no good point"
            f"{': ' + status.message if status.message else ''}; if one of its snapshots is ready, "
            f"{_BY_NAME}",
        )
    for claim in wanted:
        if not good.get(claim):
            raise UserError(
                "ClaimNotInBackup",
                f"spec.claims: Backup {name} has no good point of claim {claim}, only of "
                f"{', '.join(sorted(good))}; {_BY_NAME}",
            )
    return {claim: str(good[claim]) for claim in wanted}


async def read_source(
    client: Client,
    namespace: str,
    wanted: ClaimRestore,
    snapshot: str,
    said: Acknowledged,
    *,
    kept: bool,
) -> Source:
    """Given a claim of a request, its snapshot's name and what was acknowledged, return what the
    new claim is made from.

    `kept`: the snapshot comes from a Backup and must be labelled good. Raise UserError if it is
    gone, not ready, or of another claim, or if the storage class does not fit.
    """
    pair = await read_pair(client, namespace, snapshot)
    found = _usable(pair, namespace, wanted, snapshot, said, kept=kept)
    record = _record(found, said)
    fresh = await _claim_facts(client, namespace, wanted, record)
    storage_class = wanted.to.new_claim.storage_class_name or fresh.storage_class
    if storage_class is not None:
        await _check_class(client, storage_class, pair, said)
    return Source(
        claim=wanted.claim,
        new_claim=wanted.to.new_claim.name,
        snapshot=found,
        record=record,
        storage_class=storage_class,
        access_modes=fresh.access_modes,
        volume_mode=fresh.volume_mode,
        size=_size(dig(found, "status", "restoreSize"), fresh.size, wanted, snapshot),
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str | None
    size: str | None


async def _claim_facts(
    client: Client, namespace: str, wanted: ClaimRestore, record: Record | None
) -> _Facts:
    """How the claim was, by its record; without one, how the claim of that name is now."""
    if record is not None:
        claim = record.claim
        modes = tuple(claim.access_modes) or ("ReadWriteOnce",)
        return _Facts(claim.storage_class, modes, claim.volume_mode, claim.size)
    now = await client.find(resources.PERSISTENT_VOLUME_CLAIM, wanted.claim, namespace)
    return _Facts(
        dig(now, "spec", "storageClassName"),
        tuple(dig(now, "spec", "accessModes", default=["ReadWriteOnce"])),
        dig(now, "spec", "volumeMode"),
        dig(now, "status", "capacity", "storage"),
    )


def _usable(
    pair: Pair,
    namespace: str,
    wanted: ClaimRestore,
    snapshot: str,
    said: Acknowledged,
    *,
    kept: bool,
) -> Obj:
    found = pair.snapshot
    if found is None or dig(found, "metadata", "deletionTimestamp"):
        raise UserError(
            "SnapshotNotFound",
            f"there is no VolumeSnapshot {snapshot} in namespace {namespace}; where its content is "
            "left, `kubectl backstay orphans` shows it, and it can be bound to a snapshot again",
        )
    source = dig(found, "spec", "source", "persistentVolumeClaimName")
    known = objects.annotations(found).get(labels.PVC) or objects.labels(found).get(labels.PVC)
    if not source and not known:
        why = (
            f"spec.claims: VolumeSnapshot {snapshot} does not say what claim it is of; label it "
            f"{labels.PVC}={wanted.claim}"
        )
        said.pass_over(Word.UNKNOWN_SOURCE, UserError("ClaimNotInSnapshot", why))
    elif wanted.claim not in (source, known):
        raise UserError(
            "ClaimNotInSnapshot",
            f"spec.claims: VolumeSnapshot {snapshot} is of claim {known or source}, not of "
            f"{wanted.claim}",
        )
    if kept and objects.labels(found).get(labels.RESULT) != labels.Result.GOOD.value:
        raise UserError(
            "SnapshotNotGood",
            f"VolumeSnapshot {snapshot} is not labelled good; {_BY_NAME}",
        )
    if not dig(found, "status", "readyToUse") or pair.content is None:
        raise UserError("SnapshotNotReady", f"VolumeSnapshot {snapshot} is not ready to use")
    return found


def _record(snapshot: Obj, said: Acknowledged) -> Record | None:
    text = objects.annotations(snapshot).get(labels.RECORD)
    if text is None:
        return None
    try:
        return parse_record(text)
    except DataError as error:
        refusal = UserError(
            "RecordUnreadable",
            f"annotation {labels.RECORD} of VolumeSnapshot {objects.name(snapshot)}: "
            f"{error.message}",
        )
        said.pass_over(Word.RECORD_UNREADABLE, refusal)
        return None


async def _check_class(client: Client, name: str, pair: Pair, said: Acknowledged) -> None:
    found = await client.find(resources.STORAGE_CLASS, name)
    if found is None:
        raise UserError(
            "StorageClassNotFound",
            f"there is no StorageClass {name}: set spec.claims[].to.newClaim.storageClassName",
        )
    driver = dig(pair.content, "spec", "driver")
    if found.get("provisioner") != driver:
        refusal = UserError(
            "StorageClassOfAnotherDriver",
            f"StorageClass {name} is of {found.get('provisioner')}, the snapshot of {driver}: set "
            "spec.claims[].to.newClaim.storageClassName to a class of that driver",
        )
        said.pass_over(Word.OTHER_DRIVER, refusal)


def _size(
    restore_size: str | None, claim_size: str | None, wanted: ClaimRestore, snapshot: str
) -> str:
    """The size that is asked for, else the larger of those that are known."""
    needed = parse_quantity(restore_size) if restore_size else 0
    asked = wanted.to.new_claim.size
    if asked is not None:
        if asked < needed:
            raise UserError(
                "SizeTooSmall",
                f"spec.claims[].to.newClaim.size: VolumeSnapshot {snapshot} needs {restore_size}; "
                "set it to that at least, or leave it out",
            )
        return size_text(asked)
    sizes = [s for s in (restore_size, claim_size) if s and parse_quantity(s) > 0]
    if not sizes:
        raise UserError(
            "SizeUnknown",
            f"VolumeSnapshot {snapshot} says no restore size, and there is no claim "
            f"{wanted.claim}: set spec.claims[].to.newClaim.size",
        )
    return max(sizes, key=parse_quantity)
