"""Policies with a repository on a real API server, with the real agent and restic; the driver and
the node are the test's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.copy_methods import temporary
from tests.support.repositories import NAME
from tests.support.rolling_world import World
from tests.support.uploads import Uploads, point, uploads_of


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


async def test_a_run_is_completed_when_its_snapshot_is_in_the_repository_with_a_record(
    uploads: Uploads, world: World, tmp_path: Path
) -> None:
    await uploads.begin()

    done = await uploads.run()

    assert done["status"]["phase"] == "Completed", done["status"]["points"]
    snapshot, stored = point(done, "Snapshot"), point(done)
    assert (snapshot["result"], stored["result"]) == ("good", "good")
    assert stored["takenAt"] == snapshot["takenAt"]
    assert stored["bytes"] == 3
    said = stored["stored"]
    assert (said["repository"], said["files"]) == (NAME, 1)
    assert said["newBytes"] > 0
    (data,), (record,) = await uploads.snapshots(), await uploads.snapshots("backstay-point")
    assert (said["data"], said["record"], said["tree"]) == (data["id"], record["id"], data["tree"])
    assert stored["ref"] == data["short_id"]
    assert data["hostname"] == f"{world.namespace}/data"
    assert {"policy=offsite", "claim=data"} <= set(data["tags"])
    folder = await uploads.restored(data["id"], tmp_path / "restored")
    assert next(folder.rglob("a")).read_text() == "one"
    # What was uploaded was a claim made of the snapshot, and it is gone.
    assert len(world.storage.made) == len(uploads_of(world)) == 1
    assert await temporary(world) == []
    assert world.storage.too_early == []
