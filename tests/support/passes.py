"""Work items of the operator, repeated as its queue would repeat them, without the pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from tests.support.copying import stores

from backstay.domain.clock import Clock
from backstay.domain.errors import Conflict
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.reconcile import keys
from backstay.reconcile.retention import RetentionReconciler
from backstay.reconcile.sweeps import SweepReconciler

Pass: TypeAlias = Callable[[], Awaitable[timedelta | None]]
MOST = 10


def retention_reconciler(
    client: Client, clock: Clock, enqueue: Callable[[Key], None] = lambda _: None
) -> RetentionReconciler:
    """Given a client and a clock, return what makes retention passes, over all stores."""
    events = EventPoster(client, clock)
    return RetentionReconciler(client, clock, enqueue, events, stores=stores(client))


def retention_of(client: Client, clock: Clock, namespace: str, policy: str) -> list[Pass]:
    """Given a policy's address, return its retention pass and the one that finishes sweeps."""
    retention = retention_reconciler(client, clock)
    sweeps = SweepReconciler(client, clock)
    return [
        partial(retention.reconcile, keys.retention(namespace, policy)),
        partial(sweeps.reconcile, keys.sweeps()),
    ]


async def until_idle(passes: Sequence[Pass]) -> None:
    """Given passes, take them in turn until none wants to come again soon."""
    for _ in range(MOST):
        busy = False
        for one in passes:
            try:
                busy = await one() is not None or busy
            except Conflict:
                busy = True
        if not busy:
            return
    raise AssertionError("the passes never came to an end")
