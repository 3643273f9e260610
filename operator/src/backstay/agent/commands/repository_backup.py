"""The verb repository-backup: store a source as a point, or find that it is stored already.

Invariants: the data comes first, and its record only once a listing shows the data as restic said
that it read it, with the dumps that were taken; whoever is killed before the record leaves data
that counts nothing, and whoever is killed after it finds the point again. So every try of a run may
be repeated, and none has to be cleaned up after before the next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from backstay.agent.commands.repository_task import BackupTask, full_record
from backstay.agent.restic.backup import Marks, Read, Wanted, store_data, store_record
from backstay.agent.restic.dumps import check_dumps, look_for_dumps
from backstay.agent.restic.engine import Restic
from backstay.agent.restic.opening import opened
from backstay.agent.restic.snapshots import read_snapshots
from backstay.agent.restic.source import open_source
from backstay.agent.results import answer
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.listing import Snapshot, parent_of
from backstay.domain.stores.repository.origins import origin_of
from backstay.domain.stores.repository.points import Content, Sorted, StoredPoint, sort
from backstay.domain.stores.repository.reasons import Reason
from backstay.domain.stores.repository.record import encode, to_json
from backstay.domain.stores.repository.top import Top


def repository_backup(task: BackupTask) -> dict[str, Any]:
    """Given what is to be stored, return the point. Raise RepositoryError if there is none."""
    with opened(task.repository) as found:
        restic = found.restic
        every = read_snapshots(restic).snapshots
        there = _sorted(task, every).points
        if there:
            return _answer("AlreadyStored", found.id, there[0])
        data, content, top = _store_data(restic, task, every)
        record = full_record(task.record, content, top)
        tags = task.record_tags(data.id, data.tree, encode(record))
        written = store_record(restic, to_json(record), Marks(task.host, tags, task.time))
        # What counts is what others will find, by the same rules.
        there_now = _sorted(task, _of_run(restic, task))
    for point in there_now.points:
        if point.record.id == written:
            return _answer("Stored", found.id, point)
    why = there_now.broken.get(written, "it is not listed")
    raise RepositoryError(
        Reason.FAILED, f"the record {written[:8]} was stored, and does not count: {why}"
    )


def _sorted(task: BackupTask, snapshots: Sequence[Snapshot]) -> Sorted:
    return sort(one for one in snapshots if one.is_of(task.run))


def _of_run(restic: Restic, task: BackupTask) -> tuple[Snapshot, ...]:
    return read_snapshots(restic, f"run={task.run}").snapshots


def _store_data(
    restic: Restic, task: BackupTask, every: Sequence[Snapshot]
) -> tuple[Snapshot, Content, Top]:
    source = task.source
    with open_source(source.root, source.path, require_mount=source.require_mount) as top:
        looked = Top.of(os.fstat(top.fd))
        dumps = look_for_dumps(top.fd, task.dumps)
        wanted = Wanted(
            source.exclude,
            partial=source.allow_unreadable,
            parent=parent_of(every, task.host, top.path),
        )
        read = store_data(restic, top, wanted, Marks(task.host, task.data_tags, task.time))
        _check_size(task, read.content)
        data = _listed(restic, task, read)
        check_dumps(restic, data.id, top.fd, task.dumps, dumps)
    return data, read.content, looked


def _listed(restic: Restic, task: BackupTask, read: Read) -> Snapshot:
    """The data as a listing shows it, which has to be what restic said that it read."""
    data = next((one for one in _of_run(restic, task) if one.id == read.snapshot), None)
    if data is None:
        raise RepositoryError(
            Reason.FAILED, f"the snapshot {read.snapshot[:8]} was stored, and is not listed"
        )
    there, said = (data.files, data.bytes), (read.content.files, read.content.bytes)
    if there != said:
        raise RepositoryError(
            Reason.FAILED,
            f"the snapshot {data.id[:8]} has {there[0]} files and {there[1]} bytes; restic read"
            f" {said[0]} and {said[1]}",
        )
    return data


def _check_size(task: BackupTask, content: Content) -> None:
    """Raise RepositoryError SourceShrunk if the source has lost too much. What cannot be read
    counts as there.
    """
    shrink = task.shrink
    if shrink.allow:
        return
    for name, now, before in (
        ("files", content.files + content.unreadable, shrink.files),
        ("bytes", content.bytes, shrink.bytes),
    ):
        if before is not None and now * 100 < before * shrink.percent:
            raise RepositoryError(
                Reason.SOURCE_SHRUNK,
                f"the source has {now} {name}, the newest point {before}: less than"
                f" {shrink.percent} % of it do not count as a point, unless that is allowed",
                files=content.files,
                bytes=content.bytes,
            )


def _answer(reason: str, repository: str, point: StoredPoint) -> dict[str, Any]:
    lacking = f", without {point.content.unreadable} entries" if point.content.unreadable else ""
    return answer(
        reason,
        f"{point.content.files} files are stored as {point.data.id[:8]}{lacking}",
        id=repository,
        data=point.data.id,
        record=point.record.id,
        tree=point.data.tree,
        time=point.data.time.isoformat(),
        attempt=point.attempt,
        source=origin_of(point.said),
        **point.content.to_json(),
    )
