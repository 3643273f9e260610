"""The verbs by name: how each reads its task, and what it does with it.

Each imports its own modules when it runs: an unchanged source is walked in a second, so the time
that imports take counts.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from backstay.agent.results import Report, answer
from backstay.agent.tasks import CopyTask, Fields, Limits, Where, series_of
from backstay.domain.stores.copies.points import Series


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the agent's one clock; everything else is handed it


def _be_gentle(limits: Limits) -> None:
    """Whatever is started from here on inherits it."""
    if not limits.io_class:
        return
    import subprocess

    words = ["3"] if limits.io_class == "idle" else ["2", "-n", str(limits.io_priority)]
    subprocess.run(["ionice", "-p", str(os.getpid()), "-c", *words], check=True)


def _init(task: Where, report: Report) -> None:
    import uuid
    from pathlib import Path

    from backstay.agent.destination.layout import MARKER, initialise
    from backstay.agent.destination.locks import is_read_only

    lacking = []
    top = Path(task.path)
    if top.is_dir() and not (top / MARKER).exists() and not is_read_only(task):
        # Once, and before anything is written there to stay: it is init before every Job, also of
        # a disk that is read-only by now.
        from backstay.agent.fs.probe import examine

        lacking = examine(top).lacking()
    found = initialise(task, str(uuid.uuid4()))
    message = f"{task.path} is the destination {found}"
    if lacking:
        message += f"; its file system does not have {', '.join(lacking)}"
    report(answer("Initialised", message, id=found, lacking=lacking))


def _copy(task: CopyTask, report: Report) -> None:
    from backstay.agent.commands.copy import copy

    _be_gentle(task.limits)
    report(copy(task, _now()))


def _relabel(task: Any, report: Report) -> None:
    from backstay.agent.commands.points import relabel

    report(relabel(task))


def _prune(task: Any, report: Report) -> None:
    from backstay.agent.commands.points import prune

    prune(task, report)

    from backstay.agent.destination.trash import reclaim

    for left in reclaim(task.folder):
        sys.stderr.write(f"not removed: {left}\n")


def _list(task: tuple[Where, Series | None], report: Report) -> None:
    from backstay.agent.commands.points import list_points

    for found in list_points(*task):
        if "ok" in found:
            report(found)
        else:
            sys.stdout.write(json.dumps(found, separators=(",", ":")) + "\n")


def _check(task: Any, report: Report) -> None:
    from backstay.agent.tree.check import check

    _be_gentle(task.limits)
    report(check(task))


def _scrub(task: Any, report: Report) -> None:
    from backstay.agent.commands.scrub import scrub

    _be_gentle(task.limits)
    report(scrub(task))


def _restore(task: Any, report: Report) -> None:
    from backstay.agent.commands.restore import restore
    from backstay.agent.fs.failures import writing_to

    _be_gentle(task.limits)
    with writing_to(task.field, task.path or task.root):
        report(restore(task, _now()))


def _discard(task: Any, report: Report) -> None:
    from backstay.agent.target.directory import discard

    report(discard(task))


def _repository_open(task: Any, report: Report) -> None:
    from backstay.agent.commands.repository_open import repository_open

    report(repository_open(task))


def _repository_list(task: Any, report: Report) -> None:
    from backstay.agent.commands.repository_list import repository_list

    report(repository_list(task))


def _repository_maintain(task: Any, report: Report) -> None:
    from backstay.agent.commands.repository_maintain import repository_maintain

    report(repository_maintain(task))


def _repository_maintain_task(task: Fields) -> Any:
    from backstay.agent.commands.repository_maintain import MaintainTask

    return MaintainTask.read(task)


def _repository_find(task: Any, report: Report) -> None:
    from backstay.agent.commands.repository_find import repository_find

    report(repository_find(task))


def _repository_restore(task: Any, report: Report) -> None:
    from backstay.agent.commands.repository_restore import repository_restore

    report(repository_restore(task))


def _repository_find_task(task: Fields) -> Any:
    from backstay.agent.commands.repository_find import FindTask

    return FindTask.read(task)


def _repository_restore_task(task: Fields) -> Any:
    from backstay.agent.commands.repository_restore_task import RestoreTask

    return RestoreTask.read(task)


def _repository_backup(task: Any, report: Report) -> None:
    from backstay.agent.commands.repository_backup import repository_backup

    report(repository_backup(task))


def _repository_open_task(task: Fields) -> Any:
    from backstay.agent.commands.repository_open import OpenTask

    return OpenTask.read(task)


def _repository_list_task(task: Fields) -> Any:
    from backstay.agent.commands.repository_list import ListTask

    return ListTask.read(task)


def _repository_backup_task(task: Fields) -> Any:
    from backstay.agent.commands.repository_task import BackupTask

    return BackupTask.read(task)


def _discard_task(task: Fields) -> Any:
    from backstay.agent.target.directory import DiscardTask

    return DiscardTask.read(task)


def _check_task(task: Fields) -> Any:
    from backstay.agent.tree.check import CheckTask

    return CheckTask.read(task)


def _scrub_task(task: Fields) -> Any:
    from backstay.agent.commands.scrub import ScrubTask

    return ScrubTask.read(task)


def _restore_task(task: Fields) -> Any:
    from backstay.agent.commands.restore_task import RestoreTask

    return RestoreTask.read(task)


def _list_task(task: Fields) -> tuple[Where, Series | None]:
    return Where.read(task), series_of(task) if task.has("series") else None


def _points_task(task: Fields) -> Any:
    from backstay.agent.commands.points import PointsTask

    return PointsTask.read(task)


VERBS: Final[dict[str, tuple[Callable[[Fields], Any], Callable[[Any, Report], None]]]] = {
    "init": (Where.read, _init),
    "copy": (CopyTask.read, _copy),
    "relabel": (_points_task, _relabel),
    "prune": (_points_task, _prune),
    "list": (_list_task, _list),
    "verify-tree": (_check_task, _check),
    "scrub": (_scrub_task, _scrub),
    "restore": (_restore_task, _restore),
    "discard": (_discard_task, _discard),
    "repository-open": (_repository_open_task, _repository_open),
    "repository-list": (_repository_list_task, _repository_list),
    "repository-maintain": (_repository_maintain_task, _repository_maintain),
    "repository-find": (_repository_find_task, _repository_find),
    "repository-restore": (_repository_restore_task, _repository_restore),
    "repository-backup": (_repository_backup_task, _repository_backup),
}
