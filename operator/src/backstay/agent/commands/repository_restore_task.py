"""What the verb repository-restore is asked for, read from its task."""

from __future__ import annotations

import os
from dataclasses import dataclass

from backstay.agent.fs.paths import parts_of
from backstay.agent.restic.repository import Repository
from backstay.agent.tasks import Fields
from backstay.domain.restore.acknowledgement import AGENT, Acknowledged


@dataclass(frozen=True, slots=True)
class RestoreTask:
    """What `repository-restore` is asked for."""

    repository: Repository
    snapshot: str
    """Its id in full."""
    source: str
    """The directory of it that becomes the target, absolute; "": its root."""
    root: str
    """Where the volume is mounted."""
    path: str
    """The directory in it that is filled, "" for its root."""
    include: tuple[str, ...]
    """Paths below what is restored; none is everything."""
    restore: str
    """Names the restore: what a try of another one has left is not gone on with."""
    overwrite: bool
    """Whether the target may have content."""
    delete: bool
    """Whether what was not stored is removed."""
    said: Acknowledged

    @classmethod
    def read(cls, task: Fields) -> RestoreTask:
        """Given a task, return what it asks for. Raise DataError naming the field."""
        target = task.child("target")
        snapshot, source = task.text("snapshot"), task.text("path", "")
        if len(snapshot) != 64 or not set(snapshot) <= set("0123456789abcdef"):
            raise task.fail("snapshot", "expected an id in full")
        if source and not source.startswith("/"):
            raise task.fail("path", f"{source!r} is not absolute")
        delete, include = task.flag("delete"), _paths(task, "include", *task.texts("include"))
        if delete and include:
            raise task.fail("delete", "what was not stored is removed of all or of nothing")
        return cls(
            repository=Repository.read(task),
            snapshot=snapshot,
            source=source,
            root=target.text("root"),
            path="".join(_paths(target, "path", *filter(None, [target.text("path", "")]))),
            include=include,
            restore=task.text("restore"),
            overwrite=task.flag("overwrite") or delete,
            delete=delete,
            said=Acknowledged(_words(task)),
        )

    def includes(self, path: str) -> bool:
        """Given a path from the root of the volume, return whether it is restored."""
        if not self.include:
            return True
        below = f"{self.path}/" if self.path else ""
        chosen = [f"{below}{one}" for one in self.include]
        return any(path == one or path.startswith(f"{one}/") for one in chosen)


def _paths(task: Fields, key: str, *paths: str) -> tuple[str, ...]:
    found = []
    for path in paths:
        try:
            parts = parts_of(os.fsencode(path))
        except OSError:
            parts = []
        if not parts:
            raise task.fail(key, f"{path!r} leads nowhere below it")
        found.append(os.fsdecode(b"/".join(parts)))
    return tuple(found)


def _words(task: Fields) -> tuple[str, ...]:
    known = {word.value for word in AGENT}
    words = task.texts("acknowledge")
    if unknown := sorted({*words} - known):
        raise task.fail("acknowledge", f"{unknown[0]!r} is none of {', '.join(sorted(known))}")
    return words
