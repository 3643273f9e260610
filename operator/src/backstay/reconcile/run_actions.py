"""Carry out what a run has decided: its dumps and hooks, its stores' actions, its finalizer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from backstay.api.hooks import Stage
from backstay.domain import labels, objects
from backstay.domain.errors import Fatal
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.values import (
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
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP
from backstay.steps.dumps import Dumping
from backstay.steps.hooks import Hooking
from backstay.stores.base import Store, errors_of

log = logging.getLogger(__name__)


class RunActions:
    """Carries out the actions of one decision, in their order."""

    def __init__(
        self,
        client: Client,
        enqueue: Callable[[Key], None],
        *,
        dumping: Dumping,
        hooking: Hooking,
        stores: Sequence[Store],
    ) -> None:
        self._client = client
        self._enqueue = enqueue
        self._dumping = dumping
        self._hooking = hooking
        self._stores = {store.plan.name: store for store in stores}

    async def carry_out(
        self,
        key: Key,
        subject: Run,
        seen: Seen,
        decision: Decision,
        *,
        anyway: bool = False,
    ) -> None:
        """Do what was decided on a run as read; `anyway`: also where what can be spared fails.

        Raise what the first action raises that fails.
        """
        # In order, and the first that fails ends the round: the next look says what is left.
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
        # A list is replaced as a whole: tested, so that a finalizer of somebody else is not lost.
        # Alone in its decision: a status that is written after it would test an old version.
        patch = {
            "metadata": {
                "resourceVersion": objects.version(subject.obj),
                "finalizers": [*others, labels.HELD_BY_HOOKS] if kept else others,
            }
        }
        await self._client.patch(BACKUP, subject.name, subject.namespace, patch)


def _is_spared(action: Action) -> bool:
    """Whether a run that is given up can end without it: labels are mended by the retention pass,
    and Jobs and dumps have deadlines of their own.
    """
    return isinstance(action, CancelDump) or (isinstance(action, StoreAction) and action.spared)
