"""Read what a claim is made from: a snapshot that can be used, and what the claim was like."""

from __future__ import annotations

from dataclasses import dataclass

from backstay.api.common import size_text
from backstay.api.restore import NewClaim
from backstay.domain import labels, objects
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import parse_record
from backstay.domain.records.record import Record
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.stores.snapshots.restore import BY_NAME
from backstay.domain.stores.snapshots.sights import Pair
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.kube.quantities import parse_quantity
from backstay.stores.snapshots.objects import read_pair


@dataclass(frozen=True, slots=True)
class Source:
    """One claim to restore: its snapshot and how the new claim is to look."""

    snapshot: Obj
    record: Record | None
    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str | None
    size: str


async def read_source(
    client: Client,
    namespace: str,
    snapshot: str,
    said: Acknowledged,
    *,
    claim: str,
    new: NewClaim,
    kept: bool,
) -> Source:
    """Given a snapshot's name, what was acknowledged, the claim that it is of and the new one,
    return what the new claim is made from.

    `kept`: the snapshot comes from a Backup and must be labelled good. Raise UserError if it is
    gone, not ready, or of another claim, or if the storage class does not fit.
    """
    pair = await read_pair(client, namespace, snapshot)
    found = _usable(pair, namespace, claim, snapshot, said, kept=kept)
    record = _record(found, said)
    fresh = await _claim_facts(client, namespace, claim, record)
    storage_class = new.storage_class_name or fresh.storage_class
    if storage_class is not None:
        await _check_class(client, storage_class, pair, said)
    return Source(
        snapshot=found,
        record=record,
        storage_class=storage_class,
        access_modes=fresh.access_modes,
        volume_mode=fresh.volume_mode,
        size=_size(dig(found, "status", "restoreSize"), fresh.size, claim, new, snapshot),
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str | None
    size: str | None


async def _claim_facts(client: Client, namespace: str, claim: str, record: Record | None) -> _Facts:
    """How the claim was, by its record; without one, how the claim of that name is now."""
    if record is not None:
        was = record.claim
        modes = tuple(was.access_modes) or ("ReadWriteOnce",)
        return _Facts(was.storage_class, modes, was.volume_mode, was.size)
    now = await client.find(resources.PERSISTENT_VOLUME_CLAIM, claim, namespace)
    return _Facts(
        dig(now, "spec", "storageClassName"),
        tuple(dig(now, "spec", "accessModes", default=["ReadWriteOnce"])),
        dig(now, "spec", "volumeMode"),
        dig(now, "status", "capacity", "storage"),
    )


def _usable(
    pair: Pair,
    namespace: str,
    claim: str,
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
            f"{labels.PVC}={claim}"
        )
        said.pass_over(Word.UNKNOWN_SOURCE, UserError("ClaimNotInSnapshot", why))
    elif claim not in (source, known):
        raise UserError(
            "ClaimNotInSnapshot",
            f"spec.claims: VolumeSnapshot {snapshot} is of claim {known or source}, not of {claim}",
        )
    if kept and objects.labels(found).get(labels.RESULT) != labels.Result.GOOD.value:
        raise UserError(
            "SnapshotNotGood",
            f"VolumeSnapshot {snapshot} is not labelled good; {BY_NAME}",
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
    restore_size: str | None, claim_size: str | None, claim: str, new: NewClaim, snapshot: str
) -> str:
    """The size that is asked for, else the larger of those that are known."""
    needed = parse_quantity(restore_size) if restore_size else 0
    asked = new.size
    # Less than the snapshot needs would leave the claim Pending for ever.
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
            f"{claim}: set spec.claims[].to.newClaim.size",
        )
    return max(sizes, key=parse_quantity)
