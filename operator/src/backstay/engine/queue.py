"""A keyed work queue: what to look at next, and when to look again.

Invariants:

- A key carries no event, only "look at this": the callback reads the world and decides.
- One key is never processed by two workers at once. An `add` while it is processed makes it run
  once more afterwards, so that what happened during the run is never missed.
- A wake-up is never lost. A key has at most one delayed wake-up, the earliest asked for; it
  stays when the key runs before (an idle look is cheap, a missed one is not).
- A key whose time has come does not wait behind all that a resync added at once, nor the other
  way round: workers take from both in turn.
- A namespace has at most half of the workers, rounded up, at its keys; in their order.
- A key that fails waits longer each time (see retries.py), whatever other keys do; success forgets
  its failures.
- `Fatal` ends `run()`; nothing else does but cancellation and `stop()`.

All methods but `add_threadsafe` belong to the loop that the queue was made in.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from backstay.domain.clock import Clock
from backstay.domain.errors import Fatal, NotServed
from backstay.engine.group import run_together
from backstay.engine.retries import Outcome, judge

log = logging.getLogger(__name__)


class Key(NamedTuple):
    """What to reconcile: a kind ("Backup"), a namespace ("" if it has none) and a name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


Reconcile = Callable[[Key], Awaitable[timedelta | None]]
OnDone = Callable[[Key, float, str], None]


class Queue:
    """Runs `reconcile` for each key that is due.

    Given the callback (returns when to look again, None for "not until somebody adds it"), a
    clock, a number of workers, and optionally `on_done(key, seconds, outcome)` for metrics and
    `longest`, by kind, between two tries of what fails (else LONGEST). To be made inside the
    running loop.
    """

    def __init__(
        self,
        reconcile: Reconcile,
        clock: Clock,
        *,
        workers: int = 4,
        on_done: OnDone | None = None,
        longest: Mapping[str, timedelta] | None = None,
    ) -> None:
        self._reconcile = reconcile
        self._longest = longest or {}
        self._clock = clock
        self._workers = workers
        self._on_done = on_done
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Key] = deque()
        self._timely: deque[Key] = deque()
        """Keys whose time has come; they may stand in `_ready` as well."""
        self._turn = False
        self._queued: set[Key] = set()
        self._running: set[Key] = set()
        self._busy: Counter[str] = Counter()
        """By namespace: workers that are at its keys."""
        self._aside: dict[str, dict[Key, None]] = {}
        """By namespace: keys whose turn came while it had its share of the workers."""
        self._again: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._failures: dict[Key, int] = {}
        self._work = asyncio.Event()
        self._earlier = asyncio.Event()
        self._stopping = False

    def __len__(self) -> int:
        """Return how many keys wait for a worker now; delayed ones do not count."""
        return len(self._queued) + len(self._again)

    def add(self, key: Key) -> None:
        """Given a key, have it processed as soon as a worker is free, once."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._work.set()

    def _add_timely(self, key: Key) -> None:
        if key in self._running:
            self._again.add(key)
        else:
            self._queued.add(key)
            self._timely.append(key)
            self._work.set()

    def add_after(self, key: Key, delay: timedelta) -> None:
        """Given a key and a delay, have it processed then, or before if asked for already."""
        if delay <= timedelta(0):
            self.add(key)
            return
        due = self._clock.monotonic() + delay.total_seconds()
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        if self._heap[0][2] == key:
            self._earlier.set()

    def add_threadsafe(self, key: Key) -> None:
        """Given a key, `add` it from any thread. After the loop's end: a no-op."""
        try:
            self._loop.call_soon_threadsafe(self.add, key)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def stop(self) -> None:
        """Take no more keys; `run()` returns when those being processed are done."""
        self._stopping = True
        self._work.set()
        self._earlier.set()

    async def run(self) -> None:
        """Process keys until `stop()` or cancellation. Raise Fatal as soon as a callback does."""
        workers = (self._work_on() for _ in range(self._workers))
        await run_together(self._release_on_time(), *workers)

    async def _work_on(self) -> None:
        while not self._stopping:
            key = self._take()
            if key is None:
                self._work.clear()
                await self._work.wait()
                continue
            self._running.add(key)
            self._busy[key.namespace] += 1
            try:
                await self._process(key)
            finally:
                self._running.discard(key)
                self._leave(key.namespace)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    def _take(self) -> Key | None:
        """The next key, from the other line than the one before if there is any."""
        self._turn = not self._turn
        lines = (self._timely, self._ready)
        for line in lines if self._turn else reversed(lines):
            while line:
                key = line.popleft()
                if key not in self._queued:  # the other line had it too
                    continue
                if self._has_its_share(key.namespace):
                    self._aside.setdefault(key.namespace, {})[key] = None
                    continue
                self._queued.discard(key)
                return key
        return None

    def _has_its_share(self, namespace: str) -> bool:
        """Whether a namespace has half of the workers: the others are for other namespaces, however
        long the containers of this one take to answer.
        """
        return bool(namespace) and self._busy[namespace] >= (self._workers + 1) // 2

    def _leave(self, namespace: str) -> None:
        """A worker is done with a key of a namespace: the next one that was put aside is ready."""
        self._busy[namespace] -= 1
        if not self._busy[namespace]:
            del self._busy[namespace]
        aside = self._aside.get(namespace, {})
        while aside:
            key = next(iter(aside))
            del aside[key]
            if key in self._queued:  # else it was taken from the other line
                self._ready.appendleft(key)
                self._work.set()
                break
        if not aside:
            self._aside.pop(namespace, None)

    async def _process(self, key: Key) -> None:
        started = self._clock.monotonic()
        try:
            after = await self._reconcile(key)
        except Fatal:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that the callback waited for was cancelled, not we: a worker must not go.
            outcome = self._failed(key, error)
        except Exception as error:  # noqa: BLE001 - the worker loop is where all errors end
            outcome = self._failed(key, error)
        else:
            self._failures.pop(key, None)
            outcome = Outcome.DONE
            if after is not None:
                outcome = Outcome.REQUEUED
                self.add_after(key, after)
        if self._on_done is not None:
            self._on_done(key, self._clock.monotonic() - started, outcome)

    def _failed(self, key: Key, error: BaseException) -> Outcome:
        """Log the error, plan the retry, and name the outcome."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        outcome, delay = judge(error, failures, self._longest.get(key.kind), self._clock)
        self.add_after(key, delay)
        text = "%s: %s; try %d failed, next in %.1f s"
        about = (key, error, failures, delay.total_seconds())
        if outcome is Outcome.ERROR:
            log.error(text, *about, exc_info=error)
        elif outcome is Outcome.CONFLICT or isinstance(error, NotServed):
            # Of a kind that is not served each key fails: whoever watches it reports that once.
            log.info(text, *about)
        else:
            log.warning(text, *about)
        return outcome

    async def _release_on_time(self) -> None:
        """Move delayed keys to the ready ones when their time has come."""
        while not self._stopping:
            now = self._clock.monotonic()
            while self._heap and self._heap[0][0] <= now:
                due, _, key = heapq.heappop(self._heap)
                if self._due.get(key) == due:  # else an earlier wish has replaced it
                    del self._due[key]
                    self._add_timely(key)
            self._earlier.clear()
            if self._heap:
                await self._sleep_or_earlier(self._heap[0][0] - now)
            else:
                await self._earlier.wait()

    async def _sleep_or_earlier(self, seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        earlier = asyncio.ensure_future(self._earlier.wait())
        try:
            await asyncio.wait({sleep, earlier}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            earlier.cancel()
