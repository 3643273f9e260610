"""The points of a repository: a data snapshot, and the record snapshot that says that it is whole.

Invariants: data without a record is no point, however good it looks (restic leaves such a snapshot
when it could not read everything); a record counts only with the very data that it names, of the
same run and attempt and with the same tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backstay.domain.errors import DataError
from backstay.domain.stores.repository.listing import Kind, Snapshot
from backstay.domain.stores.repository.record import decode

STORED: Final = "stored"
"""The field of a record that the agent adds: what it found while it stored."""
EXAMPLES: Final = 5
_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Content:
    """What a data snapshot has of its source."""

    files: int
    bytes: int
    added: int
    """Bytes that the repository grew by, compressed."""
    unreadable: int = 0
    """Entries that it lacks, because they could not be read."""
    examples: tuple[str, ...] = ()
    """Paths of the first of those, below the source."""
    vanished: int = 0
    """Entries that were removed while the source was read; nothing is wrong with that."""

    def to_json(self) -> dict[str, Any]:
        """Return it as records and answers have it."""
        return {key: getattr(self, key) for key in self.__slots__} | {
            "examples": list(self.examples)
        }

    @classmethod
    def from_json(cls, raw: object) -> Content:
        """Given the JSON of a record, return it. Raise DataError naming what is wrong."""
        if not isinstance(raw, dict):
            raise DataError(f"record.{STORED}: expected an object")
        numbers = {key: raw.get(key) for key in cls.__slots__ if key != "examples"}
        for key, value in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise DataError(f"record.{STORED}.{key}: expected a number from 0")
        names = raw.get("examples")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"record.{STORED}.examples: expected a list of texts")
        shown = tuple(name[:_NAME] for name in names[:EXAMPLES])
        return cls(**numbers, examples=shown)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point, and what its record says."""

    record: Snapshot
    data: Snapshot
    run: str
    attempt: int
    content: Content
    said: Mapping[str, Any]
    """What the operator gave to be recorded."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """What a repository has, by what it is to us."""

    points: tuple[StoredPoint, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
    """Records that do not count, by id: why."""
    unrecorded: tuple[Snapshot, ...] = ()
    """Data that no record names: of a try that was killed, failed, or is still at work."""
    foreign: tuple[Snapshot, ...] = ()


def sort(snapshots: Iterable[Snapshot]) -> Sorted:
    """Given the snapshots of a repository, or those of a run, return what they are."""
    every = tuple(snapshots)
    data = _by_name(one for one in every if one.kind is Kind.DATA)
    points, broken = [], {}
    for record in (one for one in every if one.kind is Kind.RECORD):
        try:
            points.append(_point(record, data))
        except DataError as error:
            broken[record.id] = error.message
    named = {point.data.id for point in points}
    return Sorted(
        tuple(points),
        broken,
        tuple(s for s in every if s.kind is Kind.DATA and s.id not in named),
        tuple(s for s in every if s.kind is Kind.FOREIGN),
    )


def _by_name(every: Iterable[Snapshot]) -> dict[str, Snapshot]:
    """Snapshots by what they are called, and by what they were called before: tags that somebody
    adds by hand change the id.
    """
    found: dict[str, Snapshot] = {}
    for one in every:
        found[one.id] = one
        if one.original:
            found.setdefault(one.original, one)
    return found


def _point(record: Snapshot, every: Mapping[str, Snapshot]) -> StoredPoint:
    run, attempt, wanted = record.tag("run"), record.tag("attempt"), record.tag("data")
    if not (run and attempt.isascii() and attempt.isdigit()):
        raise DataError("it names no run and attempt")
    data = every.get(wanted)
    if data is None:
        raise DataError(f"its data {wanted[:8]} is not there")
    if (data.tag("run"), data.tag("attempt")) != (run, attempt):
        raise DataError(f"its data {wanted[:8]} is of another run or attempt")
    if data.tree != record.tag("tree"):
        raise DataError(f"its data {wanted[:8]} has another tree")
    said = decode(record.tag("record"))
    content = Content.from_json(said.pop(STORED, None))
    for name, there, recorded in (
        ("files", data.files, content.files),
        ("bytes", data.bytes, content.bytes),
    ):
        if there is not None and there != recorded:
            raise DataError(f"its data {wanted[:8]} has {there} {name}, not {recorded}")
    return StoredPoint(record, data, run, int(attempt), content, said)
