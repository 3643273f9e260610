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
from backstay.api.hooks import Stage
from backstay.domain import labels, objects
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
from backstay.domain.run.status import short
from backstay.domain.run.values import (
    AT_ONCE,
    Action,
    CancelDump,
    Decision,
    FreeRecord,
    KeepRecord,
    ReleaseHook,
    Seen,
    StartDump,
    StartHook,
    StoreAction,
)
from backstay.dumps.hooks import HookTask
from backstay.engine.patience import Patience
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.errors import Busy
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys
from backstay.reconcile.look import Looker
from backstay.reconcile.runs import is_kept, is_leaving, parse, report, sighted
from backstay.steps.dumps import Dumping
from backstay.steps.exec_streams import Streams
from backstay.steps.hooks import Hooking
from backstay.steps.status import report_trouble, write_status
from backstay.stores.base import errors_of
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
        self._hooking = Hooking(streams)
        self._planner = planner
        self._stores = {store.plan.name: store for store in planner.stores}
        self._looker = Looker(client, self._dumping, self._hooking, planner, clock)
        self._events = events
        self._enqueue = enqueue

    def _parsed(self, obj: Obj) -> Run:
        """A Backup as read, its plan within what the administrator allows today."""
        subject = parse(obj)
        return replace(subject, status=limited(subject.status, self._planner.ceilings))

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a Backup's key, take its next step; return when to look again."""
        obj = await self._client.find(BACKUP, key.name, key.namespace)
        while True:
            subject = self._parsed(obj) if obj is not None else None
            if subject is None or (is_leaving(subject) and not is_kept(subject)):
                self._enqueue(keys.ADMISSION)  # it may have held what others wait for
                return None
            if subject.status.phase.final or subject.spec.trigger is Trigger.IMPORTED:
                return None
            if subject.status.phase is BackupPhase.QUEUED and not is_leaving(subject):
                self._enqueue(keys.ADMISSION)
                return None
            obj, after = await self._step(key, subject)
            if after != AT_ONCE or obj is subject.obj:
                return after
            # What was written is as fresh as what could be read: go on with it.

    async def _step(self, key: Key, subject: Run) -> tuple[Obj, timedelta | None]:
        """Take one step; return the Backup with its new status, and when to take the next."""
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
        refused = rule and self._refusals.is_over(subject.uid)
        busy = isinstance(error, Busy)
        stores = seen.stores
        if deadlines.gives_up(status, stores, now, refused=refused, busy=busy, deleting=deleting):
            log.warning("%s: given up: %s%s", key, kind, error)
            self._refusals.forget(subject.uid)
            store = error.store if isinstance(error, BackstayError) else ""
            given_up = machine.fail(seen, f"{kind}{error}", store)
            return await self._carry_out(key, subject, seen, given_up, anyway=True)
        if not isinstance(error, Conflict):  # a lost race is normal
            reported = changed(status, message=short(f"{kind}{error}"))
            await report_trouble(self._client, BACKUP, subject.obj, reported)
        if isinstance(error, BackstayError):
            patience = self._refusals.left(subject.uid) if rule else None
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
        await self._act_all(key, subject, seen, decision, anyway=anyway)
        try:
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        except (UserError, DataError) as error:
            # The same look makes the same status, and the run would hold its slots for ever.
            log.warning("%s: %s", key, error.message)
            decision = machine.fail(seen, f"its status was refused: {error.message}")
            await self._act_all(key, subject, seen, decision)
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        status = decision.status
        await report(self._events, subject, status)
        if status.pools != subject.status.pools:
            self._enqueue(keys.ADMISSION)
        if _decides(subject.status, status):
            self._enqueue(keys.leftovers())  # what the point was made of
        if status.phase.final:
            self._dumping.forget(subject.uid)
            for store in self._planner.stores:
                store.forget(subject.uid)
            self._enqueue(keys.policy(key.namespace, subject.spec.policy))
            self._enqueue(keys.retention(key.namespace, subject.spec.policy))
            if any(self._stores[p.store].chores for p in status.points if p.store in self._stores):
                self._enqueue(keys.copies(key.namespace, subject.spec.policy))
        after = deadlines.in_time(
            status, seen.stores, decision.after, seen.now, deleting=seen.deleting
        )
        return written, after

    async def _act_all(
        self,
        key: Key,
        subject: Run,
        seen: Seen,
        decision: Decision,
        *,
        anyway: bool = False,
    ) -> None:
        for action in decision.actions:
            try:
                await self._act(key, subject, seen, action)
            except Fatal:
                raise
            except Exception:
                if not anyway or not _is_spared(action):
                    raise
                log.exception("%s ends without %s", key, action)

    async def _act(self, key: Key, subject: Run, seen: Seen, action: Action) -> None:
        namespace = subject.namespace
        match action:
            case StartDump(dump, place, attempt):
                await self._dumping.start(
                    namespace,
                    subject.uid,
                    dump,
                    place,
                    attempt=attempt,
                    wake=lambda: self._enqueue(key),
                )
            case CancelDump(dump, place, attempt):
                await self._dumping.cancel(namespace, subject.uid, dump, place, attempt)
            case StartHook() | ReleaseHook():
                self._act_on_hook(key, subject, action)
            case KeepRecord():
                await self._set_finalizer(subject, kept=True)
            case FreeRecord():
                await self._set_finalizer(subject, kept=False)
            case StoreAction():
                store = self._stores[action.store]
                with errors_of(store):
                    await store.act(subject, seen, action)

    def _act_on_hook(self, key: Key, subject: Run, action: StartHook | ReleaseHook) -> None:
        def wake() -> None:
            self._enqueue(key)

        stage = action.stage if isinstance(action, StartHook) else Stage.BEFORE
        task = HookTask(subject.uid, action.attempt, stage, action.hook)
        if isinstance(action, ReleaseHook):
            self._hooking.release(subject.namespace, task, action.place, wake)
            return
        hooks = subject.status.plan.hooks if subject.status.plan else None
        longest = hooks.max_freeze if hooks else timedelta(0)
        self._hooking.start(subject.namespace, task, action.place, longest, wake)

    async def _set_finalizer(self, subject: Run, *, kept: bool) -> None:
        others = [
            f
            for f in objects.dig(subject.obj, "metadata", "finalizers", default=[])
            if f != labels.HELD_BY_HOOKS
        ]
        patch = {
            "metadata": {
                "resourceVersion": objects.version(subject.obj),
                "finalizers": [*others, labels.HELD_BY_HOOKS] if kept else others,
            }
        }
        await self._client.patch(BACKUP, subject.name, subject.namespace, patch)


def _decides(before: BackupStatus, after: BackupStatus) -> bool:
    """Whether a point was decided while copies are made."""
    waiting = {p.key for p in before.points if p.pending}
    copying = before.phase is BackupPhase.COPYING
    return copying and bool(waiting - {p.key for p in after.points if p.pending})


def _is_spared(action: Action) -> bool:
    """Whether a run that is given up can end without it: labels are mended by the retention pass,
    and Jobs and dumps have deadlines of their own.
    """
    return isinstance(action, CancelDump) or (isinstance(action, StoreAction) and action.spared)
