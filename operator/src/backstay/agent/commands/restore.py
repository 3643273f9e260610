"""The verb restore: a point, or paths of it, to a new directory or in place.

Invariants: a new directory has its name only when it is whole, and nothing of one that failed
stays; in place nothing is touched before all that can be known to stand against it was looked at,
and what is there is a point of the same series; outside of what was chosen nothing changes; what
was restored is compared with the manifest before it is reported as there. What a person
acknowledged is passed over, and reported.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from types import FrameType
from typing import Any, Final

from backstay.agent.commands.restore_content import fill, fill_onto, wanted_of
from backstay.agent.commands.restore_task import RestoreTask
from backstay.agent.commands.safety_copy import keep_what_is_there
from backstay.agent.destination.layout import locked
from backstay.agent.destination.rot import insist_on_no_rot
from backstay.agent.destination.succession import continue_copies
from backstay.agent.fs.paths import DIRECTORY
from backstay.agent.fs.rsync import pattern_of
from backstay.agent.fs.syscalls import allow_open_files
from backstay.agent.results import answer, examples
from backstay.agent.target.above import Above
from backstay.agent.target.arrival import Arrived, compare
from backstay.agent.target.chosen import Chosen, choose, find_tree, sort_out_mounts
from backstay.agent.target.directory import (
    clear,
    insist_on_room_for_name,
    mounts_inside,
    new_directory,
    opened,
    opened_above,
)
from backstay.agent.target.need import Need, need_of
from backstay.domain import labels
from backstay.domain.errors import BackstayError, Transient, UserError
from backstay.domain.restore.acknowledgement import Word
from backstay.domain.stores.copies.points import RollingPoint

_LOST_FOUND: Final = b"lost+found"


def restore(task: RestoreTask, now: datetime) -> dict[str, Any]:
    """Given a task and now, restore and return the result.

    Raise UserError where the point, a path or the target is not as asked, DataError if it failed.
    """
    allow_open_files()
    with _ended_cleanly():
        with _reading(task):
            point = find_tree(task.folder, task.stamp)
            chosen = choose(task.folder, point.tree, task.paths, task.said)
            _insist_on_no_rot(task, point, chosen)
        if task.new_volume:
            return _restore_into_volume(task, point, chosen)
        if task.safety is None:
            with opened(task.root, task.path) as target:
                try:
                    insist_on_room_for_name(target)
                except UserError as error:
                    if error.reason != "TargetNotEmpty" or not _is_there(task, target.fd, chosen):
                        raise
                    return _restored(task, chosen, Arrived(), "; it was there already")
            return _restore_aside(task, point, chosen, "")
        with opened(task.root, task.path) as target:
            if not target.missing:
                return _restore_onto(task, target.fd, point, chosen, now)
        done = _restore_aside(task, point, chosen, "; nothing was there before")
        with opened(task.root, task.path) as target:
            done["message"] += continue_copies(task.where, point, target.fd)
        return done


def _is_there(task: RestoreTask, target: int, chosen: Chosen) -> bool:
    """Whether a target has all that is to be restored, as it has after a try that was killed when
    it had given it its name.
    """
    if not chosen.verifiable:
        return False
    wanted = wanted_of(chosen, chosen.above)
    try:
        # First without reading a byte: it is somebody else's directory most of the time.
        return all(
            next(compare(target, wanted, task.limits.processes, hashes=hashes), None) is None
            for hashes in (False, True)
        )
    except OSError:
        return False


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Have what was begun removed when the Job ends us; once, so that this is not ended too."""

    def stop(*_: int | FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Transient("the restore was asked to stop")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _reading(task: RestoreTask) -> Iterator[None]:
    """Hold the lock as one who only reads. A marker keeps writers from a disk that is not mounted:
    where the series' points are, a person may pass over that it is gone, unless the administrator
    says which one it must be.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(task.where, task.series, exclusive=False))
        except UserError as error:
            lost = error.reason == "DestinationNotInitialised" and not task.where.id
            if not lost or not task.folder.points.is_dir():
                raise
            task.said.pass_over(Word.NO_MARKER, error)
        yield


def _insist_on_no_rot(task: RestoreTask, point: RollingPoint, chosen: Chosen) -> None:
    if not chosen.verifiable:
        return  # nobody knows what it should be
    try:
        insist_on_no_rot(task.folder, point, chosen.listings, task.paths)
    except UserError as error:
        task.said.pass_over(Word.UNVERIFIED, error)


def _restored(
    task: RestoreTask, chosen: Chosen, arrived: Arrived, more: str, **fields: Any
) -> dict[str, Any]:
    where = task.path or task.root
    message = f"{task.stamp}: {chosen.count} entries at {where}{arrived.words}{more}"
    fields["notes"] = arrived.notes
    if chosen.spared:
        shown = ", ".join(examples(chosen.spared)["examples"])
        message += f"; left as it is, as it cannot go: {shown}"
    if task.said.used:
        message += task.said.in_words
        fields["acknowledged"] = dict(task.said.used)
    return answer("Restored", message, **fields)


def _restore_aside(
    task: RestoreTask, point: RollingPoint, chosen: Chosen, more: str
) -> dict[str, Any]:
    """Restore to a directory that is not there, or is empty."""
    with opened_above(task.root, task.path) as target, _reading(task):
        if len(target.missing) == 1:
            clear(target.fd, target.missing[-1])  # what is left of an earlier try takes room
        _insist_on_room(task, point, target.fd, chosen, onto=False)
        with new_directory(target) as fd:
            arrived = fill(task, point, fd, chosen, chosen.above, onto=False)
    return _restored(task, chosen, arrived, more)


def _restore_into_volume(task: RestoreTask, point: RollingPoint, chosen: Chosen) -> dict[str, Any]:
    """Restore to the root of a new volume, which is like the point afterwards, whatever a try that
    was killed has left there.
    """
    with opened(task.root, "") as target, _reading(task):
        # The file system's own: it is nobody's data, and comes back at the next check.
        is_own = os.fsdecode(_LOST_FOUND) in os.listdir(target.fd)
        spared = {_LOST_FOUND} - chosen.directories.keys() if is_own else ()
        chosen = replace(chosen, spared=tuple(spared))
        _insist_on_room(task, point, target.fd, chosen, onto=False)
        arrived = fill(task, point, target.fd, chosen, (), onto=False)
    return _restored(task, replace(chosen, spared=()), arrived, "")


def _insist_on_room(
    task: RestoreTask, point: RollingPoint, target: int, chosen: Chosen, *, onto: bool
) -> Need:
    top = os.stat(task.where.path)
    source = os.open(task.folder.data(point.tree), DIRECTORY)
    try:
        need = need_of(
            source,
            target,
            chosen.directories,
            chosen.files,
            onto=onto,
            spared=chosen.spared,
            forbidden=(top.st_dev, top.st_ino),
        )
    finally:
        os.close(source)
    try:
        need.check(task.field)
    except UserError as error:
        task.said.pass_over(Word.TOO_LITTLE_ROOM, error)
    return need


def _restore_onto(
    task: RestoreTask, target: int, point: RollingPoint, chosen: Chosen, now: datetime
) -> dict[str, Any]:
    """Restore over what is there, after a copy of that."""
    if task.safety is None:
        raise ValueError("in place needs the task of a copy")
    if os.path.samestat(os.fstat(target), os.stat(task.where.path)):
        raise UserError(
            "TargetIsDestination",
            "spec.directory: the directory has the copies themselves now; mount what belongs there",
        )
    Above.of(target, chosen.paths)
    with _reading(task):
        spared = sort_out_mounts(chosen, target, mounts_inside(target), task.said)
        chosen = replace(chosen, spared=spared)
        need = _insist_on_room(task, point, target, chosen, onto=True)
    chosen = replace(chosen, spared=(*spared, *need.destination), removes_first=need.removes_first)
    left_out = tuple(os.fsdecode(pattern_of(path)) for path in chosen.spared)
    safety = keep_what_is_there(replace(task.safety, exclude=left_out), task.said, now)
    fields = {"safety": safety["point"], "safetyNotes": safety.get("notes", {})} if safety else {}
    more = _safety_in_words(safety)
    with _reading(task):
        find_tree(task.folder, task.stamp)
        try:
            arrived = fill_onto(task, point, target, chosen)
        except Transient:
            raise
        except (BackstayError, OSError) as error:
            reason = error.reason if isinstance(error, UserError) else "Failed"
            if safety is None:
                # No further try: it would keep what this one leaves as what was there before.
                state = f"{_way_back(task, safety)}{task.said.in_words}"
                raise UserError(reason, f"{error}{state}") from error
            fields |= {"acknowledged": dict(task.said.used)} if task.said.used else {}
            return answer(reason, f"{error}{_way_back(task, safety)}", ok=False, **fields)
    if not chosen.paths:
        more += continue_copies(task.where, point, target)
    return _restored(task, chosen, arrived, more, **fields)


def _safety_in_words(safety: dict[str, Any] | None) -> str:
    if safety is None:
        return ""
    more = ""
    if unread := safety["point"].get("unreadable"):
        shown = ", ".join(unread["examples"])
        more += f"; the copy of what was there lacks {unread['count']} entries: {shown}"
    if as_files := safety.get("notes", {}).get("databasesAsFiles"):
        more += (
            f"; in the copy of what was there {as_files['count']} databases are the files that were"
            f" there, as they could not be read as of one moment: {', '.join(as_files['examples'])}"
        )
    return more


def _way_back(task: RestoreTask, safety: dict[str, Any] | None) -> str:
    """What a failure in the middle says of the state that it leaves."""
    state = "; the directory has only a part of the point now: create the request again"
    if safety is None or task.safety is None:
        return f"{state}; of what was there before there is no copy"
    backup = task.safety.labels.get(labels.BACKUP, "")
    named = f" (spec.from.backup: {backup})" if backup else ""
    return f"{state}, or restore what was there before, point {safety['point']['stamp']}{named}"
