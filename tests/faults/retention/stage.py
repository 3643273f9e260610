"""Where worlds are lived in: processes, the proxies between them and the API server, and disks.

pytest does not explain the asserts of this module, so they say themselves what they found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.faults.retention.world import World
from tests.support import lives
from tests.support.disks import Disks
from tests.support.fault_proxy import Call, FaultProxy, Point

from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.domain.stores.snapshots.orphans import Census
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

T = TypeVar("T")
AT_ONCE = 6
"""Worlds side by side: they wait for the API server more than for their processes."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a life needs."""

    client: Client
    credentials: Login
    disks: Disks
    folder: Path

    async def new_world(self, *, in_use: bool = True) -> World:
        world = World.new(self.client)
        await world.make(in_use=in_use)
        return world

    def proxy(self) -> FaultProxy:
        return FaultProxy(self.credentials)

    def start(self, world: World, proxy: FaultProxy) -> lives.Life:
        """Given a world and the way to it, start a life in it."""
        # Sweeps are ended for the whole cluster; here each world has a process of its own for that.
        proxy.shown["volumesnapshotcontents"] = f"world={world.namespace}"
        kubeconfig = proxy.write_kubeconfig(self.folder / proxy.url.rpartition(":")[2])
        return lives.start(kubeconfig, world.namespace, world.policy)

    async def finish(self, world: World) -> None:
        """Given a world, let a new process with nothing in its way end what there is to do; the
        one after it finds nothing to write.
        """
        for which in ("next", "last"):
            async with self.proxy() as proxy:
                code = await lives.ended(self.start(world, proxy))
                assert code == 0, f"the {which} process ended with {code}"
        assert proxy.writes == [], f"written again: {', '.join(map(str, proxy.writes))}"

    async def check_disks(
        self, world: World, kept: Iterable[str] = (), orphans: Iterable[str] = ()
    ) -> None:
        """The snapshots and disks that were due are gone, once each, and no others; of orphans
        the disk stays.
        """
        await self.disks.settled()
        stay = (*kept, *orphans)
        due = sorted(world.content_name(name) for name in world.DUE_DISKS if name not in stay)
        deleted = sorted(self.disks.deleted.get(world.namespace, []))
        assert deleted == due, f"disks deleted: {deleted}, due: {due}"
        due = sorted(name for name in world.DUE if name not in kept)
        lost = sorted(self.disks.lost.get(world.namespace, []))
        assert lost == due, f"snapshots deleted: {lost}, due: {due}"


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A world in which nothing went wrong: the writes of a pass, and what they led to."""

    world: World
    writes: list[Point]
    end: dict[str, Any]

    def point_in(self, world: World, point: Point) -> Point:
        """Given another world and a point of this one, return the same point there."""
        return point.renamed(self.world.namespace, world.namespace)

    def object_of(self, point: Point) -> str:
        """Given a point of this world, return the name of its object without the namespace."""
        return point.call.name.removeprefix(f"{self.world.namespace}-")

    def of(self, names: Collection[str]) -> list[Point]:
        """Given names, return the writes to these objects."""
        found = [point for point in self.writes if self.object_of(point) in names]
        assert {self.object_of(point) for point in found} == set(names)
        return found

    async def check(self, world: World, *without: str) -> None:
        """Given a world that has come to its end, see that it is as this one; what has one of
        `without` in its name is left out.
        """
        found = {k: v for k, v in (await world.state()).items() if not _of(k, without)}
        end = {k: v for k, v in self.end.items() if not _of(k, without)}
        differ = [
            f"{key}: {found.get(key)} instead of {end.get(key)}"
            for key in sorted(found.keys() | end.keys())
            if found.get(key) != end.get(key)
        ]
        assert not differ, "; ".join(differ)


def _of(key: str, names: Iterable[str]) -> bool:
    return key.endswith(tuple(f"{mark}{name}" for name in names for mark in (" ", "-")))


def unproven(world: World, life: FaultProxy) -> set[str]:
    """Given a world and the way of a life that was killed in it, return the due snapshots of
    which it sent the DELETE, and had no answer to the proof of it.
    """
    written = [point.call for point in life.writes]
    found = set()
    for name in world.DUE:
        delete = Call("delete", VOLUME_SNAPSHOT.plural, "", world.namespace, name)
        content = world.content_name(name)
        since = written[written.index(delete) :] if delete in written else []
        if life.was_asked(delete) and all(call.name != content for call in since):
            found.add(name)
    return found


async def check_orphan(stage: Stage, world: World, name: str) -> None:
    """Given a content whose snapshot is gone without a proof, see that nothing touched it."""
    content = await stage.client.get(VOLUME_SNAPSHOT_CONTENT, world.content_name(name))
    assert labels.SWEPT not in objects.labels(content), f"{name}: proven by nobody"
    assert dig(content, "spec", "deletionPolicy") == "Retain", f"{name}: not Retain"
    assert not dig(content, "metadata", "deletionTimestamp"), f"{name}: it is going"
    census = Census()
    census.see_content(content)
    assert [s.name for s in census.suspects()] == [name], f"{name}: no orphan"


async def undisturbed(stage: Stage, *, in_use: bool = True) -> Undisturbed:
    world = await stage.new_world(in_use=in_use)
    async with stage.proxy() as proxy:
        assert await lives.ended(stage.start(world, proxy)) == 0
        writes = list(proxy.writes)
        assert proxy.refused == [], f"it lost to itself: {', '.join(map(str, proxy.refused))}"
    await stage.check_disks(world)
    return Undisturbed(world, writes, await world.state())


async def at_each(points: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Given points and what to do with each in a world of its own, do it a few at a time. Raise
    AssertionError with what went wrong at which.
    """
    free = asyncio.Semaphore(AT_ONCE)
    failures: list[str] = []

    async def one(point: T) -> None:
        async with free:
            try:
                await work(point)
            except AssertionError as error:
                failures.append(f"{point}: {error}")

    async with asyncio.TaskGroup() as group:
        for point in points:
            group.create_task(one(point))
    assert not failures, "\n".join(failures)
