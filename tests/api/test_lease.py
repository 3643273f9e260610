"""The Lease on a real API server, in real time but with short durations."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from tests.support.waiting import within

from backstay.domain import objects
from backstay.domain.errors import Fatal
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.lease import Elector
from backstay.kube.login import Login
from backstay.kube.resources import LEASE

DURATION = timedelta(seconds=6)
"""What a test that waits for its end waits for; a slow API server must still renew within it."""
Elect = Callable[[str], Elector]


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def elect(client: Client, namespace: str, clock: SystemClock) -> Elect:
    def make(identity: str) -> Elector:
        return Elector(
            client,
            clock,
            namespace=namespace,
            name="backstay",
            identity=identity,
            duration=DURATION,
            renew=timedelta(seconds=0.5),
        )

    return make


@contextlib.asynccontextmanager
async def kept(elector: Elector, on_lost: Callable[[], None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(elector.run(on_lost))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def never() -> None:
    raise AssertionError("the lease was lost")


def leads(elector: Elector) -> bool:
    try:
        elector.fence()
    except Fatal:
        return False
    return True


async def holder(client: Client, namespace: str) -> str:
    lease = await client.get(LEASE, "backstay", namespace)
    return str(objects.dig(lease, "spec", "holderIdentity", default=""))


async def test_of_two_that_start_together_exactly_one_leads(elect: Elect) -> None:
    electors = [elect("a"), elect("b")]
    races = {elector: asyncio.create_task(elector.acquire()) for elector in electors}
    async with within(180, "one of two to lead"):
        await asyncio.wait(races.values(), return_when=asyncio.FIRST_COMPLETED)
    winner = next(elector for elector, race in races.items() if race.done())
    loser = next(elector for elector in electors if elector is not winner)
    async with kept(winner, never):
        # Longer than the duration: the loser sees renewals, and so never takes over.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(races[loser]), DURATION.total_seconds() * 1.5)
        assert (leads(winner), leads(loser)) == (True, False)
    races[loser].cancel()
    await asyncio.wait({races[loser]})  # or its request outlives the client


async def test_another_takes_over_when_the_holder_is_gone_and_not_before(
    elect: Elect, clock: SystemClock, client: Client, namespace: str
) -> None:
    first, second = elect("first"), elect("second")
    await first.acquire()
    deadline = first.deadline()
    assert deadline is not None
    started = clock.monotonic()
    async with within(180, "the Lease to be taken over"):
        await second.acquire()
    assert clock.monotonic() - started >= DURATION.total_seconds()
    assert clock.monotonic() > deadline
    assert (leads(first), leads(second)) == (False, True)
    assert await holder(client, namespace) == "second"
    lease = await client.get(LEASE, "backstay", namespace)
    assert lease["spec"]["leaseTransitions"] == 1


async def test_who_lost_the_lease_learns_it_and_never_writes_again(elect: Elect) -> None:
    first, second = elect("first"), elect("second")
    await first.acquire()
    async with within(180, "the Lease to be taken over"):
        await second.acquire()
    lost = asyncio.Event()
    seen = within(180, "the first holder to see that it lost the Lease")
    async with kept(second, never), kept(first, lost.set), seen:
        await lost.wait()
    with pytest.raises(Fatal, match="is lost: no write"):
        first.fence()


async def test_a_released_lease_is_free_at_once(
    elect: Elect, clock: SystemClock, client: Client, namespace: str
) -> None:
    first, second = elect("first"), elect("second")
    await first.acquire()
    await first.release()
    assert not leads(first)
    assert await holder(client, namespace) == ""
    started = clock.monotonic()
    await second.acquire()
    assert clock.monotonic() - started < DURATION.total_seconds()
    assert leads(second)


async def test_a_holder_that_finds_the_lease_edited_goes_on(
    elect: Elect, client: Client, namespace: str
) -> None:
    elector = elect("first")
    await elector.acquire()
    before = await client.get(LEASE, "backstay", namespace)
    edit = {"resourceVersion": objects.version(before), "labels": {"edited": "by-hand"}}
    await client.patch(LEASE, "backstay", namespace, {"metadata": edit})
    async with kept(elector, never), within(180, "the Lease to be renewed"):
        renewed = before
        while renewed["spec"]["renewTime"] == before["spec"]["renewTime"]:
            await asyncio.sleep(0.05)
            renewed = await client.get(LEASE, "backstay", namespace)
    assert leads(elector)
    assert objects.labels(renewed) == {"edited": "by-hand"}


async def test_the_fence_stops_writes_of_the_client(
    elect: Elect, credentials: Login, clock: SystemClock, namespace: str
) -> None:
    elector = elect("first")
    body: objects.Obj = {"metadata": {"name": "x", "namespace": namespace}, "spec": {}}
    async with Client(credentials, clock, fence=elector.fence) as fenced:
        with pytest.raises(Fatal, match="is not held: no write"):
            await fenced.create(LEASE, body)
        await elector.acquire()
        await fenced.create(LEASE, body)
        await elector.release()
        with pytest.raises(Fatal, match="is lost: no write"):
            await fenced.create(LEASE, {"metadata": {"name": "y", "namespace": namespace}})
