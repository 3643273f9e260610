"""One read for many looks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.support.clock import VirtualClock, settle

from backstay.domain.errors import Transient
from backstay.kube.shared import MOST, Shared

KEEP = timedelta(seconds=10)


class Reads:
    """Reads that are answered when a test says so, with their number."""

    def __init__(self) -> None:
        self.count = 0
        self.may = asyncio.Event()
        self.fails = False

    async def read(self) -> int:
        self.count += 1
        number = self.count
        await self.may.wait()
        if self.fails:
            raise Transient("it fails")
        return number


async def test_who_asks_while_a_read_is_under_way_waits_for_that_one() -> None:
    shared, reads = Shared(VirtualClock()), Reads()
    asking = [asyncio.create_task(shared.read("classes", reads.read, keep=KEEP)) for _ in range(3)]
    await settle()
    asking[0].cancel()  # the one that began it, and no other
    reads.may.set()

    assert await asyncio.gather(*asking[1:]) == [1, 1]
    assert reads.count == 1


async def test_an_answer_is_kept_from_the_beginning_of_its_read_and_no_longer() -> None:
    clock = VirtualClock()
    shared, reads = Shared(clock), Reads()
    asking = asyncio.create_task(shared.read("classes", reads.read, keep=KEEP))
    await clock.advance(6)
    reads.may.set()
    assert await asking == 1

    await clock.advance(3.9)
    assert await shared.read("classes", reads.read, keep=KEEP) == 1
    await clock.advance(0.1)
    assert await shared.read("classes", reads.read, keep=KEEP) == 2


async def test_who_wants_it_fresh_reads_it_for_the_others_too() -> None:
    shared, reads = Shared(VirtualClock()), Reads()
    reads.may.set()
    await shared.read("classes", reads.read, keep=KEEP)

    assert await shared.read("classes", reads.read, keep=timedelta(0)) == 2
    assert await shared.read("classes", reads.read, keep=KEEP) == 2


async def test_a_failure_is_kept_by_nobody() -> None:
    shared, reads = Shared(VirtualClock()), Reads()
    reads.may.set()
    reads.fails = True
    with pytest.raises(Transient):
        await shared.read("classes", reads.read, keep=KEEP)

    reads.fails = False
    assert await shared.read("classes", reads.read, keep=KEEP) == 2


async def test_the_oldest_answers_go_when_there_are_too_many() -> None:
    shared, reads = Shared(VirtualClock()), Reads()
    reads.may.set()
    for number in range(MOST + 1):
        await shared.read(number, reads.read, keep=KEEP)

    assert await shared.read(MOST, reads.read, keep=KEEP) == MOST + 1
    assert await shared.read(0, reads.read, keep=KEEP) == MOST + 2
