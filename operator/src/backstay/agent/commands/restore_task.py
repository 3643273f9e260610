"""What the verb restore is asked for, read from its task."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from backstay.agent import tasks
from backstay.agent.destination.layout import Folder, folder_of
from backstay.agent.fs.paths import parts_of
from backstay.agent.target.directory import FIELD
from backstay.agent.tasks import CopyTask, Fields, Limits, Where
from backstay.domain.restore.acknowledgement import AGENT, Acknowledged
from backstay.domain.stores.copies.points import Series


@dataclass(frozen=True, slots=True)
class RestoreTask:
    """What `restore` is asked for."""

    where: Where
    series: Series
    stamp: str
    root: str
    path: str
    paths: tuple[bytes, ...]
    """Below the point; none is everything."""
    safety: CopyTask | None
    """In place: the copy of what is there. None: to a new directory."""
    limits: Limits
    said: Acknowledged
    new_volume: bool = False
    """The target is the root of a volume that was made for this restore."""

    @classmethod
    def read(cls, task: Fields) -> RestoreTask:
        target = task.child("target")
        path = target.text("path")
        found = cls(
            where=Where.read(task),
            series=tasks.series_of(task),
            stamp=tasks.stamp(task),
            root=target.text("root"),
            path=path,
            paths=_paths(task),
            safety=None,
            limits=tasks.limits_of(task),
            said=Acknowledged(_words(task)),
        )
        if not task.flag("inPlace"):
            if task.flag("newVolume"):
                return replace(found, new_volume=True)
            if not path.strip("/"):
                raise target.fail("path", "a new directory needs a name")
            return found
        safety = CopyTask(
            where=replace(found.where, same_file_system=True),
            series=found.series,
            run=tasks.run_name(task.child("safety"), "run"),
            root=found.root,
            path=path,
            labels=task.child("safety").labels("labels"),
            annotations=task.child("safety").labels("annotations"),
            allow_shrink=True,
            limits=found.limits,
            expected=tasks.expected(task.child("safety")),
        )
        return replace(found, safety=safety)

    @property
    def field(self) -> str:
        """The field of the request that says where it goes, for messages."""
        return "spec.claims[].to.newClaim" if self.new_volume else FIELD

    @property
    def folder(self) -> Folder:
        return folder_of(self.where.path, self.series)


def _words(task: Fields) -> tuple[str, ...]:
    known = {word.value for word in AGENT}
    words = task.texts("acknowledge")
    if strange := sorted({*words} - known):
        raise task.fail("acknowledge", f"{strange[0]!r} is none of {', '.join(sorted(known))}")
    return words


def _paths(task: Fields) -> tuple[bytes, ...]:
    found = []
    for path in task.texts("paths"):
        try:
            parts = parts_of(os.fsencode(path))
        except OSError:
            parts = []
        if not parts:
            raise task.fail("paths", f"{path!r} is no path below the point")
        found.append(b"/".join(parts))
    return tuple(found)
