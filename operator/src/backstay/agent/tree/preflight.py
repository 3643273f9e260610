"""What `copy` refuses, before anything is written or at the latest before it is published."""

from __future__ import annotations

import os

from backstay.agent.fs.listing import Totals
from backstay.agent.fs.paths import is_mounted, same_file_system
from backstay.agent.tasks import CopyTask
from backstay.domain.errors import UserError
from backstay.domain.labels import ALLOW_SHRUNKEN
from backstay.domain.stores.copies.points import RollingPoint
from backstay.domain.stores.copies.unreadable import Unread

_ALL_THE_SAME = f"if that is right, copy it by a Backup annotated {ALLOW_SHRUNKEN}=true"


def check_source(task: CopyTask, source: int, destination: int) -> None:
    """Given the opened source and destination, raise UserError unless they may be copied so."""
    if task.require_mount and not is_mounted(source):
        raise UserError(
            "SourceNotMounted",
            f"spec.rolling.requireMount: nothing is mounted at {task.path or task.root}; mount its"
            " disk, or set requireMount to false",
        )
    if not task.where.same_file_system and same_file_system(source, destination):
        raise UserError(
            "SameFilesystem",
            "spec.rolling.allowSameFileSystem: source and destination are one file system and are"
            " lost together; use another disk, or set it to true",
        )
    top, there = os.fstat(destination), os.fstat(source)
    if (top.st_dev, top.st_ino) == (there.st_dev, there.st_ino):
        raise UserError(
            "DestinationInSource",
            "spec.rolling.destination: it is the source itself; name another directory",
        )


def check_size(
    task: CopyTask, totals: Totals, newest: RollingPoint | None, *, strange: bool = False
) -> None:
    """Given what the source has (what cannot be read counts as there), the newest point, and
    whether that is of another source, raise UserError if it has lost too much.
    """
    other = " (another disk or directory than that of the newest point)" if strange else ""
    if task.allow_shrink:
        return
    if totals.entries == 0:
        raise UserError(
            "SourceEmpty",
            f"spec.source{other}: it is empty, as when its disk is not mounted; {_ALL_THE_SAME}",
        )
    if newest is None:
        return
    lacked = newest.unread or Unread(0)
    for word, is_now, was in (
        ("entries", totals.entries, newest.entries + lacked.entries),
        ("bytes", totals.bytes, newest.size + lacked.size),
    ):
        if is_now * 100 < was * task.shrink_percent:
            raise UserError(
                "SourceShrunk",
                f"spec.source{other}: it has {is_now} {word}, the newest point {was}; under"
                f" spec.rolling.minimumPercent ({task.shrink_percent}) nothing is copied;"
                f" {_ALL_THE_SAME}",
            )
