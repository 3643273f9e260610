"""How long the queue lets what fails wait: as its kind and its deadline allow, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import pytest
from tests.support.clock import VirtualClock

from backstay.domain.errors import BackstayError, Conflict, DataError, NotFound, Transient
from backstay.engine.queue import Key, Queue


@contextlib.asynccontextmanager
async def running(queue: Queue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_failing_key_waits_no_longer_than_its_kind_may() -> None:
    clock = VirtualClock(luck=1.0)
    tries: list[float] = []

    async def fail(_: Key) -> None:
        tries.append(clock.monotonic())
        raise Transient("quota")

    queue = Queue(fail, clock, longest={"Backup": timedelta(seconds=30)})
    queue.add(Key("Backup", "shop", "a"))
    async with running(queue):
        await clock.advance(3600)

    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert max(gaps) == 30
    assert gaps == sorted(gaps), "it waits longer each time, up to that"


@pytest.mark.parametrize("error", [Transient, Conflict, DataError, NotFound])
async def test_a_deadline_is_looked_at_when_it_is_over_whatever_failed(
    error: type[BackstayError],
) -> None:
    clock = VirtualClock()
    deadline = 1000.0
    tries: list[float] = []

    async def fail(_: Key) -> None:
        now = clock.monotonic()
        tries.append(now)
        wrong = error("still")
        if now < deadline:
            wrong.within = timedelta(seconds=deadline - now)
        raise wrong

    queue = Queue(fail, clock)
    queue.add(Key("Backup", "shop", "a"))
    async with running(queue):
        await clock.advance(2000)

    assert deadline in tries


async def test_a_server_that_asks_for_a_pause_gets_it_whatever_is_due() -> None:
    clock = VirtualClock()
    tries: list[float] = []

    async def fail(_: Key) -> None:
        tries.append(clock.monotonic())
        busy = Transient("too many requests", timedelta(seconds=60))
        busy.within = timedelta(seconds=1)
        raise busy

    queue = Queue(fail, clock, longest={"Backup": timedelta(seconds=5)})
    queue.add(Key("Backup", "shop", "a"))
    async with running(queue):
        await clock.advance(119)

    assert tries == [0, 60]
