"""Which snapshot of a Backup a claim is restored from."""

from __future__ import annotations

import pytest

from backstay.api.backup import BackupPhase
from backstay.api.point import PointResult, PointStatus
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.errors import UserError
from backstay.domain.stores.snapshots.restore import find_snapshot

DONE, QUEUED, FAILED = BackupPhase.COMPLETED, BackupPhase.QUEUED, BackupPhase.FAILED


def point(
    source: str, result: PointResult = PointResult.GOOD, store: str = SNAPSHOT
) -> PointStatus:
    return PointStatus(source=source, store=store, ref=f"{source}-1", attempt=1, result=result)


def find(phase: BackupPhase, *points: PointStatus) -> str:
    return find_snapshot("data", "b", phase, points, store="Snapshot", message="why")


def test_the_good_snapshot_of_the_claim_is_found() -> None:
    assert find(DONE, point("logs"), point("data")) == "data-1"


@pytest.mark.parametrize(
    ("phase", "points", "reason", "words"),
    [
        (QUEUED, [point("data")], "BackupNotFinished", "create the request again when it is"),
        (FAILED, [point("data", PointResult.FAILED)], "BackupFailed", "no good point: why"),
        (DONE, [point("data", store=ROLLING)], "BackupFailed", "no good point"),
        (DONE, [point("logs")], "ClaimNotInBackup", "no good point of claim data, only of logs"),
    ],
)
def test_a_backup_without_it_is_refused_and_names_the_way_by_the_snapshot_itself(
    phase: BackupPhase, points: list[PointStatus], reason: str, words: str
) -> None:
    with pytest.raises(UserError) as refused:
        find(phase, *points)

    assert refused.value.reason == reason
    assert words in refused.value.message
    assert "set from.volumeSnapshot to it" in refused.value.message
