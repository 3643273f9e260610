"""An operator that does one key at a time, on a clock of its own."""

from __future__ import annotations

import asyncio

from tests.support.schedules import MovedClock

from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import Login
from backstay.main import Router
from backstay.reconcile import keys
from backstay.reconcile.concurrency import LONGEST_PAUSE, SHARE
from backstay.settings import Settings
from backstay.steps.exec_streams import Streams
from backstay.stores.registry import Registry, stores_of


class Operated:
    """Reconciles the keys that a test names; what they ask for is noted in `asked`."""

    def __init__(
        self,
        client: Client,
        access: Login,
        clock: MovedClock,
        namespace: str,
        *,
        registry: Registry = stores_of,
    ) -> None:
        self.client = client
        self.clock = clock
        self.namespace = namespace
        self.asked: list[Key] = []
        events = EventPoster(client, clock, "test")
        streams = Streams(Exec(access))
        self._router = Router(Settings(), clock, client, events, streams, registry=registry)
        self._router.wire(self.asked.append)
        self._admits_from = 0.0

    async def reconcile(self, key: Key) -> None:
        """Look at one key; a pass of admission waits for the pause after the one before it."""
        if key == keys.ADMISSION:
            await asyncio.sleep(self._admits_from - self.clock.monotonic())
        began = self.clock.monotonic()
        await self._router.reconcile(key)
        if key == keys.ADMISSION:
            ended = self.clock.monotonic()
            self._admits_from = ended + min(LONGEST_PAUSE, SHARE * (ended - began))
