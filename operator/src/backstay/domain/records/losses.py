"""Good points of a store that are gone although nothing of ours removed them, as records say.

Invariants: what is reported is what the records say, not what a pass sees: a pass that lost a race
reports nothing. `Missing` ends only with the point's return or a person's word. A plan that a
person accepts keeps its hash until all of it is accepted, however often the process dies on the
way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from backstay.api.backup import BackupStatus
from backstay.api.common import format_time
from backstay.api.point import PointGone, PointResult, PointStatus
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Held
from backstay.domain.retention.missing import missing_plan


def is_watched(entry: PointStatus, store: str) -> bool:
    """Given a point as a Backup shows it and a store, return whether its loss would be one of that
    store: it was good there.
    """
    return entry.result is PointResult.GOOD and entry.store == store and bool(entry.ref)


def missing(runs: Iterable[Run], store: str) -> dict[str, list[PointStatus]]:
    """Given finished Backups, return the points of a store that are missing, as they say, by
    source.
    """
    found: dict[str, list[PointStatus]] = {}
    for run in runs:
        for entry in run.status.points:
            if entry.store == store and entry.gone is PointGone.MISSING:
                found.setdefault(entry.source, []).append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: entry.ref or "")
    return found


def held(runs: Sequence[Run], store: str) -> list[tuple[Held, str]]:
    """Given finished Backups, return by source what is missing of a store as they say and the plan
    that accepts it, with the first one and why it is missing.
    """
    found = missing(runs, store)
    plans = _plans(runs, store) if found else {}
    return [
        (
            Held(source, marks=len(entries), size=len(entries), plan=plans[source]),
            f"{entries[0].ref}: {entries[0].message}",
        )
        for source, entries in sorted(found.items())
    ]


def accepted(
    runs: Sequence[Run], store: str, released: Collection[str]
) -> frozenset[tuple[str, str]]:
    """Given finished Backups and the plans that a person released, return source and name of the
    points of a store that are taken for gone.
    """
    if not released:
        return frozenset()
    plans = _plans(runs, store)
    return frozenset(
        (source, entry.ref or "")
        for source, entries in missing(runs, store).items()
        for entry in entries
        if plans[source] in released
    )


def unsettled(statuses: Iterable[tuple[Run, BackupStatus]], store: str) -> set[str]:
    """Given finished Backups with the status that each is to show, return the uids of those with a
    good point of a store that is neither swept nor accepted. As long as any is still being
    accepted, none is: the hash of the plan must stay.
    """
    kept, accepted, accepting = set[str](), set[str](), False
    for run, status in statuses:
        for before, entry in zip(run.status.points, status.points, strict=True):
            if not is_watched(entry, store):
                continue
            if entry.gone is PointGone.ACCEPTED:
                accepted.add(run.uid)
                accepting = accepting or before.gone is not PointGone.ACCEPTED
            elif entry.gone is not PointGone.SWEPT:
                kept.add(run.uid)
    return kept | accepted if accepting else kept


def _plans(runs: Iterable[Run], store: str) -> dict[str, str]:
    """The hash of what is missing, by source. What was accepted counts on, so that the hash stays
    while the plan is carried out; the time distinguishes one loss from a later one of the same
    points.
    """
    names: dict[str, list[str]] = {}
    for run in runs:
        for entry in run.status.points:
            if entry.store == store and entry.gone in (PointGone.MISSING, PointGone.ACCEPTED):
                since = format_time(entry.gone_at) if entry.gone_at else ""
                names.setdefault(entry.source, []).append(f"{entry.ref}@{since}")
    return {source: missing_plan(found) for source, found in names.items()}
