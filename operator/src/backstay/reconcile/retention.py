"""The retention pass of one policy: tiers, marks and sweeps, and the records that mirror them.

Invariants: every write is tested against what was read; items are carried out side by side, and
one that fails is reported and never blocks the next; a plan that is idle writes nothing. Conditions
and records are of all stores, and written here alone; what is to be done with rolling copies is
done by Jobs (reconcile/copies.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.api.common import Condition
from backstay.api.store import SNAPSHOT
from backstay.domain import upkeep
from backstay.domain.adoption import takeover
from backstay.domain.clock import Clock
from backstay.domain.errors import Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.records import lifecycle
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes
from backstay.domain.retention.findings import Item
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.upkeep import POLL, Plan, Seen
from backstay.engine.patience import Patience
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM
from backstay.reconcile import keys
from backstay.reconcile.adoption import Adopter
from backstay.reconcile.gathering import gather
from backstay.steps.batch import Work
from backstay.steps.conditions import report_held
from backstay.steps.record_updates import remove, show
from backstay.stores.base import Keeper, Store

log = logging.getLogger(__name__)

REPORTED_AFTER: Final = timedelta(minutes=5)
"""What fails for longer in each pass does not pass by itself."""


class RetentionReconciler:
    """Carries the retention of one policy a step further at each call."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        enqueue: Callable[[Key], None],
        events: EventPoster,
        *,
        stores: Sequence[Store],
    ) -> None:
        self._client = client
        self._clock = clock
        self._enqueue = enqueue
        self._events = events
        self._plans = [store.plan for store in stores]
        self._keepers = {s.plan.name: s.keeper for s in stores if s.keeper is not None}
        self._clock_was_off = False
        self._adopter = Adopter(client, clock)
        self._failing = Patience(clock, REPORTED_AFTER)

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's retention key, take the next step for each of its artifacts."""
        try:
            seen, plan = await self._decide(key)
        except UserError as error:
            log.warning("%s: nothing is changed: %s", key, error.message)
            return None
        work = Work(self._client)
        if seen.policy is not None and plan.conditions is not None:
            # First: a series that is held is reported even where an item fails.
            await work.do((key.name, partial(self._report, seen.policy, plan.conditions)))
        acting = await self._carry_out(seen.policy, plan, work)
        if acting or plan.moved:
            # It counts good points, and shows what a pass has changed.
            self._enqueue(keys.policy(key.namespace, key.name))
        if work.follows:
            # The ends of sweeps are one key's, as they take a look at all contents.
            self._enqueue(keys.sweeps())
        await self._raise_failures(key, seen.policy, work)
        return POLL if work.follows else plan.wait

    async def _decide(self, key: Key) -> tuple[Seen, Plan]:
        """Read what the pass rests on, and plan it. Raise UserError if the policy is not valid."""
        place = key.namespace, key.name
        seen = await gather(self._client, self._clock, place)
        if seen.policy is not None and seen.spec and takeover.is_asked(seen.policy):
            # First and whole: a series that is adopted in part would be judged in part.
            zone = rules_of(seen.spec, SNAPSHOT).zone
            await self._adopter.adopt(seen.policy, zone)
            seen = await gather(self._client, self._clock, place)
        self._note_clock(seen.clock)
        # It is pure, and may take long for a series of many years: in a thread the loop goes on.
        plan = await asyncio.to_thread(upkeep.plan, seen, self._plans)
        if plan.due:
            # A claim that still waits for a snapshot names it in its spec only.
            claims = await self._client.list(PERSISTENT_VOLUME_CLAIM, key.namespace)
            seen = replace(seen, claims=claims)
            plan = await asyncio.to_thread(upkeep.plan, seen, self._plans)
        return seen, plan

    async def _carry_out(self, policy: Obj | None, plan: Plan, work: Work) -> bool:
        """Have the stores carry out their items, and show it; return whether there were any."""
        acting = [
            (keeper, item)
            for name, keeper in self._keepers.items()
            for item in plan.items.get(name, ())
            if item.acts
        ]
        for name, keeper in self._keepers.items():
            # Before the writes: once a content is mended nobody can see what it was.
            await keeper.report(policy, plan.items.get(name, ()))
        # What a point carries before what removes it: whoever finds it must see that it goes.
        await self._do(work, [(keeper, item) for keeper, item in acting if item.patches])
        # A sweep is announced before it deletes: what goes without that word was taken by others.
        stored = await show(self._client, work, plan.shown)
        unannounced = {
            name
            for run, status in plan.shown
            if run.uid not in stored
            for name in lifecycle.announced(status)
        }
        await self._do(
            work,
            [(k, i) for k, i in acting if not i.patches and i.name not in unannounced],
        )
        # Last: a record that is to be shown and to go is deleted as what it became.
        await remove(self._client, work, plan.removable, stored, self._may_go)
        return bool(acting)

    async def _do(self, work: Work, items: Sequence[tuple[Keeper, Item]]) -> None:
        await work.do(*((item.name, partial(keeper.carry_out, item)) for keeper, item in items))

    async def _raise_failures(self, key: Key, policy: Obj | None, work: Work) -> None:
        """Raise what failed; post an Event on the policy once a day where that goes on."""
        try:
            work.raise_failures(key)
        except Transient as error:
            # Named after the day: whoever goes on failing, or follows, posts no second one.
            if policy is not None and self._failing.is_over(key):
                day = self._clock.now().date().isoformat()
                await self._events.post(
                    policy, "RetentionFailing", error.message, type="Warning", attempt=day
                )
            raise
        self._failing.forget(key)

    def _note_clock(self, brake: brakes.Brake | None) -> None:
        """Log when the clocks begin to differ and when they agree again."""
        if (brake is not None) is self._clock_was_off:
            return
        self._clock_was_off = brake is not None
        if brake is not None:
            log.warning("%s (ahead by %s)", brake.message, self._client.skew)
        else:
            log.info("the clock is to be believed again: retention goes on")

    async def _report(self, policy: Obj, conditions: tuple[Condition, ...]) -> bool:
        await report_held(self._client, self._events, policy, conditions)
        return False

    async def _may_go(self, run: Run) -> bool:
        """Ask each store by name for what a record names: what a look has missed is no loss."""
        for keeper in self._keepers.values():
            # One point that is left is enough for the record to stay: nobody else is asked.
            if not await keeper.is_gone(run):
                return False
        return True
