"""Reconcile a Backup: read what the next decision rests on, decide, carry it out.

Invariants: a Backup in a final phase is never touched here; the plan is frozen before the first
side effect; a queued run is started by the admitter only (reconcile/concurrency.py), which learns
of every change that may let one start; a step that fails is reported on the Backup, and repeated
until the deadline of what it waits for (domain/run/deadlines.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from backstay.api.backup import BackupPhase, BackupStatus, Trigger
from backstay.api.common import changed
from backstay.domain.ceilings import limited
from backstay.domain.clock import Clock
from backstay.domain.errors import (
    BackstayError,
    Conflict,
    DataError,
    Fatal,
    Refused,
    UserError,
)
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.run import deadlines, machine
from backstay.domain.run.late import waits_for_late
from backstay.domain.run.status import short
from backstay.domain.run.values import (
    AT_ONCE,
    Decision,
    Seen,
)
from backstay.engine.patience import Patience
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.errors import Busy
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys
from backstay.reconcile.look import Looker
from backstay.reconcile.run_actions import RunActions
from backstay.reconcile.runs import is_kept, is_leaving, parse, report, sighted
from backstay.steps.dumps import Dumping
from backstay.steps.exec_streams import Streams
from backstay.steps.hooks import Hooking
from backstay.steps.status import report_trouble, write_status
from backstay.stores.planning import Planner

log = logging.getLogger(__name__)

RIGHTS_WAIT: Final = timedelta(seconds=20)
"""How long a run holds what it holds while a rule refuses it: `kubectl apply -f FOLDER` may create
its Role some moments later. The next attempt, or run, finds what is set right after that.
"""


class BackupReconciler:
    """Brings one Backup a step further at each call."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        streams: Streams,
        dumping: Dumping,
        refusals: Patience,
        planner: Planner,
    ) -> None:
        self._client = client
        self._clock = clock
        self._refusals = refusals
        self._dumping = dumping
        self._planner = planner
        self._stores = {store.plan.name: store for store in planner.stores}
        hooking = Hooking(streams)
        self._looker = Looker(client, dumping, hooking, planner, clock)
        self._actions = RunActions(
            client, enqueue, dumping=dumping, hooking=hooking, stores=planner.stores
        )
        self._events = events
        self._enqueue = enqueue

    def _parsed(self, obj: Obj) -> Run:
        """A Backup as read, its plan within what the administrator allows today."""
        subject = parse(obj)
        # At each read, since the ceiling may be lower than when the plan was frozen.
        return replace(subject, status=limited(subject.status, self._planner.ceilings))

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a Backup's key, take its next step; return when to look again."""
        obj = await self._client.find(BACKUP, key.name, key.namespace)
        while True:
            subject = self._parsed(obj) if obj is not None else None
            if subject is None or (is_leaving(subject) and not is_kept(subject)):
                self._enqueue(keys.ADMISSION)  # it may have held what others wait for
                return None
            # Imported: whoever made it writes its status, which may not be there yet.
            if subject.status.phase.final or subject.spec.trigger is Trigger.IMPORTED:
                return None
            # Never started here: two workers would each see the last permit free.
            if subject.status.phase is BackupPhase.QUEUED and not is_leaving(subject):
                self._enqueue(keys.ADMISSION)
                return None
            obj, after = await self._step(key, subject)
            # No status was written: nothing has changed, or an action has changed the Backup. It is
            # read again, by the queue, where others have their turn.
            if after != AT_ONCE or obj is subject.obj:
                return after
            # What was written is as fresh as what could be read: go on with it.

    async def _step(self, key: Key, subject: Run) -> tuple[Obj, timedelta | None]:
        """Take one step; return the Backup with its new status, and when to take the next."""
        # Before the look: one that fails has to be given up with what is known without it.
        seen = sighted(subject, self._clock.now(), self._planner.stores)
        try:
            seen = await self._looker.gather(subject)
            step = await self._carry_out(key, subject, seen, machine.decide(seen))
        except Fatal:
            raise
        except Exception as error:  # noqa: BLE001 - no defect may hold permits beyond a deadline
            return await self._held_up(key, subject, seen, error)
        self._refusals.forget(subject.uid)
        return step

    async def _held_up(
        self, key: Key, subject: Run, seen: Seen, error: Exception
    ) -> tuple[Obj, timedelta | None]:
        """A step failed: show why, and raise the error on for the queue to try again; or end what
        has waited for long enough.
        """
        status, now, deleting = subject.status, self._clock.now(), seen.deleting
        kind = "" if isinstance(error, BackstayError) else f"{type(error).__name__}: "
        rule = isinstance(error, Refused | UserError)
        # A rule may be applied a moment later. All else that fails may do so until the deadline.
        refused = rule and self._refusals.is_over(subject.uid)
        busy = isinstance(error, Busy)
        stores = seen.stores
        if deadlines.gives_up(status, stores, now, refused=refused, busy=busy, deleting=deleting):
            log.warning("%s: given up: %s%s", key, kind, error)
            self._refusals.forget(subject.uid)
            store = error.store if isinstance(error, BackstayError) else ""
            given_up = machine.fail(seen, f"{kind}{error}", store)
            # Anyway: what keeps a run from its end must not be its own cleaning up.
            return await self._carry_out(key, subject, seen, given_up, anyway=True)
        if not isinstance(error, Conflict):  # a lost race is normal
            # Shown before it is raised: the queue may wait for long, and people look now.
            reported = changed(status, message=short(f"{kind}{error}"))
            await report_trouble(self._client, BACKUP, subject.obj, reported)
        if isinstance(error, BackstayError):
            patience = self._refusals.left(subject.uid) if rule else None
            # The queue waits longer each time, but never beyond the deadline of what holds permits.
            error.within = deadlines.in_time(status, stores, patience, now, deleting=deleting)
        raise error

    async def _carry_out(
        self,
        key: Key,
        subject: Run,
        seen: Seen,
        decision: Decision,
        *,
        anyway: bool = False,
    ) -> tuple[Obj, timedelta | None]:
        """Do what was decided, and write it down; `anyway`: also where what can be spared fails."""
        # Before the status: who dies in between decides the same, and each action is found done.
        await self._actions.carry_out(key, subject, seen, decision, anyway=anyway)
        try:
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        except (UserError, DataError) as error:
            # The same look makes the same status, and the run would hold its slots for ever.
            log.warning("%s: %s", key, error.message)
            decision = machine.fail(seen, f"its status was refused: {error.message}")
            await self._actions.carry_out(key, subject, seen, decision)
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        status = decision.status
        await report(self._events, subject, status)
        self._wake_others(key, subject, status)
        after = deadlines.in_time(
            status, seen.stores, decision.after, seen.now, deleting=seen.deleting
        )
        return written, after

    def _wake_others(self, key: Key, subject: Run, status: BackupStatus) -> None:
        """Have those look who wait for what was written."""
        # Permits are free once that is written, as the admitter counts what statuses say.
        if status.pools != subject.status.pools:
            self._enqueue(keys.ADMISSION)
        decided = _decided(subject.status, status) & self._stores.keys()
        if any(not self._stores[name].plan.instant for name in decided):
            self._enqueue(keys.leftovers())  # what the point was made of
        if waits_for_late(status) and not waits_for_late(subject.status):
            self._enqueue(keys.policy(key.namespace, subject.spec.policy))  # its next slot may go
        if status.phase.final:
            # Only now: until its end is written the run may go on.
            self._dumping.forget(subject.uid)
            for store in self._planner.stores:
                store.forget(subject.uid)
            self._enqueue(keys.policy(key.namespace, subject.spec.policy))
            self._enqueue(keys.retention(key.namespace, subject.spec.policy))
            # What a retention pass does not carry out is done by Jobs, in a pass of their own.
            made = {p.store for p in status.points} & self._stores.keys()
            if any(self._stores[name].keeper is None for name in made):
                self._enqueue(keys.copies(key.namespace, subject.spec.policy))


def _decided(before: BackupStatus, after: BackupStatus) -> set[str]:
    """The stores of which a point was decided."""
    waiting = {p.key for p in before.points if p.pending}
    return {store for _, store in waiting - {p.key for p in after.points if p.pending}}
