"""The `record` annotation: what is needed to restore a point and to rebuild its Backup.

Invariants: it is at most SIZE_LIMIT bytes of UTF-8; what does not fit is left out in a fixed
order (the claim's labels, the tools' versions, positions, the servers' identities, the dumps'
notes) and named in `dropped`; a reader ignores fields that it does not know, and refuses what it
cannot understand: a record of a later VERSION, which changes what fields mean, is one of these. One
without a version is of before there were any, and is read as the first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from backstay.domain.errors import DataError
from backstay.domain.retention.incarnations import Origin
from backstay.domain.times import parse_time

SIZE_LIMIT: Final = 8 * 1024
VERSION: Final = 1
"""It grows when a field changes its meaning, not when one is added."""


@dataclass(frozen=True, slots=True)
class DumpRecord:
    """One dump inside the snapshot."""

    name: str
    engine: str
    file: str
    """The path in the database's container."""
    path_in_claim: str
    """The path from the root of the claim."""
    sha256: str
    size: int
    """Bytes."""
    uid: int
    gid: int
    versions: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    """What it is once it is decompressed. None: it was made before this was recorded."""
    compression: str | None = None
    """What the file as a whole is compressed by: zstd, gzip or none."""
    position: str | None = None
    """Where in the server's log of changes it stands, if that is known."""
    server: str | None = None
    """What the server says that it is, if it says anything that stays: another server on the same
    claim has another one.
    """
    notes: tuple[str, ...] = ()
    """What the server has and the dump has not, in words."""


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """The claim as it was at the snapshot: enough to make its like."""

    name: str
    uid: str
    size: str
    """spec.resources.requests.storage as written, a Kubernetes quantity."""
    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str
    labels: Mapping[str, str] = field(default_factory=dict)
    volume: str | None = None
    """The PersistentVolume that it was bound to. None: it was made before this was recorded."""
    continues: str | None = None
    """The uid of the claim whose data a restore brought into this one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One point: the run that made it, its claim and its dumps."""

    policy: str
    backup: str
    slot: datetime
    """Aware; read back as UTC."""
    zone: str
    attempt: int
    namespace: str
    namespace_uid: str
    claim: ClaimRecord
    dumps: tuple[DumpRecord, ...] = ()
    together: tuple[str, ...] = ()
    """The claims that were frozen together for this point: theirs of this run fit together."""
    spread: int | None = None
    """Seconds between the first and the last snapshot of the run; None: there was one, or it is not
    known.
    """
    dropped: tuple[str, ...] = ()
    """What was left out for want of room: `claim.labels`, `dumps.versions`, `dumps.position`,
    `dumps.server`, `dumps.notes`.
    """


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
    reader = _Reader(raw, "record")
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


@dataclass(frozen=True, slots=True)
class Glance:
    """What a retention pass reads of a record. The default: nothing."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of its dumps by name."""
    origin: Origin = field(default_factory=Origin)


def glance(text: str | None) -> Glance:
    """Given the annotation's text (None: there is none), return what a pass reads of every point.

    What cannot be read says nothing here: the record as a whole is reported elsewhere.
    """
    try:
        raw = json.loads(text or "{}")
        dumps = [dump for dump in raw.get("dumps") or () if isinstance(dump["bytes"], int)]
        claim = raw.get("claim") or {}
        return Glance(
            {dump["name"]: dump["bytes"] for dump in dumps},
            Origin(
                tuple(str(claim[key]) for key in ("uid", "volume") if claim.get(key)),
                str(claim.get("continues") or ""),
                {dump["name"]: str(dump["server"]) for dump in dumps if dump.get("server")},
            ),
        )
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return Glance()


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
    claim = record.claim
    return {
        "version": VERSION,
        "policy": record.policy,
        "backup": record.backup,
        "slot": record.slot.astimezone(UTC).isoformat(),
        "zone": record.zone,
        "attempt": record.attempt,
        "namespace": record.namespace,
        "namespaceUid": record.namespace_uid,
        "claim": {
            "name": claim.name,
            "uid": claim.uid,
            "size": claim.size,
            "class": claim.storage_class,
            "modes": list(claim.access_modes),
            "volumeMode": claim.volume_mode,
            "labels": dict(claim.labels),
            "volume": claim.volume,
            "continues": claim.continues,
        },
        "dumps": [
            {
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
                "position": dump.position,
                "server": dump.server,
                "notes": list(dump.notes),
            }
            for dump in record.dumps
        ],
        "together": list(record.together),
        "spread": record.spread,
        "dropped": list(record.dropped),
    }


def _claim(reader: "_Reader") -> ClaimRecord:
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


def _dump(reader: "_Reader") -> DumpRecord:
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
        position=reader.optional("position"),
        server=reader.optional("server"),
        notes=reader.texts("notes"),
    )


class _Reader:
    """Typed access to a JSON object; DataError names the field."""

    def __init__(self, raw: object, path: str) -> None:
        if not isinstance(raw, dict):
            raise DataError(f"{path}: expected an object, found {type(raw).__name__}")
        self._raw: dict[str, object] = raw
        self._path = path

    def has(self, key: str) -> bool:
        return self._raw.get(key) is not None

    def text(self, key: str) -> str:
        value = self._raw.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def optional(self, key: str) -> str | None:
        return self.text(key) if self.has(key) else None

    def number(self, key: str) -> int:
        value = self._raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(key, "a number from 0")
        return value

    def child(self, key: str) -> "_Reader":
        return _Reader(self._raw.get(key), f"{self._path}.{key}")

    def children(self, key: str) -> "list[_Reader]":
        return [_Reader(v, f"{self._path}.{key}[{i}]") for i, v in enumerate(self._list(key))]

    def texts(self, key: str) -> tuple[str, ...]:
        values = [value for value in self._list(key) if isinstance(value, str)]
        if len(values) != len(self._list(key)):
            raise self._wrong(key, "a list of texts")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        raw = self._raw.get(key) if self.has(key) else {}
        if not isinstance(raw, dict):
            raise self._wrong(key, "an object of texts")
        found = {k: v for k, v in raw.items() if isinstance(v, str)}
        if len(found) != len(raw):
            raise self._wrong(key, "an object of texts")
        return found

    def _list(self, key: str) -> list[object]:
        raw = self._raw.get(key) if self.has(key) else []
        if not isinstance(raw, list):
            raise self._wrong(key, "a list")
        return raw

    def _wrong(self, key: str, expected: str) -> DataError:
        return DataError(f"{self._path}.{key}: expected {expected}")
