"""Bring what is restored to its place, and compare it with the manifest.

Invariants: above the chosen paths nothing changes but what is missing; what is not as recorded is a
failure, unless a person may pass that over and did.
"""

# ruff: noqa: N818 - an error is named after what it is about, as in domain/errors.py

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from backstay.agent.commands.restore_task import RestoreTask
from backstay.agent.fs import attributes
from backstay.agent.fs.abilities import EVERYTHING
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent
from backstay.agent.fs.probe import probe
from backstay.agent.fs.rsync import push
from backstay.agent.fs.sqlite import SIBLINGS, is_database
from backstay.agent.results import examples
from backstay.agent.target.above import Above
from backstay.agent.target.arrival import Arrived, arrive
from backstay.agent.target.chosen import Chosen
from backstay.agent.target.directory import FIELD, make_whole
from backstay.agent.target.wanted import Wanted
from backstay.domain.errors import DataError
from backstay.domain.restore.acknowledgement import Word
from backstay.domain.stores.copies.points import RollingPoint

_PROBE: Final = ".backstay-probe"


class Different(DataError):
    """What was restored is not what was recorded."""


def wanted_of(chosen: Chosen, made: Collection[bytes]) -> Wanted:
    """Given what was chosen, and the directories above it that are made for it, return what is to
    be there.
    """
    above = {path: chosen.above[path] for path in made}
    return Wanted(chosen.directories, {**above, **chosen.tops, **chosen.files})


def fill_onto(task: RestoreTask, point: RollingPoint, target: int, chosen: Chosen) -> Arrived:
    """Given a target that is there, bring what was chosen into it, and make only what is missing
    above that; return how it is then. Raise DataError if it failed.
    """
    above = Above.of(target, chosen.paths)
    source = os.open(task.folder.data(point.tree), DIRECTORY)
    try:
        for path in above.missing:
            _make_as_in_point(source, target, path, chosen)
    finally:
        os.close(source)
    try:
        arrived = fill(task, point, target, chosen, above.missing, onto=True)
    finally:
        above.put_back(target)
    new = Descent(target)
    for path in reversed(above.missing):
        mtime = chosen.above[path].stat.mtime
        os.utime(new(path), ns=(mtime, mtime))
    new.close()
    return arrived


def _make_as_in_point(source: int, target: int, path: bytes, chosen: Chosen) -> None:
    parent, _, name = path.rpartition(b"/")
    old, new = Descent(source), Descent(target)
    with make_whole(new(parent), name) as fd:
        set_metadata(fd, chosen.above[path].stat, attributes.read(old(path)), fresh=False)
    old.close()
    new.close()


def fill(
    task: RestoreTask,
    point: RollingPoint,
    target: int,
    chosen: Chosen,
    made: Collection[bytes],
    *,
    onto: bool,
) -> Arrived:
    """Given an open target, bring the content of what was chosen and then the rest, and return how
    it is then; `made`: directories above the chosen paths that are made for them; `onto`: the
    target has files already. Raise DataError if it failed.
    """
    # What is restored in place came from there.
    able = EVERYTHING if onto else probe(Path(f"/proc/self/fd/{target}"), _PROBE, FIELD)
    source = os.open(task.folder.data(point.tree), DIRECTORY)
    try:
        if onto:
            _drop_logs(source, target, chosen)
        said = push(
            source,
            target,
            chosen.paths,
            onto=onto,
            bandwidth=task.limits.bandwidth,
            spared=chosen.spared,
            removes_first=chosen.removes_first,
            everything=not chosen.verifiable,
            able=able,
        )
        if not chosen.verifiable:
            if said:
                task.said.pass_over(Word.UNVERIFIED, Different(f"rsync says: {said}"))
            return Arrived()
        wanted = wanted_of(chosen, made)
        arrived = arrive(target, source, wanted, task.limits.processes, able)
    finally:
        os.close(source)
    _insist_on_arrival(task, chosen, arrived, said)
    return arrived


def _insist_on_arrival(task: RestoreTask, chosen: Chosen, arrived: Arrived, said: str) -> None:
    """Raise DataError if an entry is not as recorded; `said`: what rsync says of entries."""
    left = {path + b": not in the manifest" for path in _spared_and_above(chosen)}
    if found := [line for line in arrived.failures if line not in left]:
        shown = ", ".join(examples(found)["examples"])
        why = f"{len(found)} entries are not as recorded after the restore: {shown}"
        why += f"; rsync says: {said}" if said else ""
        task.said.pass_over(Word.UNVERIFIED, Different(why))


def _drop_logs(source: int, target: int, chosen: Chosen) -> None:
    """Remove the logs of databases that are about to be restored one by one: SQLite would replay
    what is there over what was restored. Below a chosen directory, rsync removes them.

    A log that the point has is an empty one (others are in the database's copy), so it is no reason
    to leave the target's.
    """
    old, new = Descent(source), Descent(target)
    for path in chosen.files:
        parent, _, name = path.rpartition(b"/")
        if not is_database(name, old(parent)):
            continue
        for suffix in SIBLINGS:
            if path + suffix in chosen.files:
                continue
            try:
                os.unlink(name + suffix, dir_fd=new(parent))
            except OSError as error:
                # No such file or directory, or a directory: SQLite takes that for no log.
                if error.errno not in {*VANISHED, errno.EISDIR}:
                    raise
    old.close()
    new.close()


def _spared_and_above(chosen: Chosen) -> Iterator[bytes]:
    for path in chosen.spared:
        while path:
            yield path
            path = os.path.dirname(path)  # noqa: PLW2901 - upwards
