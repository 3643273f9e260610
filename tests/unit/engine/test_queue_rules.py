"""The queue's invariants under any order of additions, delays, failures and time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clock import VirtualClock, settle

from backstay.domain.errors import Conflict, Transient
from backstay.engine.queue import Key, Queue

KEYS = [Key("Backup", of, name) for of, name in (("shop", "a"), ("shop", "b"), ("wiki", "c"))]

keys = st.sampled_from(KEYS)
moves = st.one_of(
    st.tuples(st.just("add"), keys, st.just(0.0)),
    st.tuples(st.just("after"), keys, st.floats(0, 50)),
    st.tuples(st.just("pass"), keys, st.floats(0, 20)),
)
answers = st.sampled_from(["done", "again", "transient", "conflict", "slow"])


@dataclass
class World:
    """Runs scripted callbacks and remembers when each key was last looked at."""

    clock: VirtualClock
    script: list[str]
    inside: set[Key] = field(default_factory=set)
    started: dict[Key, float] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> timedelta | None:
        assert key not in self.inside, "one key twice at once"
        self.inside.add(key)
        self.started[key] = self.clock.monotonic()
        try:
            match self.script.pop() if self.script else "done":
                case "again":
                    return timedelta(seconds=3)
                case "transient":
                    raise Transient("x")
                case "conflict":
                    raise Conflict("x")
                case "slow":
                    await self.clock.sleep(7)
            return None
        finally:
            self.inside.discard(key)


async def play(workers: int, script: list[str], steps: list[tuple[str, Key, float]]) -> None:
    clock = VirtualClock()
    world = World(clock, script)
    queue = Queue(world.reconcile, clock, workers=workers)
    wanted: dict[Key, float] = {}  # when each key must have been looked at, at the latest asked
    task = asyncio.create_task(queue.run())
    try:
        for what, key, seconds in steps:
            if what == "add":
                queue.add(key)
                wanted[key] = max(wanted.get(key, 0.0), clock.monotonic())
            elif what == "after":
                queue.add_after(key, timedelta(seconds=seconds))
                wanted.setdefault(key, clock.monotonic())
            else:
                await clock.advance(seconds)
        await clock.advance(3600)
        assert not task.done()
        await settle()
        assert len(queue) == 0
        assert not world.inside
        for key, moment in wanted.items():
            assert world.started[key] >= moment, f"{key} was asked for and not looked at"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.lists(answers, max_size=8), st.lists(moves, max_size=20))
def test_no_wake_up_is_lost_and_no_key_runs_twice_at_once(
    workers: int, script: list[str], steps: list[tuple[str, Key, float]]
) -> None:
    asyncio.run(play(workers, script, steps))
