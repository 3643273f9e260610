"""Two operators that both believe to lead, and a person who edits between their steps.

One process has read, and stands before a write; meanwhile the other one does all that there is to
do. What the first one then writes is stale: it must be refused, or do no harm.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from tests.faults.retention.stage import Stage, Undisturbed, at_each, undisturbed
from tests.faults.retention.world import World
from tests.support import lives
from tests.support.fault_proxy import Call, Point, meet
from tests.support.sampling import sampled
from tests.support.waiting import within

from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

MINE = {labels.HOLD: "true", "team": "red"}
RACES = 8
OBJECTS = frozenset({
    "newest", "kept-again", "usurper", "user-gone", "expired", "shared", "half-swept",
    "backup-expired", "backup-empty-oldest", "backup-vanished",
})  # fmt: skip
"""One of each kind: others take the same writes."""
HELD = frozenset({
    "usurper", "to-mark", "orphaned", "user-gone", "adhoc-over", "expired", "shared"
})  # fmt: skip
DELAYS = (0.0, 0.02, 0.005, 0.04, 0.01)
"""Seconds before each write, in turn: of two processes now one is first, now the other."""


async def test_who_stands_before_any_write_while_another_does_the_work_harms_nothing(
    stage: Stage,
) -> None:
    expected = await undisturbed(stage)

    async def late_at(point: Point) -> None:
        world = await stage.new_world()
        async with stage.proxy() as slow, stage.proxy() as quick:
            hold = slow.hold_at(expected.point_in(world, point))
            late = stage.start(world, slow)
            async with within(180, f"the late process to come to {point}"):
                await hold.reached.wait()
            assert await lives.ended(stage.start(world, quick)) == 0
            hold.go_on.set()
            assert await lives.ended(late) == 0
        await stage.finish(world)
        await stage.check_disks(world)
        await expected.check(world)

    await at_each(sampled(expected.of(OBJECTS)), late_at)


async def test_a_hold_set_by_hand_before_any_write_to_a_point_keeps_it_from_both(
    stage: Stage,
) -> None:
    expected = await undisturbed(stage)
    edited: list[str] = []

    async def held_at(point: Point) -> None:
        world = await stage.new_world()
        here = expected.point_in(world, point)
        async with stage.proxy() as slow, stage.proxy() as quick:
            hold = slow.hold_at(here)
            late = stage.start(world, slow)
            async with within(180, f"the late process to come to {point}"):
                await hold.reached.wait()
            name = expected.object_of(point)
            by_hand = await _hold(stage.client, world, name)
            assert await lives.ended(stage.start(world, quick)) == 0
            hold.go_on.set()
            assert await lives.ended(late) == 0
        await stage.finish(world)
        if by_hand:
            edited.append(name)
            await _check_held(stage, world, name, expected)
        else:  # Its snapshot was gone: too late, and no harm.
            await stage.check_disks(world)
            await expected.check(world)

    points = sampled(expected.of(HELD))
    await at_each(points, held_at)
    # Before a write to a snapshot that is there, a person always comes in time.
    in_time = [p for p in points if p.call.resource == VOLUME_SNAPSHOT.plural]
    assert in_time
    assert {expected.object_of(point) for point in in_time} <= set(edited) <= HELD


async def test_who_read_a_snapshot_before_its_sweep_does_not_keep_its_disk(stage: Stage) -> None:
    """Snapshots are read before contents: in between a whole sweep may come to the disk."""
    expected = await undisturbed(stage)
    world = await stage.new_world()
    disk = world.content_name("expired")
    driver = stage.disks.hold(disk)
    look = Call("get", VOLUME_SNAPSHOT_CONTENT.plural, "", "", disk)
    async with stage.proxy() as slow, stage.proxy() as quick:
        reads, reads_again = slow.hold_at(Point(look)), slow.hold_at(Point(look, 2))
        both = [stage.start(world, slow)]
        async with within(180, "the slow process to read the content"):
            await reads.reached.wait()
        both.append(stage.start(world, quick))
        async with within(180, "the driver to delete the disk"):
            await driver.reached.wait()
        reads.go_on.set()
        async with within(180, "the slow process to read the content again"):
            await reads_again.reached.wait()
        driver.go_on.set()
        reads_again.go_on.set()
        assert [await lives.ended(life) for life in both] == [0, 0]
    await stage.finish(world)
    await stage.check_disks(world)
    await expected.check(world)


async def _hold(client: Client, world: World, name: str) -> bool:
    """A person labels a snapshot, if it is there and not going."""
    snapshot = await client.find(VOLUME_SNAPSHOT, name, world.namespace)
    if snapshot is None or dig(snapshot, "metadata", "deletionTimestamp"):
        return False
    patch = {"metadata": {"resourceVersion": objects.version(snapshot), "labels": MINE}}
    await client.patch(VOLUME_SNAPSHOT, name, world.namespace, patch)
    return True


async def _check_held(stage: Stage, world: World, name: str, expected: Undisturbed) -> None:
    """A point that a person holds is there with the person's labels; all else is as ever."""
    await stage.check_disks(world, kept=[name])
    snapshot = await stage.client.get(VOLUME_SNAPSHOT, name, world.namespace)
    assert MINE.items() <= objects.labels(snapshot).items()
    assert labels.MARKED_AT not in objects.annotations(snapshot)
    content = await stage.client.get(VOLUME_SNAPSHOT_CONTENT, world.content_name(name))
    assert labels.SWEPT not in objects.labels(content)
    assert objects.labels(content)[labels.HOLD] == "true"
    await expected.check(world, name)


async def test_two_that_race_through_the_same_world_end_with_the_same_world(stage: Stage) -> None:
    expected = await undisturbed(stage)

    async def race(start: int) -> None:
        world = await stage.new_world()
        async with stage.proxy() as one, stage.proxy() as two:
            one.before_write, two.before_write = delays(start), delays(start + 2)
            holds = [proxy.hold_at(first_write(world, "expired")) for proxy in (one, two)]
            both = [stage.start(world, one), stage.start(world, two)]
            await meet(holds)  # a slow machine may start one when the other has ended
            assert [await lives.ended(life) for life in both] == [0, 0]
            assert one.refused or two.refused, "who met did not compete"
        await stage.finish(world)
        await stage.check_disks(world)
        await expected.check(world)

    await at_each(range(RACES), race)


def first_write(world: World, name: str) -> Point:
    """The first write of a sweep."""
    return Point(Call("delete", VOLUME_SNAPSHOT.plural, "", world.namespace, name))


def delays(start: int) -> Callable[[Call], Awaitable[None]]:
    times = itertools.cycle(DELAYS[start % len(DELAYS) :] + DELAYS[: start % len(DELAYS)])

    async def delay(_: Call) -> None:
        await asyncio.sleep(next(times))

    return delay
