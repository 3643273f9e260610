"""What `repository-find` says of one snapshot, as the agent writes it and the operator reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstay.domain.errors import DataError
from backstay.domain.records.json_reader import Reader
from backstay.domain.stores.repository.choice import Chosen, Want
from backstay.domain.stores.repository.listing import at_time


@dataclass(frozen=True, slots=True)
class FoundSnapshot:
    """A snapshot that a restore is of, with how the claim was where its record says so."""

    claim: str
    """As the request calls it."""
    snapshot: str
    """Its id in full."""
    root: str
    """The directory of it that has the data, absolute; "": its root."""
    time: str
    bytes: int | None = None
    """Of its files, None where it does not say."""
    backup: str | None = None
    """The Backup that made it, by its record."""
    uid: str = ""
    """Of the claim."""
    path: str = ""
    """The directory of the claim that was stored, "" for all of it."""
    size: str | None = None
    """A Kubernetes quantity."""
    storage_class: str | None = None
    access_modes: tuple[str, ...] = ()


def describe(want: Want, chosen: Chosen, root: str) -> dict[str, Any]:
    """Given what was wanted, what was chosen and the directory that has the data, return the line.

    A record that is not understood adds nothing: it was found by what is known of it anyway.
    """
    data, record = chosen.data, chosen.record or {}
    raw = record.get("claim")
    claim = raw if isinstance(raw, dict) else {}
    found = {
        "claim": want.claim,
        "snapshot": data.id,
        "root": root,
        "time": at_time(data.time),
        "bytes": data.bytes,
        "backup": _text(record, "backup"),
        "uid": _text(claim, "uid"),
        "path": _text(record, "path"),
        "size": _text(claim, "size"),
        "class": _text(claim, "class"),
        "modes": _texts(claim.get("modes")),
    }
    return {key: value for key, value in found.items() if value is not None}


def parse_found(lines: Sequence[str], count: int | None) -> list[FoundSnapshot]:
    """Given the lines of a log and how many snapshots the answer has counted, return them.

    Raise DataError if a line of those is missing or cannot be understood: half a log is none.
    """
    found = [_parse(raw) for raw in map(_object, lines) if "snapshot" in raw]
    if len(found) != count:
        raise DataError(f"the log has {len(found)} snapshots, {count} were found")
    return found


def _parse(raw: dict[str, Any]) -> FoundSnapshot:
    line = Reader(raw, "found")
    return FoundSnapshot(
        claim=line.text("claim"),
        snapshot=line.text("snapshot"),
        root=line.text("root"),
        time=line.text("time"),
        bytes=line.number("bytes") if line.has("bytes") else None,
        backup=line.optional("backup"),
        uid=line.optional("uid") or "",
        path=line.optional("path") or "",
        size=line.optional("size"),
        storage_class=line.optional("class"),
        access_modes=line.texts("modes"),
    )


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}  # What restic and others say.
    return found if isinstance(found, dict) else {}


def _text(raw: Mapping[str, Any], key: str) -> str | None:
    found = raw.get(key)
    return found[:1024] if isinstance(found, str) and found else None


def _texts(found: object) -> list[str] | None:
    texts = [str(one) for one in found[:4]] if isinstance(found, list) else []
    return texts or None
