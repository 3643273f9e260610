"""The queue's workers are shared among namespaces."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.support.clock import VirtualClock, settle
from tests.unit.engine.test_queue import A, B, Script, running

from backstay.engine.queue import Key, Queue


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def script(clock: VirtualClock) -> Script:
    return Script(clock)


async def test_keys_of_one_namespace_that_take_long_leave_workers_to_others(
    clock: VirtualClock, script: Script
) -> None:
    script.gate = asyncio.Event()
    slow = [Key("Backup", "slow", f"{n:03}") for n in range(100)]
    others = [Key("Backup", f"other-{n}", "a") for n in range(2)]
    queue = Queue(script, clock, workers=4)
    async with running(queue):
        for key in (*slow, *others, Key("Sweeps", "", "all")):
            queue.add(key)
        await settle()
        begun = [key for _, key in script.runs]
        assert begun == [*slow[:2], *others], "half of the workers, and the rest for others"

        script.gate.set()
        await settle()
        await clock.advance(1)

    ran = [key for _, key in script.runs]
    assert [key for key in ran if key in slow] == slow, "each once, in order"
    assert len(ran) == 103
    assert len(queue) == 0


async def test_a_key_that_was_put_aside_is_not_lost_nor_run_twice_when_its_time_comes(
    clock: VirtualClock, script: Script
) -> None:
    queue = Queue(script, clock, workers=2)
    script.gate = asyncio.Event()
    async with running(queue):
        queue.add(A)
        await settle()
        queue.add(B)
        queue.add_after(B, timedelta(seconds=1))
        await clock.advance(2)
        assert script.times(B) == [], "its namespace has its share"

        script.gate.set()
        await settle()
        await clock.advance(1)

    assert len(script.times(B)) == 1
    assert len(queue) == 0
