"""Reconcile a Backup: read what the next decision rests on, decide, carry it out.

Invariants: a Backup in a final phase is never touched here; the plan is frozen before the first
side effect; a queued run is started by the admitter only (reconcile/concurrency.py), which learns
of every change that may let one start; a step that fails is reported on the Backup, and repeated
until the deadline of what it waits for (domain/run/deadlines.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from backstay.api.backup import BackupPhase, Trigger
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
    CancelCopy,
    CancelDump,
    CreateSnapshot,
    Decision,
    FreeRecord,
    KeepRecord,
    LabelContent,
    MarkFailed,
    MarkGood,
    ReleaseHook,
    Seen,
    StartCopy,
    StartDump,
    StartHook,
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
from backstay.stores.copies.take import Copying
from backstay.stores.snapshots.objects import Pair, label_content
from backstay.stores.snapshots.take import PointWriter

log = logging.getLogger(__name__)

RIGHTS_WAIT: Final = timedelta(seconds=20)
"""How long a run holds what it holds while a rule refuses it: `kubectl apply -f FOLDER` may create
its Role some moments later. The next attempt, or run, finds what is set right after that.
"""
SPARED: Final = (MarkFailed, CancelCopy, CancelDump)
"""What a run that is given up can end without: labels are mended by the retention pass, and Jobs
and dumps have deadlines of their own.
"""


class BackupReconciler:
    """Brings one Backup a step further at each call."""

    def __init__(
        self,
        client: Client,
        streams: Streams,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        copying: Copying,
    ) -> None:
        self._client = client
        self._clock = clock
        self._refusals = Patience(clock, RIGHTS_WAIT)
        self._dumping = Dumping(client, streams, self._refusals)
        self._hooking = Hooking(streams)
        self._copying = copying
        self._looker = Looker(client, self._dumping, self._hooking, copying, clock)
        self._events = events
        self._enqueue = enqueue
        self._points = PointWriter(client)

    def _parsed(self, obj: Obj) -> Run:
        """A Backup as read, its plan within what the administrator allows today."""
        subject = parse(obj)
        return replace(subject, status=limited(subject.status, self._copying.ceilings))

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
        seen = sighted(subject, self._clock.now())
        pairs: Mapping[str, Pair] = {}
        try:
            seen, pairs = await self._looker.gather(subject)
            step = await self._carry_out(key, subject, seen, pairs, machine.decide(seen))
        except Fatal:
            raise
        except Exception as error:  # noqa: BLE001 - no defect may hold permits beyond a deadline
            return await self._held_up(key, subject, seen, pairs, error)
        self._refusals.forget(subject.uid)
        return step

    async def _held_up(
        self, key: Key, subject: Run, seen: Seen, pairs: Mapping[str, Pair], error: Exception
    ) -> tuple[Obj, timedelta | None]:
        """A step failed: show why, and raise the error on for the queue to try again; or end what
        has waited for long enough.
        """
        status, now, deleting = subject.status, self._clock.now(), seen.deleting
        kind = "" if isinstance(error, BackstayError) else f"{type(error).__name__}: "
        rule = isinstance(error, Refused | UserError)
        refused = rule and self._refusals.is_over(subject.uid)
        busy = isinstance(error, Busy)
        if deadlines.gives_up(status, now, refused=refused, busy=busy, deleting=deleting):
            log.warning("%s: given up: %s%s", key, kind, error)
            self._refusals.forget(subject.uid)
            given_up = machine.fail(seen, f"{kind}{error}")
            return await self._carry_out(key, subject, seen, pairs, given_up, anyway=True)
        if not isinstance(error, Conflict):  # a lost race is normal
            reported = changed(status, message=short(f"{kind}{error}"))
            await report_trouble(self._client, BACKUP, subject.obj, reported)
        if isinstance(error, BackstayError):
            patience = self._refusals.left(subject.uid) if rule else None
            error.within = deadlines.in_time(status, patience, now, deleting=deleting)
        raise error

    async def _carry_out(
        self,
        key: Key,
        subject: Run,
        seen: Seen,
        pairs: Mapping[str, Pair],
        decision: Decision,
        *,
        anyway: bool = False,
    ) -> tuple[Obj, timedelta | None]:
        """Do what was decided, and write it down; `anyway`: also where what can be spared fails."""
        await self._act_all(key, subject, seen, pairs, decision, anyway=anyway)
        try:
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        except (UserError, DataError) as error:
            # The same look makes the same status, and the run would hold its slots for ever.
            log.warning("%s: %s", key, error.message)
            decision = machine.fail(seen, f"its status was refused: {error.message}")
            await self._act_all(key, subject, seen, pairs, decision)
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        status = decision.status
        await report(self._events, subject, status)
        if status.pools != subject.status.pools:
            self._enqueue(keys.ADMISSION)
        if status.phase.final:
            self._dumping.forget(subject.uid)
            self._looker.forget(subject.uid)
            self._enqueue(keys.policy(key.namespace, subject.spec.policy))
            self._enqueue(keys.retention(key.namespace, subject.spec.policy))
            if status.plan is not None and status.plan.rolling is not None:
                self._enqueue(keys.copies(key.namespace, subject.spec.policy))
        after = deadlines.in_time(status, decision.after, seen.now, deleting=seen.deleting)
        return written, after

    async def _act_all(
        self,
        key: Key,
        subject: Run,
        seen: Seen,
        pairs: Mapping[str, Pair],
        decision: Decision,
        *,
        anyway: bool = False,
    ) -> None:
        for action in decision.actions:
            try:
                await self._act(key, subject, seen, pairs, action)
            except Fatal:
                raise
            except Exception:
                if not anyway or not isinstance(action, SPARED):
                    raise
                log.exception("%s ends without %s", key, action)

    async def _act(
        self, key: Key, subject: Run, seen: Seen, pairs: Mapping[str, Pair], action: Action
    ) -> None:
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
            case CreateSnapshot():
                await self._points.create(subject.obj, subject.spec, subject.status, action)
            case LabelContent(claim):
                await label_content(self._client, pairs[claim], labels.Result.PENDING)
            case MarkGood(claim):
                await self._points.mark_good(subject.spec, subject.status, pairs[claim], seen.now)
            case MarkFailed(snapshot):
                await self._points.mark_failed(namespace, snapshot, subject.uid)
            case StartCopy(series):
                await self._copying.start(subject.obj, subject.spec, subject.status, series)
            case CancelCopy(series):
                await self._copying.cancel(subject.obj, subject.spec, subject.status, series)

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
