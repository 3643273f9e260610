"""An operator that does one key at a time, on a clock of its own."""

from __future__ import annotations

from tests.support.schedules import MovedClock

from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import Login
from backstay.main import Router
from backstay.settings import Settings
from backstay.steps.streams import Streams


class Operated:
    """Reconciles the keys that a test names; what they ask for is noted in `asked`."""

    def __init__(self, client: Client, access: Login, clock: MovedClock, namespace: str) -> None:
        self.client = client
        self.clock = clock
        self.namespace = namespace
        self.asked: list[Key] = []
        events = EventPoster(client, clock, "test")
        self._router = Router(Settings(), clock, client, events, Streams(Exec(access)))
        self._router.wire(self.asked.append)

    async def reconcile(self, key: Key) -> None:
        """Look at one key."""
        await self._router.reconcile(key)
