"""The resync loop, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from datetime import timedelta

import pytest
from tests.support.clock import VirtualClock

from backstay.domain.errors import Fatal, Transient
from backstay.engine.resync import Resync


async def times_until(
    seconds: float, clock: VirtualClock, errors: list[Exception | None]
) -> list[float]:
    """Run a resync of 100 s give or take a tenth; return when the callback was called."""
    called: list[float] = []

    async def look() -> None:
        called.append(clock.monotonic())
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error

    task = asyncio.create_task(Resync(clock, timedelta(seconds=100), 0.1, look).run())
    try:
        await clock.advance(seconds)
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return called


async def test_it_looks_at_once_and_then_each_interval() -> None:
    assert await times_until(250, VirtualClock(), []) == [0, 100, 200]


async def test_jitter_moves_the_interval() -> None:
    assert await times_until(250, VirtualClock(luck=1.0), []) == pytest.approx([0, 110, 220])


async def test_a_failed_pass_is_repeated_soon_and_success_restores_the_interval() -> None:
    errors: list[Exception | None] = [Transient("x"), RuntimeError("x"), None, Transient("x")]
    called = await times_until(110, VirtualClock(), errors)
    assert called == [0, 1, 3, 103, 104]


async def test_pauses_after_failures_never_exceed_the_interval() -> None:
    errors: list[Exception | None] = [Transient("x")] * 20
    called = await times_until(2000, VirtualClock(), errors)
    assert max(later - sooner for sooner, later in itertools.pairwise(called)) == 100


async def test_a_pass_can_be_had_at_once_and_the_interval_starts_over() -> None:
    clock, called = VirtualClock(), list[float]()

    async def look() -> None:
        called.append(clock.monotonic())

    resync = Resync(clock, timedelta(seconds=100), 0.1, look)
    task = asyncio.create_task(resync.run())
    await clock.advance(30)
    resync.wake()
    await clock.advance(110)
    task.cancel()

    assert called == [0, 30, 130]


async def test_fatal_ends_the_loop() -> None:
    async def look() -> None:
        raise Fatal("the lease is lost")

    with pytest.raises(Fatal, match="the lease is lost"):
        await Resync(VirtualClock(), timedelta(seconds=100), 0.1, look).run()
