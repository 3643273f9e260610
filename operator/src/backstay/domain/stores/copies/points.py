"""Rolling copies: what a series is called, and the points of it as files say them.

Invariants: a series has one folder for ever, and no two series share one; `points/STAMP.json` is
the only copy of a point's labels, and its version is a digest of what it says, so that an edit by
hand makes every older version fail. Nothing here looks at a file's time, and which of two points
was made later is said by their number, not by a clock.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from backstay.domain import labels
from backstay.domain.errors import DataError
from backstay.domain.naming import shorten
from backstay.domain.retention.points import Point
from backstay.domain.stores.copies.dates import believed
from backstay.domain.stores.copies.point_fields import (
    LACKS,
    lacks_of,
    number_of,
    source_of,
    text_of,
    texts_of,
)
from backstay.domain.stores.copies.unreadable import Unread
from backstay.domain.times import parse_time

KINDS: Final = ("hostPath", "claim")
STAMP_FORMAT: Final = "%Y-%m-%dT%H%M%SZ"
STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z", re.ASCII)
RUN: Final = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,199}", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_HOLDER_LIMIT: Final = 200
_UID_MAX: Final = 64
_CLOCK_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one path of one policy."""

    namespace: str
    policy: str
    kind: str
    """hostPath or claim."""
    holder: str
    """The node or the claim."""
    path: str
    """On the node, or the subPath in the claim ("" is all of it)."""

    @classmethod
    def parse(cls, raw: object) -> "Series":
        """Given a JSON object, return the series. Raise DataError naming the field."""
        if not isinstance(raw, dict):
            raise DataError("series: expected an object")
        found = cls(*(text_of(raw, key, "series") for key in cls.__slots__))
        for key in ("namespace", "policy", "holder"):
            if not _NAME.fullmatch(getattr(found, key)):
                raise DataError(f"series.{key}: {getattr(found, key)!r} is no Kubernetes name")
        if found.kind not in KINDS:
            raise DataError(f"series.kind: {found.kind!r} is none of {', '.join(KINDS)}")
        return found

    def to_json(self) -> dict[str, str]:
        """Return the series as JSON has it."""
        return {key: getattr(self, key) for key in self.__slots__}

    @property
    def key(self) -> str:
        """One text for the series, the `claim` of its points."""
        return f"{self.kind}:{self.holder}:{self.path}"

    @property
    def folder(self) -> str:
        """Where it lies below the destination: `namespace/policy/holder-hash`."""
        digest = hashlib.sha256(self.key.encode("utf-8", "surrogateescape")).hexdigest()[:10]
        return f"{self.namespace}/{self.policy}/{shorten(self.holder, _HOLDER_LIMIT)}-{digest}"

    def tree(self, name: str) -> str:
        """Given a tree that a point names, return where its files lie below the destination."""
        return f"{self.folder}/trees/{name}/data"


@dataclass(frozen=True, slots=True)
class RollingPoint:
    """One point, as `points/STAMP.json` says it."""

    uid: str
    stamp: str
    run: str
    tree: str
    """The run that made the tree; an unchanged source makes points on an older tree."""
    taken: datetime
    """When the walk of the source began, as far as the node's clock was believed. Aware, UTC."""
    series: Series
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    entries: int
    files: int
    size: int
    """Bytes of its regular files."""
    record: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    """Its number in the order of making, from 1; 0 for points that were made before there was one,
    before all others.
    """
    source: tuple[str, ...] = ()
    """What the source was: two points that share one of these are of the same. () where unknown."""
    clock: str = ""
    """What was wrong with the node's clock, "" if nothing was known to be."""
    lacks: Mapping[str, int] = field(default_factory=dict)
    """Of how many entries its tree does not have the owner, mode, time or attributes, because its
    file system does not keep them; its manifest has them.
    """
    unread: Unread | None = None
    """What it lacks of its source; None: nothing."""
    lost: bool = False
    """A list found that its tree or its manifest is gone. Not in its file."""
    rotten: int = 0
    """Files of it that are known not to be what was copied, when it was listed. Not in its file."""

    @property
    def moment(self) -> datetime:
        """When it was made, as far as anybody can know. Aware, UTC."""
        return self.taken if self.seq else believed(self.taken, self.record)

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Its place in the order of making."""
        return self.seq, self.moment, self.stamp

    @property
    def is_real(self) -> bool:
        """Whether it is a backup, and not what a restore in place kept of what was there."""
        return labels.RESTORE_REQUEST not in self.annotations

    @classmethod
    def parse(cls, text: str | bytes) -> "RollingPoint":
        """Given a file's text, return the point. Raise DataError if it cannot be understood."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the point is no JSON: {error}") from error
        return cls.from_json(raw)

    @classmethod
    def from_json(cls, raw: object) -> "RollingPoint":
        """Given the JSON of a point, as a file or an answer of the agent has it, return it.

        Raise DataError naming the field that cannot be understood.
        """
        if not isinstance(raw, dict):
            raise DataError("the point is no object")
        stamp, run, tree = (text_of(raw, key, "point") for key in ("stamp", "run", "tree"))
        if not STAMP.fullmatch(stamp):
            raise DataError(f"point.stamp: {stamp!r} is none")
        for key, value in (("run", run), ("tree", tree)):
            if not RUN.fullmatch(value):
                raise DataError(f"point.{key}: {value!r} is no name of a run")
        record = raw.get("record", {})
        if not isinstance(record, dict):
            raise DataError("point.record: expected an object")
        uid = text_of(raw, "uid", "point")
        if len(uid) > _UID_MAX:
            raise DataError(f"point.uid: more than {_UID_MAX} characters")
        return cls(
            uid=uid,
            stamp=stamp,
            run=run,
            tree=tree,
            taken=parse_time(text_of(raw, "taken", "point")),
            series=Series.parse(raw.get("series")),
            labels=texts_of(raw, "labels"),
            annotations=texts_of(raw, "annotations"),
            entries=number_of(raw, "entries"),
            files=number_of(raw, "files"),
            size=number_of(raw, "bytes"),
            record=record,
            seq=number_of(raw, "seq") if "seq" in raw else 0,
            source=source_of(raw),
            clock=text_of(raw, "clock", "point")[:_CLOCK_MAX] if "clock" in raw else "",
            lacks=lacks_of(raw),
            unread=Unread.from_json(raw.get("unreadable")),
            lost=raw.get("lost") is True,
            rotten=number_of(raw, "rotten") if "rotten" in raw else 0,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the point as JSON has it, without its version. What came later is only there where
        it says something: the versions of older points stay as they were.
        """
        newer = {
            "seq": self.seq,
            "source": list(self.source),
            "clock": self.clock,
            "lacks": dict(self.lacks),
            "unreadable": self.unread.to_json() if self.unread else None,
        }
        return {
            **{key: value for key, value in newer.items() if value},
            "uid": self.uid,
            "stamp": self.stamp,
            "run": self.run,
            "tree": self.tree,
            "taken": self.taken.astimezone(UTC).isoformat(),
            "series": self.series.to_json(),
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "entries": self.entries,
            "files": self.files,
            "bytes": self.size,
            "record": dict(self.record),
        }

    def text(self) -> str:
        """Return what its file holds: indented, for people edit labels there."""
        return json.dumps(self.to_json(), indent=2, sort_keys=True) + "\n"

    @property
    def version(self) -> str:
        """A digest of what it says; whitespace does not matter."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Carried(Protocol):
    """What a point says, as its file or a Backup has it."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...


def point_of(point: RollingPoint) -> Point:
    """Given a rolling point, return it as retention judges it."""
    return judged(
        point,
        point.series,
        name=point.stamp,
        uid=point.uid,
        version=point.version,
        taken=point.moment,
    )


def judged(
    point: Carried, series: Series, *, name: str, uid: str, version: str, taken: datetime
) -> Point:
    """Given what a point says and what it is, return it as retention judges it: a published tree
    is ready.
    """
    return Point(
        namespace=series.namespace,
        name=name,
        uid=uid,
        resource_version=version,
        claim=series.key,
        taken=taken,
        ready=True,
        labels=point.labels,
        marked_at=point.annotations.get(labels.MARKED_AT),
        in_use=point.annotations.get(labels.IN_USE),
        released=point.annotations.get(labels.SWEEP_RELEASED),
    )


def point_uid(destination: str, series: Series, run: str, stamp: str) -> str:
    """Given the marker's id, the series, the run and the stamp, return the point's uid: the same
    for a run that is killed and published later, and of no other point.
    """
    text = json.dumps([destination, series.to_json(), run, stamp], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def lacks_in_words(lacks: Mapping[str, int]) -> str:
    """Given of how many entries a tree lacks what, return that as a sentence, "" if nothing."""
    found = [f"{LACKS[kind]} of {lacks[kind]}" for kind in LACKS if lacks.get(kind)]
    if not found:
        return ""
    return (
        f"the copy's file system does not have {', '.join(found)} entries as they were; restores"
        " set them from the manifest"
    )
