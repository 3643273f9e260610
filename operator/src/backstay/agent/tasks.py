"""The tasks that a Job hands over as JSON, read into values (docs/design/0014-rolling-agent.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from backstay.domain.calendar import load_zone
from backstay.domain.errors import DataError, UserError
from backstay.domain.retention.points import Rules
from backstay.domain.stores.copies.dates import Expected
from backstay.domain.stores.copies.points import RUN, STAMP, Series
from backstay.domain.times import parse_time

T = TypeVar("T")
RECORD_LIMIT = 8 * 1024
MOST_POINTS = 60


class Fields:
    """Typed access to a JSON object; a DataError names the field."""

    def __init__(self, raw: object, path: str = "") -> None:
        if not isinstance(raw, dict):
            raise DataError(f"{path or 'the task'}: expected an object")
        self._raw: dict[str, object] = raw
        self._path = path

    @classmethod
    def parse(cls, text: str) -> Fields:
        """Given the task's text, return its fields."""
        try:
            return cls(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise DataError(f"the task is no JSON: {error}") from error

    def has(self, key: str) -> bool:
        return self._raw.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        return self._of(key, str, default, "text")

    def flag(self, key: str) -> bool:
        return self._of(key, bool, False, "true or false")

    def number(self, key: str, default: int | None = None) -> int:
        value = self._of(key, int, default, "a number from 0")
        if isinstance(value, bool) or value < 0:
            raise DataError(f"{self._name(key)}: expected a number from 0")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        return self._of(key, dict, {}, "an object")

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._of(key, list, [], "a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise DataError(f"{self._name(key)}: expected a list of texts")
        return tuple(values)

    def labels(self, key: str) -> dict[str, str]:
        values = self.mapping(key)
        if not all(isinstance(value, str) for value in values.values()):
            raise DataError(f"{self._name(key)}: expected an object of texts")
        return values

    def child(self, key: str) -> Fields:
        return Fields(self._raw.get(key, {}), self._name(key))

    def children(self, key: str) -> list[Fields]:
        found = self._of(key, list, None, "a list")
        return [Fields(value, f"{self._name(key)}[{at}]") for at, value in enumerate(found)]

    def raw(self, key: str) -> object:
        return self._raw.get(key)

    def fail(self, key: str, why: str) -> DataError:
        return DataError(f"{self._name(key)}: {why}")

    def _of(self, key: str, kind: type[T], default: T | None, expected: str) -> T:
        value = self._raw.get(key)
        value = default if value is None else value
        if not isinstance(value, kind):
            raise DataError(f"{self._name(key)}: expected {expected}")
        return value

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


@dataclass(frozen=True, slots=True)
class Where:
    """The destination, as the task knows it."""

    path: str
    id: str
    lock_seconds: int
    same_file_system: bool

    @classmethod
    def read(cls, task: Fields) -> Where:
        destination = task.child("destination")
        return cls(
            path=destination.text("path"),
            id=destination.text("id", ""),
            lock_seconds=task.number("lockSeconds", 60),
            same_file_system=destination.flag("allowSameFilesystem"),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast, and with how many processes. Bandwidth in bytes a second; 0 is none."""

    bandwidth: int = 0
    io_class: str = ""
    io_priority: int = 4
    processes: int = 2


@dataclass(frozen=True, slots=True)
class ExpectedDump:
    """A dump that must be in the copy: its name, its path below the source, its sha256 in hex."""

    name: str
    path: str
    sha256: str

    @classmethod
    def read(cls, task: Fields) -> ExpectedDump:
        return cls(task.text("name"), task.text("path"), task.text("sha256"))


@dataclass(frozen=True, slots=True)
class CopyTask:
    """What `copy` is asked for."""

    where: Where
    series: Series
    run: str
    root: str
    path: str
    require_mount: bool = False
    allow_unreadable: bool = False
    """What cannot be read is left out, and listed."""
    exclude: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    rules: Rules | None = None
    shrink_percent: int = 50
    allow_shrink: bool = False
    keep_bytes: int = 0
    keep_inodes: int = 0
    limits: Limits = Limits()
    expected: Expected | None = None
    """When the operator expects it to run; None: nobody says."""
    identity: tuple[str, ...] = ()
    """What the source is. () of a node's directory: the agent looks; of a claim: unknown."""
    databases_as_files: bool = False
    """Live databases are copied as the files that are there, of no one moment."""
    taken: datetime | None = None
    """Of what moment the source is, where it is a snapshot; None: of when it is copied."""
    dumps: tuple[ExpectedDump, ...] = ()

    @classmethod
    def read(cls, task: Fields) -> CopyTask:
        source, shrink, free = task.child("source"), task.child("shrink"), task.child("keepFree")
        record = task.mapping("record")
        if len(json.dumps(record)) > RECORD_LIMIT:
            raise task.fail("record", f"it is larger than {RECORD_LIMIT} bytes")
        return cls(
            where=Where.read(task),
            series=series_of(task),
            run=run_name(task, "run"),
            root=source.text("root"),
            path=source.text("path", ""),
            require_mount=source.flag("requireMount"),
            allow_unreadable=source.flag("allowUnreadable"),
            exclude=source.texts("exclude"),
            labels=task.labels("labels"),
            annotations=task.labels("annotations"),
            record=record,
            rules=_rules(task.child("rules")) if task.has("rules") else None,
            shrink_percent=min(100, shrink.number("percent", 50)),
            allow_shrink=shrink.flag("allow"),
            keep_bytes=free.number("bytes", 0),
            keep_inodes=free.number("inodes", 0),
            limits=limits_of(task),
            expected=expected(task),
            identity=source.texts("identity"),
            taken=_time(task, "taken") if task.has("taken") else None,
            dumps=tuple(map(ExpectedDump.read, task.children("dumps")))
            if task.has("dumps")
            else (),
        )


def expected(task: Fields) -> Expected | None:
    """Given a task, return when it is expected to run, None if it does not say. Raise DataError
    naming the field that is no time.
    """
    if not task.has("expected"):
        return None
    times = task.child("expected")
    return Expected(*(_time(times, key) for key in ("after", "before", "until")))


def _time(task: Fields, key: str) -> datetime:
    try:
        return parse_time(task.text(key))
    except DataError as error:
        raise task.fail(key, error.message) from error


def series_of(task: Fields) -> Series:
    """Given a task that is about one series, return that. Raise DataError if it names none."""
    return Series.parse(task.raw("series"))


def run_name(task: Fields, key: str) -> str:
    """Given a task and a field, return the run that it names. Raise DataError if it is none."""
    run = task.text(key)
    if not RUN.fullmatch(run):
        raise task.fail(key, "expected letters, digits, `-`, `.` and `_`, at most 200")
    return run


def stamp(task: Fields) -> str:
    """Given a task, return the point that it names. Raise DataError if it is none."""
    found = task.text("stamp")
    if not STAMP.fullmatch(found):
        raise task.fail("stamp", "expected a point's, as 2026-11-22T003205Z")
    return found


def points(task: Fields) -> list[Fields]:
    """Given a task about points, return their fields. Raise DataError if they are too many."""
    found = task.children("points")
    if len(found) > MOST_POINTS:
        raise task.fail("points", f"at most {MOST_POINTS} in a task")
    return found


def limits_of(task: Fields) -> Limits:
    """Given a task, return its limits. Raise DataError naming the field that is wrong."""
    task = task.child("limits")
    io_class = task.text("ioClass", "")
    if io_class not in {"", "idle", "best-effort"}:
        raise task.fail("ioClass", "expected idle or best-effort")
    return Limits(
        bandwidth=task.number("bandwidth", 0),
        io_class=io_class,
        io_priority=min(7, task.number("ioPriority", 4)),
        processes=max(1, min(32, task.number("processes", 2))),
    )


def _rules(task: Fields) -> Rules:
    try:
        zone = load_zone(task.text("zone", "UTC"))
    except UserError as error:
        raise task.fail("zone", error.message) from error
    return Rules(
        zone=zone,
        last=task.number("last", 0),
        within=timedelta(seconds=task.number("withinSeconds", 0)),
        hourly=task.number("hourly", 0),
        daily=task.number("daily", 0),
        weekly=task.number("weekly", 0),
        monthly=task.number("monthly", 0),
        yearly=task.number("yearly", 0),
        adhoc_days=task.number("adhocDays") if task.has("adhocDays") else None,
        failed=task.number("failed", 0),
    )
