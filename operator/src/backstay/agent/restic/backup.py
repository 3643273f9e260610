"""restic's two ways to store: a source as data, and a text as a record.

Invariants: what restic ends with says nothing yet of a good snapshot; what could not be read is
counted here, because restic's own numbers do not have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from backstay.agent.fs.paths import printable
from backstay.agent.restic.engine import RETRY_LOCK, Done, Restic
from backstay.agent.restic.progress import Progress
from backstay.agent.restic.source import OpenSource, excludes
from backstay.domain.errors import DataError
from backstay.domain.stores.repository.exits import DONE, PARTIAL, judge
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.points import EXAMPLES, Content
from backstay.domain.stores.repository.reasons import Reason

RECORD_FILE: Final = "record.json"
_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Marks:
    """What a snapshot is marked with."""

    host: str
    tags: tuple[str, ...]
    time: datetime | None

    def words(self) -> list[str]:
        """Return restic's arguments."""
        # Go takes no offset here; its zone is UTC by the environment.
        moment = self.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if self.time else ""
        return [
            f"--host={self.host}",
            *(f"--tag={tag}" for tag in self.tags),
            *([f"--time={moment}"] if moment else []),
        ]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a source is to be read."""

    exclude: tuple[str, ...] = ()
    partial: bool = False
    """It may lack what cannot be read."""
    parent: str = ""
    """The snapshot whose unchanged files are not read again; "": all are."""

    def words(self, source: OpenSource) -> list[str]:
        """Given the source, return restic's arguments."""
        # Its own search for a parent fails as a whole where one snapshot cannot be read.
        parent = f"--parent={self.parent}" if self.parent else "--force"
        return [parent, *excludes(source.path, self.exclude), "."]


@dataclass(frozen=True, slots=True)
class Read:
    """What restic says that it has stored."""

    snapshot: str
    content: Content


@dataclass(slots=True)
class Unread:
    """What of a source restic could not read, as it complains."""

    source: OpenSource
    items: set[str] = field(default_factory=set)
    examples: list[str] = field(default_factory=list)
    words: str = ""
    vanished: set[str] = field(default_factory=set)

    def __call__(self, item: str, words: str) -> None:
        """Given an entry and what is wrong with it, note it; what was removed since it was found
        is none of the source's any more.
        """
        path = self.source.below(item)
        if "no such file" in words and not self.source.has(item):
            self.vanished.add(path)
        elif path not in self.items:
            self.items.add(path)
            self.words = self.words or words
            if len(self.examples) < EXAMPLES:
                self.examples.append(printable(path.encode(errors="surrogateescape"))[:_NAME])


def store_data(restic: Restic, source: OpenSource, wanted: Wanted, marks: Marks) -> Read:
    """Given restic, a source, how it is to be read, and marks, store it; return what restic says
    that it stored.

    Raise RepositoryError if it failed, or lacks something that it may not lack: then a snapshot
    may be there all the same, and has no record.
    """
    unread, progress, summary = Unread(source), Progress(), {}
    words = ("backup", *RETRY_LOCK, *marks.words(), *wanted.words(source))
    with restic.running(*words, cwd=source.directory, on_error=unread) as run:
        for found in run.objects():
            if found.get("message_type") == "status":
                progress(_number(found, "bytes_done"), _number(found, "total_bytes"))
            elif found.get("message_type") == "summary":
                summary = found
        done = run.done()
    _check(done, unread, partial=wanted.partial)
    shown = tuple(map(restic.environment.redact, unread.examples))
    return _read(summary, unread=len(unread.items), examples=shown, vanished=len(unread.vanished))


def _check(done: Done, unread: Unread, *, partial: bool) -> None:
    doing = "storing the data"
    complained = bool(unread.items or unread.vanished)
    if done.code not in {DONE, PARTIAL} and not (
        unread.items and judge(done.code, done.said).reason is Reason.SOURCE_EMPTY
    ):
        raise done.failure(doing)
    if done.code == PARTIAL and not complained:
        # It lacks something, and does not say what.
        raise done.failure(doing)
    if unread.items and (not partial or done.code not in {DONE, PARTIAL}):
        raise RepositoryError(
            Reason.SOURCE_UNREADABLE,
            f"{len(unread.items)} entries of the source cannot be read"
            f" ({unread.words[:300]}): give the mover the rights for that, exclude them, or allow"
            " a copy without them (allowUnreadable)",
            unreadable=len(unread.items),
            examples=unread.examples,
        )


def store_record(restic: Restic, content: bytes, marks: Marks) -> str:
    """Given restic, the text of a record and its marks, store it; return the snapshot's id.
    Raise RepositoryError if it failed.
    """
    words = ("backup", *RETRY_LOCK, *marks.words(), "--stdin", f"--stdin-filename={RECORD_FILE}")
    with restic.running(*words, stdin=content) as run:
        summaries = [one for one in run.objects() if one.get("message_type") == "summary"]
        run.done().check("storing the record")
    return _read(summaries[-1] if summaries else {}).snapshot


def _read(
    summary: dict[str, Any], *, unread: int = 0, examples: tuple[str, ...] = (), vanished: int = 0
) -> Read:
    snapshot = summary.get("snapshot_id")
    if not isinstance(snapshot, str) or not snapshot:
        raise DataError("restic says that it stored something, and not as which snapshot")
    content = Content(
        files=_number(summary, "total_files_processed"),
        bytes=_number(summary, "total_bytes_processed"),
        added=_number(summary, "data_added_packed"),
        unreadable=unread,
        examples=examples,
        vanished=vanished,
    )
    return Read(snapshot, content)


def _number(found: dict[str, Any], key: str) -> int:
    value = found.get(key)
    return value if isinstance(value, int) else 0
