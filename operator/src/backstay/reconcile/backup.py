"""Reconcile a Backup: read what the next decision rests on, decide, carry it out.

Invariants: a Backup in a final phase is never touched here; the plan is frozen before the first
side effect; a queued run is started by the admitter only (reconcile/admission.py), which is told
of every change that may let one start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from backstay.api.backup import BackupPhase, Trigger
from backstay.api.hooks import Stage
from backstay.domain import labels, objects, run
from backstay.domain.ceilings import limited
from backstay.domain.clock import Clock
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import Obj
from backstay.domain.records import Run
from backstay.domain.run_values import (
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
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys
from backstay.reconcile.look import Looker
from backstay.reconcile.runs import is_kept, is_leaving, parse, tell
from backstay.steps.copying import Copying
from backstay.steps.dumping import Dumping
from backstay.steps.hooking import Hooking
from backstay.steps.points import PointWriter
from backstay.steps.snapshots import Pair, label_content
from backstay.steps.status import telling, write_status
from backstay.steps.streams import Streams

log = logging.getLogger(__name__)


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
        self._dumping = Dumping(client, streams)
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
        seen, pairs = await self._looker.gather(subject)
        decision = run.decide(seen)
        await self._act_all(key, subject, seen, pairs, decision)
        try:
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        except (UserError, DataError) as error:
            # The same look makes the same status, and the run would hold its slots for ever.
            log.warning("%s: %s", key, error.message)
            decision = run.fail(seen, f"its status was refused: {error.message}")
            await self._act_all(key, subject, seen, pairs, decision)
            written = await write_status(self._client, BACKUP, subject.obj, decision.status)
        status = decision.status
        await tell(self._events, subject, status)
        if status.pools != subject.status.pools:
            self._enqueue(keys.ADMISSION)
        if status.phase.final:
            self._dumping.forget(subject.uid)
            self._looker.forget(subject.uid)
            self._enqueue(keys.policy(key.namespace, subject.spec.policy))
            self._enqueue(keys.retention(key.namespace, subject.spec.policy))
            if status.plan is not None and status.plan.rolling is not None:
                self._enqueue(keys.copies(key.namespace, subject.spec.policy))
        return written, decision.after

    async def _act_all(
        self,
        key: Key,
        subject: Run,
        seen: Seen,
        pairs: Mapping[str, Pair],
        decision: Decision,
    ) -> None:
        async with telling(self._client, BACKUP, subject.obj, subject.status):
            for action in decision.actions:
                await self._act(key, subject, seen, pairs, action)

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
