"""An operator and a node that work while somebody types commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.support.rolling_world import World

from backstay.domain import objects
from backstay.engine.queue import Key
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    BACKUP_REPOSITORY,
    RESTORE_REQUEST,
    Resource,
)
from backstay.reconcile import keys

WATCHED: tuple[tuple[Resource, Callable[[str, str], Key]], ...] = (
    (BACKUP_REPOSITORY, keys.repository),
    (BACKUP_POLICY, keys.policy),
    (BACKUP, keys.backup),
    (RESTORE_REQUEST, keys.restore),
)


@asynccontextmanager
async def operating(world: World) -> AsyncIterator[None]:
    """Have the operator look at all there is in the namespace, and the node run its Jobs, again and
    again while the block does.
    """
    over = asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            for resource, key in WATCHED:
                for obj in await world.client.list(resource, world.namespace):
                    world.add(key(world.namespace, objects.name(obj)))
            await world.step()
            await world.storage.step(world.namespace)
            await world.node.run()

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        over.set()
        await working
