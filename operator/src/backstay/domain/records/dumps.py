"""A dump of a run as the records of its points have it, and as a Backup made of these shows it."""

from backstay.api.dump_status import DumpState, DumpStatus
from backstay.api.point import PointStatus
from backstay.domain.records.record import DumpRecord, Record
from backstay.domain.run.dumps import bounded


def recorded_dump(dump: DumpStatus) -> DumpRecord:
    """Given a dump that is done, return what a record says of it."""
    return DumpRecord(
        name=dump.name,
        engine=dump.engine,
        file=dump.file,
        path_in_claim=dump.path,
        sha256=dump.sha256 or "",
        size=dump.bytes or 0,
        versions=dump.versions or {},
        format=dump.format,
        compression=dump.compression,
        compressed=dump.compressed,
        position=dump.position,
        server=dump.server,
        notes=dump.notes,
        uid=dump.uid or 0,
        gid=dump.gid or 0,
    )


def shown_dump(dump: DumpRecord, record: Record, point: PointStatus) -> DumpStatus:
    """Given a dump of a record, that record and the point that it is in, return the dump as the
    Backup that is made of them shows it.
    """
    return DumpStatus(
        name=dump.name,
        attempt=point.attempt,
        state=DumpState.DONE,
        engine=dump.engine,
        pod="",
        pod_uid="",
        container="",
        container_id="",
        claim=point.source,
        path=dump.path_in_claim,
        file=dump.file,
        started_at=record.slot,
        bytes=dump.size,
        sha256=dump.sha256,
        versions=dict(dump.versions) or None,
        format=dump.format,
        compression=dump.compression,
        compressed=dump.compressed,
        position=dump.position,
        server=dump.server,
        notes=bounded(dump.notes),
        uid=dump.uid,
        gid=dump.gid,
    )
