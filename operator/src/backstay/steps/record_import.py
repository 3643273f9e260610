"""Make the Backup of artifacts that are there already, and let them point at it.

Invariants: the record comes first and its status with it, the artifact points at it last: whoever
dies in between is followed by one that finds the record by its name and goes on.
"""

from __future__ import annotations

from backstay.api.backup import BackupPhase, Trigger
from backstay.builders.snapshot import metadata_patch
from backstay.domain import labels, objects
from backstay.domain.errors import AlreadyExists, DataError, NotFound
from backstay.domain.objects import Obj, dig
from backstay.domain.records.rebuild import Artifact, Import
from backstay.kube.client import Client
from backstay.kube.quantities import parse_quantity
from backstay.kube.resources import BACKUP, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from backstay.steps.status import write_status


def size_of(snapshot: Obj, content: Obj | None) -> int | None:
    """Given a snapshot and its content, return the bytes that a restore needs, where known."""
    size = dig(snapshot, "status", "restoreSize") or dig(content, "status", "restoreSize")
    try:
        return parse_quantity(size) if size is not None else None
    except DataError:
        return None


async def import_record(client: Client, wanted: Import) -> str:
    """Given a record to make, make it or find that it was made; return its uid.

    Raise DataError if its name is taken by what is no record of these artifacts.
    """
    namespace = objects.namespace(wanted.body)
    try:
        found = await client.create(BACKUP, wanted.body)
    except AlreadyExists:
        # Of a try that died before us, unless its points say otherwise.
        found = await client.get(BACKUP, wanted.name, namespace)
        _check(found, wanted)
    # It has its status already, and a pass may have written more there since: that stays.
    if BackupPhase(dig(found, "status", "phase", default=BackupPhase.PENDING)).final:
        return objects.uid(found)
    await write_status(client, BACKUP, found, wanted.status)
    return objects.uid(found)


async def point_at(client: Client, artifact: Artifact, uid: str) -> None:
    """Given an artifact and the uid of its record, let it point there. The content of a snapshot
    follows with the mirror.
    """
    resource = VOLUME_SNAPSHOT if artifact.snapshot is not None else VOLUME_SNAPSHOT_CONTENT
    carrier = artifact.carrier
    if objects.annotations(carrier).get(labels.RUN) == uid:
        return
    try:
        await client.patch(
            resource,
            objects.name(carrier),
            objects.namespace(carrier) or None,
            metadata_patch(carrier, annotations={labels.RUN: uid}),
        )
    except NotFound:
        return  # Swept meanwhile: the pass removes its record.


def _check(found: Obj, wanted: Import) -> None:
    """Two runs never share a record. The points of a status that was written distinguish them."""
    spec, mine = dig(found, "spec", default={}), wanted.body["spec"]
    if spec.get("trigger") != Trigger.IMPORTED or spec.get("policy") != mine["policy"]:
        raise DataError(
            f"Backup {wanted.name} is there and is another run's: delete it to have the record "
            "of the artifacts rebuilt"
        )
    points = {p.get("ref") for p in dig(found, "status", "points", default=[])}
    if points and points.isdisjoint(p.ref for p in wanted.status.points):
        raise DataError(f"Backup {wanted.name} is the record of other artifacts")
