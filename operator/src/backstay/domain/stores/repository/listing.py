"""The snapshots of a repository, as a line of `repository-list` has each.

Invariants: what a snapshot says was written by anybody who has the password; a data snapshot counts
only by a record that names it (points.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from backstay.domain.errors import DataError
from backstay.domain.times import parse_time

DATA_TAG: Final = "backstay"
RECORD_TAG: Final = "backstay-point"
RESERVED: Final = ("run", "attempt", "data", "tree", "record")
"""Keys of tags that say what a snapshot of ours is of; a task's own tags have none of them."""
_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Kind(StrEnum):
    """What a snapshot is to us."""

    DATA = "Data"
    RECORD = "Record"
    FOREIGN = "Foreign"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a repository."""

    id: str
    time: datetime
    tree: str
    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    original: str = ""
    """What its id was before somebody changed its tags; "": it is as it was made."""
    files: int | None = None
    bytes: int | None = None
    """Of its regular files, as restic counted when it was made; None: it does not say."""

    @property
    def kind(self) -> Kind:
        if RECORD_TAG in self.tags:
            return Kind.RECORD
        # One that somebody has given a second run is of neither, and no error of the others'.
        return (
            Kind.DATA if DATA_TAG in self.tags and len(self._values("run")) == 1 else Kind.FOREIGN
        )

    def tag(self, key: str) -> str:
        """Given a key, return the value of its tag, "" if there is none. Raise DataError if there
        are several that differ: which one holds nobody could say.
        """
        found = self._values(key)
        if len(found) > 1:
            raise DataError(f"snapshot {self.id[:8]} has several tags {key}")
        return found.pop() if found else ""

    def _values(self, key: str) -> set[str]:
        return {tag[len(key) + 1 :] for tag in self.tags if tag.startswith(f"{key}=")} - {""}

    def is_of(self, run: str) -> bool:
        """Given a run, return whether a tag says that it is of that one."""
        return f"run={run}" in self.tags


def parent_of(snapshots: Iterable[Snapshot], host: str, path: str) -> str:
    """Given snapshots, and the host and path of what is read, return the id of the newest one of
    the same, "" if there is none.
    """
    same = [one for one in snapshots if one.host == host and one.paths == (path,)]
    # Records are of the same host, and of the path of their file.
    return max(same, key=lambda one: (one.time, one.id)).id if same else ""


def parse_line(line: str) -> Snapshot:
    """Given a line of `repository-list`, return its snapshot. Raise DataError if it is none."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"a snapshot's line is no JSON: {error}") from error
    return from_json(raw)


def from_json(raw: object) -> Snapshot:
    """Given the JSON of a snapshot, return it. Raise DataError naming the field that is wrong."""
    if not isinstance(raw, dict):
        raise DataError("a snapshot: expected an object")
    return Snapshot(
        id=_id(raw, "id"),
        time=parse_time(_text(raw, "time")),
        tree=_id(raw, "tree"),
        host=_text(raw, "host"),
        paths=_texts(raw, "paths"),
        tags=_texts(raw, "tags"),
        original=_id(raw, "original") if raw.get("original") else "",
        files=_number(raw, "files"),
        bytes=_number(raw, "bytes"),
    )


def to_line(snapshot: Snapshot) -> str:
    """Given a snapshot, return its line."""
    found: dict[str, Any] = {
        "id": snapshot.id,
        "original": snapshot.original or None,
        "time": at_time(snapshot.time),
        "tree": snapshot.tree,
        "host": snapshot.host,
        "paths": list(snapshot.paths),
        "tags": list(snapshot.tags),
        "files": snapshot.files,
        "bytes": snapshot.bytes,
    }
    return json.dumps({k: v for k, v in found.items() if v is not None}, separators=(",", ":"))


def at_time(moment: datetime) -> str:
    """Given when a snapshot is of, return it in RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_restic(raw: object) -> Snapshot:
    """Given a snapshot as `restic snapshots --json` has it, return it. Raise DataError naming the
    field that is wrong.
    """
    if not isinstance(raw, dict):
        raise DataError("a snapshot of restic: expected an object")
    summary = raw.get("summary")
    summary = summary if isinstance(summary, dict) else {}
    return from_json(
        {
            **{key: raw.get(key) for key in ("id", "original", "time", "tree")},
            "host": raw.get("hostname") or "",
            "paths": raw.get("paths") or [],
            "tags": raw.get("tags") or [],
            "files": summary.get("total_files_processed"),
            "bytes": summary.get("total_bytes_processed"),
        }
    )


def _text(raw: Mapping[str, Any], key: str) -> str:
    found = raw.get(key)
    if not isinstance(found, str):
        raise DataError(f"a snapshot's {key}: expected text")
    return found


def _id(raw: Mapping[str, Any], key: str) -> str:
    found = _text(raw, key)
    if not _ID.fullmatch(found):
        raise DataError(f"a snapshot's {key}: expected 64 hexadecimal digits")
    return found


def _texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = raw.get(key)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(f"a snapshot's {key}: expected a list of texts")
    return tuple(found)


def _number(raw: Mapping[str, Any], key: str) -> int | None:
    found = raw.get(key)
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise DataError(f"a snapshot's {key}: expected a number from 0")
    return found
