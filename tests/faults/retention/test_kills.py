"""A retention pass and its sweeps are killed at every write, on a real API server.

The process is real and so is its SIGKILL. Whatever it left, the next one ends with the world that
an undisturbed one leaves, and takes exactly the disks that were due, each once. But for one window:
where the process died between the DELETE of a snapshot and its proof, and the snapshot is gone
before the next one looks, the content stays as an orphan, with its disk and its record.
"""

from __future__ import annotations

from functools import partial

import pytest
from tests.faults.retention.stage import Stage, at_each, check_orphan, undisturbed, unproven
from tests.faults.retention.world import HERE, World
from tests.support import lives
from tests.support.fault_proxy import Moment, Point
from tests.support.sampling import sampled

from backstay.domain import labels
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT


async def test_an_undisturbed_pass_does_all_that_a_pass_can_do(stage: Stage) -> None:
    before = await (await stage.new_world()).state()
    found = await undisturbed(stage)

    assert {(p.call.verb, p.call.resource, p.call.subresource) for p in found.writes} == {
        ("patch", "volumesnapshots", ""),
        ("patch", "volumesnapshotcontents", ""),
        ("patch", "backups", "status"),
        ("patch", "backuppolicies", "status"),
        ("delete", "volumesnapshots", ""),
        ("delete", "volumesnapshotcontents", ""),
        ("delete", "backups", ""),
    }
    gone = {key.replace(f"{HERE}-", "") for key in before.keys() - found.end.keys()}
    assert gone == {
        *(f"VolumeSnapshot {name}" for name in found.world.DUE),
        *(f"VolumeSnapshotContent {name}" for name in (*found.world.DUE, "half-swept")),
        *(f"Backup backup-{name}" for name in ("expired", "adhoc-over", "empty-oldest")),
    }
    carried = {
        key.removeprefix("VolumeSnapshot "): obj["labels"]
        for key, obj in found.end.items()
        if key.startswith("VolumeSnapshot ")
    }
    assert {n for n, c in carried.items() if labels.DAILY in c} == {
        "newest",
        "settled",
        "kept-again",
    }
    assert {n for n, c in carried.items() if labels.DELETE_AFTER in c} == {
        "usurper",
        "to-mark",
        "in-grace",
        "foreign",
        "failed-old",
        "in-use",
        "adhoc-kept",
        "adhoc-4",
        "adhoc-5",
        "adhoc-13",
        "adhoc-14",
        "malformed",
    }
    assert carried["orphaned"][labels.RESULT] == "failed"
    records = {
        key.removeprefix("Backup "): obj["status"]["phase"]
        for key, obj in found.end.items()
        if key.startswith("Backup ")
    }
    assert [name for name, phase in records.items() if phase == "Gone"] == ["backup-vanished"]
    reported = {c["type"]: c for c in found.end[f"BackupPolicy {HERE}"]["status"]["conditions"]}
    assert reported["PointsMissing"]["message"].startswith(
        "claim data: 1 good point is missing, first vanished: "
    )


@pytest.mark.parametrize("moment", Moment)
async def test_killed_at_any_write_the_next_process_ends_with_the_same_world(
    stage: Stage, moment: Moment
) -> None:
    expected = await undisturbed(stage)

    async def killed_at(point: Point) -> None:
        world = await stage.new_world()
        async with stage.proxy() as proxy:
            life = stage.start(world, proxy)
            proxy.kill_at(expected.point_in(world, point), moment, partial(lives.kill, life))
            code = await lives.ended(life)
            # After the answer to its last write there may be nothing left to be killed for.
            over = moment is Moment.ANSWERED and len(proxy.writes) == len(expected.writes)
            assert code == lives.KILLED or (over and code == 0), "it never came to that write"
            window = unproven(world, proxy)
        if moment is not Moment.BEFORE and point.call.verb == "delete" and _is_due(point):
            assert point.call.name in window
        await stage.finish(world)
        left = {name for name in window if await _is_left(stage, world, name)}
        for name in left:
            await check_orphan(stage, world, name)
        await stage.check_disks(world, orphans=left)
        await expected.check(world, *left)

    await at_each(sampled(expected.writes), killed_at)


def _is_due(point: Point) -> bool:
    return point.call.resource == VOLUME_SNAPSHOT.plural and point.call.name in World.DUE


async def _is_left(stage: Stage, world: World, name: str) -> bool:
    """Whether the content of a point is there. Its snapshot may have lingered until the next
    process saw that it goes while it is due.
    """
    content = world.content_name(name)
    return await stage.client.find(VOLUME_SNAPSHOT_CONTENT, content) is not None
