"""Look at everything: the keys of all work that there could be, for the resync.

One paged LIST per kind. Retention is planned here on what was read, and only the policies whose
plan is not idle get a pass, which reads again: so what is stale here costs a look and no more.
A plan that was idle is not made again within the hour, unless an object that it rests on changed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Sequence

from backstay.api.backup import FINAL_PHASES
from backstay.domain import objects, upkeep
from backstay.domain.adoption import takeover
from backstay.domain.clock import Clock
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import dig
from backstay.domain.records.rebuild import is_asked
from backstay.domain.retention import brakes
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.reconcile import keys, passes
from backstay.reconcile.gathering import gather_all
from backstay.reconcile.orphans import count_orphans
from backstay.reconcile.world import Place, World
from backstay.stores.base import Store

log = logging.getLogger(__name__)


class Everything:
    """Enqueues every key that needs work, and counts the orphans on the way."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        stores: Sequence[Store],
    ) -> None:
        self._client = client
        self._clock = clock
        self._enqueue = enqueue
        self._plans = [store.plan for store in stores]
        self._idle: dict[Place, int] = {}
        """What each policy without work rested on, as a hash."""

    async def look(self) -> None:
        """List all kinds and enqueue what they name. Raise what the reads raise."""
        # A collection would stop the loop for as long as it takes to walk everything that was
        # read, time and again, and find nothing: what comes from JSON has no cycles.
        collects = gc.isenabled()
        gc.disable()
        try:
            await self._look()
        finally:
            if collects:
                gc.enable()

    async def _look(self) -> None:
        world = await gather_all(self._client)
        brake = self._client.clock_brake()
        for backup in (b for found in world.backups.values() for b in found):
            if dig(backup, "status", "phase") not in FINAL_PHASES:
                self._enqueue(keys.backup(objects.namespace(backup), objects.name(backup)))
        for request in world.requests:
            self._enqueue(keys.restore(objects.namespace(request), objects.name(request)))
        places = world.places()
        self._idle = {place: self._idle[place] for place in places if place in self._idle}
        for place in places:
            if (policy := world.policies.get(place)) is not None:
                self._enqueue(keys.policy(*place))
                if is_asked(policy):
                    self._enqueue(keys.rebuild(*place))
            if world.keeps_copies(place):
                self._enqueue(keys.copies(*place))
            # In a thread, policy by policy: planning all takes seconds, in which others go on.
            try:
                needed = await asyncio.to_thread(self._needs_pass, world, place, brake)
            except Exception:
                # The pass fails in the same way, and reports: what is amiss in one place, maybe by
                # what a tenant wrote there, must not keep the others from being looked at.
                log.exception("retention of %s/%s cannot be planned", *place)
                needed = True
            if needed:
                self._enqueue(keys.retention(*place))
        for place in sorted(world.repositories):
            self._enqueue(keys.repository(*place))
        self._enqueue(keys.leftovers())
        if await asyncio.to_thread(world.leaving):
            self._enqueue(keys.sweeps())
        await count_orphans(self._client, await asyncio.to_thread(world.census))

    def _needs_pass(self, world: World, place: Place, brake: brakes.Brake | None) -> bool:
        if takeover.is_asked(world.policies.get(place, {})):
            return True  # Snapshots of other tools are none of what was read.
        # Time alone makes work too: a date passes, or the grace of a mark. An hour is soon enough.
        now = self._clock.now()
        rests_on = hash((world.versions(place), brake, now.date(), now.hour))
        if self._idle.pop(place, None) != rests_on:
            try:
                if not upkeep.plan(passes.seen(world, place, now, brake), self._plans).idle:
                    return True
            except UserError:
                return False  # The policy's own look reports it.
            except DataError:
                return True  # The pass fails in the same way, is reported and tried again.
        self._idle[place] = rests_on
        return False
