"""Reconcile a RestoreRequest, whatever store and target: gather, decide, act.

Invariant: what differs between stores and between targets is theirs
(`domain/restore/protocols.py`); this module has no name of any. The order of `stores` is that in
which they are preferred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from backstay.api.acknowledgement import Acknowledgement
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import RestorePhase, RestoreStatus, RestoreTarget
from backstay.domain.clock import Clock
from backstay.domain.errors import Awaited, UserError
from backstay.domain.objects import dig
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.items import Seen, Step
from backstay.domain.restore.machine import Action, Decision, decide, in_line
from backstay.domain.restore.protocols import RestoreStore, Target
from backstay.domain.restore.sights import ItemSeen
from backstay.domain.restore.wishes import Part, Request, parts, wishes
from backstay.domain.restore.words import said, too_late
from backstay.domain.subject import parse_subject
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import RESTORE_REQUEST
from backstay.reconcile import keys
from backstay.reconcile.restore_items import ItemPlanner
from backstay.steps.status import reporting, write_status
from backstay.targets.turns import RestoreTurns


class RestoreReconciler:
    """Brings one RestoreRequest a step further at each call."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        stores: Mapping[str, RestoreStore],
        targets: Mapping[RestoreTarget, Target],
        turns: RestoreTurns,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._enqueue = enqueue
        self._stores = stores
        self._targets = targets
        self._turns = turns
        self._planner = ItemPlanner(client, clock, stores, targets)

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a RestoreRequest's key, take its next step; return when to look again."""
        obj = await self._client.find(RESTORE_REQUEST, key.name, key.namespace)
        if obj is None or dig(obj, "metadata", "deletionTimestamp"):
            self._enqueue(keys.leftovers())
            return None
        request = parse_subject("RestoreRequest", obj, RestoreSpec, RestoreStatus)
        if request.status.phase.final:
            return None
        self._turns.note()
        async with reporting(self._client, RESTORE_REQUEST, obj, partial(self._waiting, request)):
            seen = await self._gather(request)
            decision = decide(seen)
            # Before the status: who dies in between decides the same again, and each is idempotent.
            for action in decision.actions:
                await self._act(request, decision.status, action)
            if decision.enters:
                return await self._take_turn(request, seen, decision)
        await write_status(self._client, RESTORE_REQUEST, obj, decision.status)
        await self._follow_up(request, decision)
        return decision.after

    async def _take_turn(
        self, request: Request, seen: Seen, decision: Decision
    ) -> timedelta | None:
        """Write that the turn of a request has come, unless somebody is there."""
        now = request.status.items
        taken = [new for new, old in zip(decision.status.items, now, strict=True) if new != old]
        async with self._turns.lock:
            if others := await self._turns.others_at(request, taken):
                decision = in_line(seen, decision, others)
            await write_status(self._client, RESTORE_REQUEST, request.obj, decision.status)
        return decision.after

    async def _follow_up(self, request: Request, decision: Decision) -> None:
        """After a status was written: have those look who go by it, and post an Event."""
        # Not before: a pass that looks earlier finds nothing to hold, or nothing to release.
        if decision.status.phase.final:
            self._enqueue(keys.ADMISSION)  # Runs may wait for what it wrote to.
        wakes = {a.item for a in decision.actions if a.step in (Step.HOLD, Step.RELEASE)}
        for n in sorted(wakes):
            part = parts(request, decision.status.items)[n]
            await self._stores[part.item.store].wake(part)
        await self._report(request, decision.status)

    def _waiting(self, request: Request, message: str) -> RestoreStatus:
        """The status of a request whose step failed: it is tried again within keys.LONGEST."""
        generation = int(dig(request.obj, "metadata", "generation", default=0))
        now = self._clock.now()
        return said(request.status, "Waiting", message, generation=generation, now=now)

    async def _gather(self, request: Request) -> Seen:
        now = self._clock.now()
        seen = Seen(
            now=now,
            generation=int(dig(request.obj, "metadata", "generation", default=0)),
            status=request.status,
            late=too_late(request.spec, now, self._client.skew),
            may_go_unheld=Acknowledgement.NOT_HELD in request.spec.acknowledge,
        )
        if request.status.phase is not RestorePhase.PENDING:
            looks = [await self._look(part) for part in parts(request, request.status.items)]
            return replace(seen, items=looks)
        acknowledged = Acknowledged(request.spec.acknowledge)
        try:
            if seen.late is not None:
                raise seen.late
            found = [
                await self._planner.plan(request, w, acknowledged) for w in wishes(request.spec)
            ]
        except Awaited as error:
            return replace(seen, waits=error.message)
        except UserError as error:
            return replace(seen, refusal=error)
        backup = next((backup for _, backup in found if backup), None)
        planned = [item for item, _ in found]
        return replace(seen, planned=planned, backup=backup, passed=acknowledged.used)

    async def _look(self, part: Part) -> ItemSeen:
        acknowledged = Acknowledged(part.request.spec.acknowledge)
        to = self._targets[part.item.target]
        target = await to.see(part)
        # The target first: what a store sees of a claim that was made for it is in there.
        point = await self._stores[part.item.store].see(part, target, acknowledged)
        look = ItemSeen(point, target, acknowledged.used)
        if look.begun or part.item.verified is not None:
            return look
        try:
            return replace(look, target=replace(target, waits=await to.check(part, acknowledged)))
        except UserError as error:
            return replace(look, target=replace(target, refusal=error))

    async def _act(self, request: Request, status: RestoreStatus, action: Action) -> None:
        part = parts(request, status.items)[action.item]
        store, target = self._stores[part.item.store], self._targets[part.item.target]
        match action.step:
            case Step.HOLD:
                await store.hold(part)
            case Step.PREPARE:
                await target.prepare(part, await store.volume(part))
            case Step.FILL:
                # Again: what was looked at may have changed since.
                if not await target.check(part, Acknowledged(request.spec.acknowledge)):
                    await store.fill(part, target.open(part))
            case Step.COMMIT:
                await target.commit(part)
            case Step.STOP:
                await store.stop(part)
            case Step.DISCARD:
                await store.discard(part, target.open(part))
            case Step.UNDO:
                await target.undo(part)
            case Step.RELEASE:
                await store.release(part)

    async def _report(self, request: Request, status: RestoreStatus) -> None:
        """One Event of its start, and one of its end."""
        begins = request.status.phase is RestorePhase.PENDING
        if status.phase is request.status.phase or not (begins or status.phase.final):
            return
        bad = status.phase in (RestorePhase.FAILED, RestorePhase.REFUSED)
        await self._events.post(
            request.obj,
            status.phase.value,
            status.message or status.phase.value,
            type="Warning" if bad else "Normal",
        )
