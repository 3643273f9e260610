"""The dumps that a point has inside, by what it is made of."""

from __future__ import annotations

from backstay.api.backup import BackupStatus
from backstay.api.dump_status import DumpState, DumpStatus
from backstay.api.point import PointStatus
from backstay.domain.jobs import DumpWish
from backstay.domain.run.status import claim_of, first_origin_of, plan_of


def dumps_inside(status: BackupStatus, entry: PointStatus) -> tuple[DumpStatus, ...]:
    """Given a run and a point of it, return the dumps that are to be in what it is made of."""
    claim = claim_of(plan_of(status), *entry.key)
    first = first_origin_of(status, *entry.key)
    attempt = first.attempt if first is not None else entry.attempt
    return tuple(
        d
        for d in status.dumps
        if d.claim == claim and d.attempt == attempt and d.state is DumpState.DONE
    )


def dump_wishes(status: BackupStatus, entry: PointStatus, path: str) -> tuple[DumpWish, ...]:
    """Given a run, a point of it and the directory of the claim that it is of ("": all of it),
    return the dumps that lie below that, as they were when they were done.
    """
    below = f"{path}/" if path else ""
    return tuple(
        DumpWish(d.name, d.path.removeprefix(below), d.sha256)
        for d in dumps_inside(status, entry)
        if d.sha256 is not None and d.path.startswith(below)
    )
