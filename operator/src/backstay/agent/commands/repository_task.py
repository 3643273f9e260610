"""What `repository-backup` is asked for, read from its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backstay.agent.restic.repository import Repository
from backstay.agent.tasks import ExpectedDump, Fields, run_name
from backstay.domain.errors import DataError
from backstay.domain.stores.repository.listing import DATA_TAG, RECORD_TAG, RESERVED
from backstay.domain.stores.repository.points import STORED, Content
from backstay.domain.stores.repository.record import encode
from backstay.domain.stores.repository.top import TOP, Top
from backstay.domain.times import parse_time

_TAG_LIMIT: Final = 512
_HOST_LIMIT: Final = 512
_MOST: Final = 2**63 - 1
_LARGEST: Final = Content(files=_MOST, bytes=_MOST, added=_MOST, unreadable=_MOST, vanished=_MOST)
"""What the agent adds to a record at most, without its examples."""
_WIDEST: Final = Top(2**32 - 2, 2**32 - 2, 0o7777)


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up: a directory below a root, without what is excluded."""

    root: str
    path: str
    exclude: tuple[str, ...] = ()
    allow_unreadable: bool = False
    require_mount: bool = False

    @classmethod
    def read(cls, task: Fields) -> Source:
        exclude = task.texts("exclude")
        if any(not pattern.strip("/! ") or _has_controls(pattern) for pattern in exclude):
            raise task.fail("exclude", "a pattern is empty, or has a control character")
        return cls(
            task.text("root"),
            task.text("path", ""),
            exclude,
            task.flag("allowUnreadable"),
            task.flag("requireMount"),
        )


@dataclass(frozen=True, slots=True)
class Shrink:
    """How small the source may be, compared with what the newest good point has."""

    percent: int
    allow: bool
    files: int | None
    bytes: int | None

    @classmethod
    def read(cls, task: Fields) -> Shrink:
        return cls(
            min(100, task.number("percent", 50)),
            task.flag("allow"),
            task.number("files") if task.has("files") else None,
            task.number("bytes") if task.has("bytes") else None,
        )


@dataclass(frozen=True, slots=True)
class BackupTask:
    """What `repository-backup` is asked for."""

    repository: Repository
    run: str
    attempt: int
    host: str
    tags: tuple[str, ...]
    time: datetime | None
    """Of what moment the data is; None: of when it is read."""
    source: Source
    shrink: Shrink
    dumps: tuple[ExpectedDump, ...]
    record: Mapping[str, Any]

    @classmethod
    def read(cls, task: Fields) -> BackupTask:
        return cls(
            repository=Repository.read(task),
            run=run_name(task, "run"),
            attempt=task.number("attempt", 0),
            host=_host(task),
            tags=_tags(task),
            time=_time(task),
            source=Source.read(task.child("source")),
            shrink=Shrink.read(task.child("shrink")),
            dumps=_dumps(task),
            record=_record(task),
        )

    @property
    def data_tags(self) -> tuple[str, ...]:
        """The tags of the data snapshot."""
        return (DATA_TAG, *self._of_run, *self.tags)

    def record_tags(self, data: str, tree: str, record: str) -> tuple[str, ...]:
        """Given the data's id, its tree and the record's text, return the record's tags."""
        return (RECORD_TAG, *self._of_run, f"data={data}", f"tree={tree}", f"record={record}")

    @property
    def _of_run(self) -> tuple[str, str]:
        return (f"run={self.run}", f"attempt={self.attempt}")


def full_record(record: Mapping[str, Any], content: Content, top: Top) -> dict[str, Any]:
    """Given what the operator gave to be recorded and what was stored, return what is recorded:
    without examples where those have no room.
    """
    for examples in (content.examples, ()):
        stored = content.to_json() | {"examples": list(examples)}
        found = {**record, STORED: stored, TOP: top.to_json()}
        try:
            encode(found)
        except DataError:
            continue
        return found
    raise DataError("record: it is too large for a tag")


def _host(task: Fields) -> str:
    host = task.text("host")
    if not host or len(host) > _HOST_LIMIT or _has_controls(host):
        raise task.fail("host", f"expected text of at most {_HOST_LIMIT} characters")
    return host


def _tags(task: Fields) -> tuple[str, ...]:
    tags = task.texts("tags")
    for tag in tags:
        if (
            not tag
            or "," in tag
            or len(tag) > _TAG_LIMIT
            or _has_controls(tag)
            or tag != tag.strip()
        ):
            raise task.fail("tags", f"{tag[:80]!r} is no tag: it is empty, too long or has a comma")
        if tag in {DATA_TAG, RECORD_TAG} or tag.partition("=")[0] in RESERVED:
            raise task.fail("tags", f"{tag[:80]!r} is one that the agent sets")
    return tags


def _time(task: Fields) -> datetime | None:
    if not task.has("time"):
        return None
    try:
        return parse_time(task.text("time"))
    except DataError as error:
        raise task.fail("time", error.message) from error


def _dumps(task: Fields) -> tuple[ExpectedDump, ...]:
    return tuple(map(ExpectedDump.read, task.children("dumps"))) if task.has("dumps") else ()


def _record(task: Fields) -> Mapping[str, Any]:
    record = task.mapping("record")
    if added := {STORED, TOP} & record.keys():
        raise task.fail(f"record.{min(added)}", "it is what the agent adds")
    try:
        encode({**record, STORED: _LARGEST.to_json(), TOP: _WIDEST.to_json()})
    except DataError as error:
        raise task.fail("record", error.message) from error
    return record


def _has_controls(text: str) -> bool:
    return any(ord(char) < 32 or ord(char) == 127 for char in text)
