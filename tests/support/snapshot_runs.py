"""Runs while their snapshots are taken and become ready."""

from __future__ import annotations

from tests.support.builders import (
    NOW,
    dump_status,
    minutes,
    plan,
    planned_dump,
    point_status,
    status,
)

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.point import PointResult, PointStatus
from backstay.domain.run.values import Decision

TAKING = status(BackupPhase.SNAPSHOTTING)
ASKED = changed(TAKING, points=(point_status(),))
DUMPED = changed(
    ASKED,
    plan=plan(dumps=(planned_dump(),)),
    dumps=(dump_status(state=DumpState.DONE),),
)
UPLOADING = status(
    BackupPhase.UPLOADING, points=(point_status(taken_at=NOW - minutes(1), content="content-1"),)
)


def the_point(decision: Decision) -> PointStatus:
    """Given a decision on a run of one point, return that."""
    (entry,) = decision.status.points
    return entry


def results(decision: Decision) -> list[PointResult]:
    """Given a decision, return the result of each point."""
    return [p.result for p in decision.status.points]
