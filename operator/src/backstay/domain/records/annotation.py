"""The `record` annotation: a record as text, and back.

Invariants: it is at most SIZE_LIMIT bytes of UTF-8; what does not fit is left out in a fixed
order (the claim's labels, the tools' versions, positions, the servers' identities, the dumps'
notes) and named in `dropped`; a reader ignores fields that it does not know, and refuses what it
cannot understand: a record of a later VERSION, which changes what fields mean, is one of these. One
without a version is of before there were any, and is read as the first.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from typing import Final

from backstay.domain.errors import DataError
from backstay.domain.records.json_reader import Reader
from backstay.domain.records.record import ClaimRecord, DumpRecord, Record
from backstay.domain.times import parse_time

SIZE_LIMIT: Final = 8 * 1024
VERSION: Final = 1
"""It grows when a field changes its meaning, not when one is added."""


def build_record(record: Record) -> str:
    """Given a record, return its annotation, at most SIZE_LIMIT bytes.

    Raise DataError if it is too large even without all that may be left out.
    """
    smaller = record
    for shrink in (None, *_SHRINKS):
        smaller = shrink(smaller) if shrink else record
        text = json.dumps(_to_json(smaller), ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= SIZE_LIMIT:
            return text
    raise DataError(
        f"the record of backup {record.backup} is larger than {SIZE_LIMIT} bytes with its"
        f" {len(record.dumps)} dumps; split the policy so that a claim has fewer dumps"
    )


def parse_record(text: str) -> Record:
    """Given the annotation's text, return the record. Raise DataError if it is none."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the record is no JSON: {error}") from error
    reader = Reader(raw, "record")
    version = reader.number("version") if reader.has("version") else VERSION
    if version > VERSION:
        raise DataError(
            f"record.version: {version} is of a later Backstay, this one reads up to {VERSION}: "
            "upgrade it"
        )
    slot = reader.text("slot")
    try:
        at = parse_time(slot)
    except DataError as error:
        raise DataError(f"record.slot: {error.message}") from error
    return Record(
        policy=reader.text("policy"),
        backup=reader.text("backup"),
        slot=at,
        zone=reader.text("zone"),
        attempt=reader.number("attempt"),
        namespace=reader.text("namespace"),
        namespace_uid=reader.text("namespaceUid"),
        claim=_claim(reader.child("claim")),
        dumps=tuple(_dump(child) for child in reader.children("dumps")),
        together=reader.texts("together"),
        spread=reader.number("spread") if reader.has("spread") else None,
        dropped=reader.texts("dropped"),
    )


def _without_labels(record: Record) -> Record:
    claim = replace(record.claim, labels={})
    return replace(record, claim=claim, dropped=(*record.dropped, "claim.labels"))


def _without_versions(record: Record) -> Record:
    dumps = tuple(replace(dump, versions={}) for dump in record.dumps)
    return replace(record, dumps=dumps, dropped=(*record.dropped, "dumps.versions"))


def _without_positions(record: Record) -> Record:
    dumps = tuple(replace(dump, position=None) for dump in record.dumps)
    return replace(record, dumps=dumps, dropped=(*record.dropped, "dumps.position"))


def _without_servers(record: Record) -> Record:
    dumps = tuple(replace(dump, server=None) for dump in record.dumps)
    return replace(record, dumps=dumps, dropped=(*record.dropped, "dumps.server"))


def _without_notes(record: Record) -> Record:
    """Where they stand is kept: a point with notes is never taken for one without."""
    dumps = tuple(
        replace(dump, notes=(f"{len(dump.notes)} notes: see {dump.path_in_claim}.json",))
        if dump.notes
        else dump
        for dump in record.dumps
    )
    return replace(record, dumps=dumps, dropped=(*record.dropped, "dumps.notes"))


_SHRINKS: Final = (
    _without_labels,
    _without_versions,
    _without_positions,
    _without_servers,
    _without_notes,
)


def _to_json(record: Record) -> dict[str, object]:
    return {
        "version": VERSION,
        "policy": record.policy,
        "backup": record.backup,
        "slot": record.slot.astimezone(UTC).isoformat(),
        "zone": record.zone,
        "attempt": record.attempt,
        "namespace": record.namespace,
        "namespaceUid": record.namespace_uid,
        "claim": _claim_to_json(record.claim),
        "dumps": [_dump_to_json(dump) for dump in record.dumps],
        "together": list(record.together),
        "spread": record.spread,
        "dropped": list(record.dropped),
    }


def _claim_to_json(claim: ClaimRecord) -> dict[str, object]:
    return {
        "name": claim.name,
        "uid": claim.uid,
        "size": claim.size,
        "class": claim.storage_class,
        "modes": list(claim.access_modes),
        "volumeMode": claim.volume_mode,
        "labels": dict(claim.labels),
        "volume": claim.volume,
        "continues": claim.continues,
    }


def _dump_to_json(dump: DumpRecord) -> dict[str, object]:
    return {
        "name": dump.name,
        "engine": dump.engine,
        "file": dump.file,
        "pathInClaim": dump.path_in_claim,
        "sha256": dump.sha256,
        "bytes": dump.size,
        "uid": dump.uid,
        "gid": dump.gid,
        "versions": dict(dump.versions),
        "format": dump.format,
        "compression": dump.compression,
        "compressed": dump.compressed,
        "position": dump.position,
        "server": dump.server,
        "notes": list(dump.notes),
    }


def _claim(reader: Reader) -> ClaimRecord:
    return ClaimRecord(
        name=reader.text("name"),
        uid=reader.text("uid"),
        size=reader.text("size"),
        storage_class=reader.optional("class"),
        access_modes=reader.texts("modes"),
        volume_mode=reader.text("volumeMode"),
        labels=reader.mapping("labels"),
        volume=reader.optional("volume"),
        continues=reader.optional("continues"),
    )


def _dump(reader: Reader) -> DumpRecord:
    return DumpRecord(
        name=reader.text("name"),
        engine=reader.text("engine"),
        file=reader.text("file"),
        path_in_claim=reader.text("pathInClaim"),
        sha256=reader.text("sha256"),
        size=reader.number("bytes"),
        uid=reader.number("uid"),
        gid=reader.number("gid"),
        versions=reader.mapping("versions"),
        format=reader.optional("format"),
        compression=reader.optional("compression"),
        compressed=reader.flag("compressed"),
        position=reader.optional("position"),
        server=reader.optional("server"),
        notes=reader.texts("notes"),
    )
