"""Points that retention gives up, from the announcement in their Backups to the list without them.

Invariants: only what a Backup shows as Swept is forgotten, by the full ids of its record and its
data, the record first; what a person holds or a restore uses by then is not; it is gone when a list
does not show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointGone, PointStatus
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.points import is_held
from backstay.domain.run.status import with_point
from backstay.domain.stores.repository.kept import carried, is_living
from backstay.domain.stores.repository.users import Users

MOST: Final = 400
"""Points that one Job forgets: it takes two ids of each, and they have to fit into arguments."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Something of a repository is to be forgotten: whoever maintains it is to be woken."""

    namespace: str
    repository: str

    @property
    def name(self) -> str:
        """What it is called among the items of a pass: no point has a name with a space."""
        return f"repository {self.repository}"

    @property
    def patches(self) -> bool:
        """Nothing is written to a point for it."""
        return False

    @property
    def acts(self) -> bool:
        """Something is to be done."""
        return True

    @property
    def due(self) -> bool:
        """Nothing rests on claims that wait for a snapshot."""
        return False


@dataclass(frozen=True, slots=True)
class Announced:
    """A point that its Backup shows as Swept and that is there still."""

    run: Run
    entry: PointStatus

    @property
    def ids(self) -> tuple[str, str]:
        """Its snapshots, the record first: data without a record counts for nothing."""
        stored = self.entry.stored
        assert stored is not None  # noqa: S101 - only stored points are announced
        return stored.record, stored.data


def is_announced(entry: PointStatus) -> bool:
    """Given a point as a Backup shows it, return whether it is to be forgotten."""
    stored = entry.stored
    swept = is_living(entry) and entry.gone is PointGone.SWEPT
    return swept and stored is not None and not stored.missing


def announced(runs: Iterable[Run], repository: str, id: str, users: Users) -> list[Announced]:
    """Given the Backups of a namespace, a BackupRepository, the ID of its repository, and who uses
    its points, return those that are to be forgotten there, the first announced first, as many as
    one Job takes.
    """
    found = [
        Announced(run, entry)
        for run in runs
        if run.status.phase.final
        for entry in run.status.points
        if is_announced(entry) and entry.stored is not None
        if (entry.stored.repository, entry.stored.id) == (repository, id)
        if not is_held(carried(run, entry.stored))
        if users.of(run.name, entry.source, entry.stored) is None
    ]
    found.sort(key=lambda a: (a.entry.gone_at is not None, a.entry.gone_at, a.run.name))
    return found[:MOST]


def since(found: Sequence[Announced]) -> datetime | None:
    """Given what is to be forgotten, return since when something is."""
    return min((a.entry.gone_at for a in found if a.entry.gone_at), default=None)


def after(
    runs: Iterable[Run], id: str, gone: Collection[str], now: datetime
) -> list[tuple[Run, BackupStatus]]:
    """Given the Backups of a namespace, the ID of a repository, the snapshots that our Job has
    forgotten and now, return the Backups of which the status differs, and what it is to be.
    """
    found = []
    for run in runs:
        status = run.status
        for entry in status.points:
            stored = entry.stored
            if stored is None or stored.id != id or stored.missing:
                continue
            if {stored.record, stored.data} <= set(gone):
                # Ours, whatever was decided since: it is no loss.
                at = entry.gone_at if entry.gone is PointGone.SWEPT else now
                new = changed(stored, missing=True)
                swept = changed(entry, stored=new, gone=PointGone.SWEPT, gone_at=at, message=None)
                status = with_point(status, swept)
        if status is not run.status:
            found.append((run, status))
    return found
