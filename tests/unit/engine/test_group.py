"""What lives and dies together, and what is not to stop half way."""

from __future__ import annotations

import asyncio

import pytest

from backstay.engine.group import to_the_end


async def test_what_goes_to_the_end_returns_and_raises_as_if_it_were_awaited() -> None:
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise KeyError("why")

    assert await to_the_end(answer()) == 42
    with pytest.raises(KeyError, match="why"):
        await to_the_end(fail())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancellation_is_raised_when_it_has_come_to_its_end(
    times: int, *, fails: bool
) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()
        if fails:
            raise KeyError("why")

    running = asyncio.create_task(to_the_end(work()))
    await begun.wait()
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not running.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert done.is_set()
