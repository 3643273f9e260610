"""The operator's part of the retention bench, in a process of its own: its memory and its loop.

Reads words from standard input and answers each with one line of JSON: `look` is one look at
everything, `pass` is that and all retention passes that it asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.copying import stores
from tests.support.passes import retention_reconciler

from backstay.engine.queue import Key, Queue
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import login
from backstay.main import keep_turns_short  # with all that is loaded in the pod: its memory counts
from backstay.reconcile import keys
from backstay.reconcile.resync import Everything
from backstay.reconcile.sweeps import SweepReconciler
from backstay.settings import Settings

TICK = 0.005


class Lag:
    """The longest time between two ticks of the loop, over the tick."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0
        """CPU time of the loop's thread between two ticks: what it did itself, whoever else took
        the cores."""

    async def watch(self) -> None:
        """Go on until cancelled."""
        while True:
            wall, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(TICK)
            self.wall = max(self.wall, time.monotonic() - wall - TICK)
            self.cpu = max(self.cpu, time.thread_time() - cpu)


class Part:
    """The resync, the queue and the reconcilers of retention, wired as main wires them."""

    def __init__(self, client: Client, requests: Counter[str]) -> None:
        clock = SystemClock()
        self._requests = requests
        self._open: set[Key] = set()
        self._idle = asyncio.Event()
        retention = retention_reconciler(client, clock, self._add)
        self._work: dict[str, Callable[[Key], Awaitable[timedelta | None]]] = {
            keys.RETENTION: retention.reconcile,
            keys.SWEEPS: SweepReconciler(client, clock).reconcile,
        }
        self._everything = Everything(client, clock, self._add, stores=stores(client))
        workers = Settings.model_fields["workers"].default
        self.queue = Queue(self._reconcile, clock, workers=workers, on_done=self._done)

    async def _reconcile(self, key: Key) -> timedelta | None:
        return await self._work[key.kind](key)

    def _add(self, key: Key) -> None:
        if key.kind in self._work:
            self._open.add(key)

    def _done(self, key: Key, seconds: float, outcome: str) -> None:
        del seconds
        if outcome == "done":
            self._open.discard(key)
        if not self._open:
            self._idle.set()

    async def measure(self, what: str) -> dict[str, Any]:
        """Given `look` or `pass`, do it; return figures."""
        self._requests.clear()
        lag = Lag()
        watching = asyncio.create_task(lag.watch())
        began, cpu = time.monotonic(), time.process_time()
        await self._everything.look()
        looked = time.monotonic() - began
        passes = len(self._open)
        if what == "pass" and self._open:
            self._idle.clear()
            for key in sorted(self._open):
                self.queue.add(key)
            await self._idle.wait()
        seconds = time.monotonic() - began
        watching.cancel()
        self._open.clear()
        return {
            "looked": looked,
            "seconds": seconds,
            "cpu": time.process_time() - cpu,
            "passes": passes,
            "requests": dict(self._requests),
            "lag": lag.wall,
            "lag_cpu": lag.cpu,
            "resident": _resident(),
        }


def _resident() -> int:
    """Bytes that were resident at most, ever (proc(5), VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def serve(kubeconfig: Path) -> None:
    """Given a kubeconfig, answer until the input ends."""
    requests: Counter[str] = Counter()

    def count(verb: str, plural: str, status: int, seconds: float) -> None:
        del seconds
        requests[f"{verb} {plural}" if 200 <= status < 300 else f"{status} {plural}"] += 1

    async with Client(await login(kubeconfig), SystemClock(), on_request=count) as client:
        part = Part(client, requests)
        running = asyncio.create_task(part.queue.run())
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await part.measure(line.strip())), flush=True)  # noqa: T201
        running.cancel()


if __name__ == "__main__":
    keep_turns_short()
    asyncio.run(serve(Path(sys.argv[1])))
