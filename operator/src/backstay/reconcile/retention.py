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
from backstay.builders.snapshot import metadata_patch
from backstay.domain import objects, upkeep
from backstay.domain.adoption import takeover
from backstay.domain.clock import Clock
from backstay.domain.errors import Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes
from backstay.domain.stores.snapshots import vanished
from backstay.domain.stores.snapshots.content import Patch
from backstay.domain.stores.snapshots.upkeep import POLL, Item
from backstay.engine.patience import Patience
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Resource
from backstay.reconcile import keys
from backstay.reconcile.adoption import Adopter
from backstay.reconcile.gathering import gather, with_claims
from backstay.steps.batch import Work
from backstay.steps.conditions import report_held
from backstay.steps.record_updates import remove, show
from backstay.stores.snapshots.deletion import carry_on

log = logging.getLogger(__name__)

_SHOWN: Final = 3
"""Names in a message: it has to stay readable."""
REPORTED_AFTER: Final = timedelta(minutes=5)
"""What fails for longer in each pass does not pass by itself."""


class RetentionReconciler:
    """Carries the retention of one policy a step further at each call."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        enqueue: Callable[[Key], None],
        events: EventPoster | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._enqueue = enqueue
        self._events = events or EventPoster(client, clock)
        self._clock_was_off = False
        self._adopter = Adopter(client, clock)
        self._failing = Patience(clock, REPORTED_AFTER)

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's retention key, take the next step for each of its artifacts."""
        place = key.namespace, key.name
        try:
            seen = await gather(self._client, self._clock, place)
            rules = seen.snapshots.rules
            if seen.policy is not None and rules and takeover.is_asked(seen.policy):
                # First and whole: a series that is adopted in part would be judged in part.
                await self._adopter.adopt(seen.policy, rules.zone)
                seen = await gather(self._client, self._clock, place)
        except UserError as error:
            log.warning("%s: nothing is changed: %s", key, error.message)
            return None
        self._note_clock(seen.snapshots.clock)
        # It is pure, and may take long for a series of many years: in a thread the loop goes on.
        plan = await asyncio.to_thread(upkeep.plan, seen)
        if any(item.due for item in plan.items):
            claimed = await with_claims(self._client, seen.snapshots, key.namespace)
            seen = replace(seen, snapshots=claimed)
            plan = await asyncio.to_thread(upkeep.plan, seen)
        work = Work(self._client)
        if seen.policy is not None and plan.conditions is not None:
            # First: a series that is held is reported even where an item fails.
            await work.do((key.name, partial(self._report, seen.policy, plan.conditions)))
        acting = [item for item in plan.items if item.acts]
        await self._report_reset(seen.policy, acting)
        await self._do(work, [item for item in acting if item.patches])
        # A sweep is announced before it deletes: what goes without that word was taken by others.
        stored = await show(self._client, work, plan.shown)
        unannounced = {
            name
            for run, status in plan.shown
            if run.uid not in stored
            for name in vanished.announced(status)
        }
        await self._do(
            work,
            [i for i in acting if not i.patches and i.point.name not in unannounced],
        )
        await remove(self._client, work, plan.removable, stored, self._may_go)
        if acting or plan.moved:
            self._enqueue(keys.policy(key.namespace, key.name))
        if work.follows:
            self._enqueue(keys.sweeps())
        await self._raise_failures(key, seen.policy, work)
        return POLL if work.follows else plan.wait

    async def _do(self, work: Work, items: Sequence[Item]) -> None:
        await work.do(*((i.point.name, partial(self._carry_out, i)) for i in items))

    async def _report_reset(self, policy: Obj | None, items: Sequence[Item]) -> None:
        """Report good points whose content somebody made Delete: they are made Retain again."""
        contents = [i.content.obj for i in items if i.content is not None and i.resets]
        exposed = sorted(map(objects.name, contents))
        if not exposed:
            return
        more = f" and {len(exposed) - _SHOWN} more" if len(exposed) > _SHOWN else ""
        message = (
            f"VolumeSnapshotContent {', '.join(exposed[:_SHOWN])}{more} of good points had "
            "deletionPolicy Delete, which is made Retain again: look for what sets it, such as "
            "another pruner"
        )
        log.warning("%s", message)
        if policy is not None:
            versions = sorted(map(objects.version, contents))
            await self._events.post(
                policy, "DeletionPolicyReset", message, type="Warning", attempt=f"{versions}"
            )

    async def _raise_failures(self, key: Key, policy: Obj | None, work: Work) -> None:
        """Raise what failed; post an Event on the policy once a day where that goes on."""
        try:
            work.raise_failures(key)
        except Transient as error:
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

    async def _carry_out(self, item: Item) -> bool:
        """Write one item; return whether a sweep goes on."""
        if item.snapshot is not None:
            await self._patch(VOLUME_SNAPSHOT, item.snapshot)
        if item.content is not None:
            await self._patch(VOLUME_SNAPSHOT_CONTENT, item.content)
        if item.snapshot is not None or item.content is not None:
            log.info("%s: %s", item.point.name, "; ".join(item.reasons) or "mirrored")
        elif item.sweep is not None:
            await carry_on(self._client, self._clock, item.sweep, item.point)
        return item.due

    async def _patch(self, resource: Resource, patch: Patch) -> None:
        await self._client.patch(
            resource,
            objects.name(patch.obj),
            objects.namespace(patch.obj) or None,
            metadata_patch(
                patch.obj, labels=patch.labels, annotations=patch.annotations, spec=patch.spec
            ),
        )

    async def _may_go(self, run: Run) -> bool:
        """Ask for each artifact that a record names by its name: a label taken off by hand must
        not look like a loss.
        """
        for point in run.status.points:
            if (
                point.store == SNAPSHOT
                and point.ref
                and await self._client.find(VOLUME_SNAPSHOT, point.ref, run.namespace)
            ):
                return False
            if point.content and await self._client.find(VOLUME_SNAPSHOT_CONTENT, point.content):
                return False
        return True
