"""A clock that jumped and that the API server does not show: the Lease knows, retention waits."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from tests.api.test_brakes import (
    Off,
    condition,
    make_lost_content,
    make_point,
    make_policy,
    marked,
    names,
)
from tests.support.kubectl import Kubectl
from tests.support.passes import retention_of, until_idle
from tests.support.waiting import within

from backstay.domain import labels, objects
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.lease import Elector
from backstay.kube.login import Login
from backstay.kube.resources import LEASE, VOLUME_SNAPSHOT_CONTENT


@contextlib.asynccontextmanager
async def leading(client: Client, namespace: str, clock: Off, who: str) -> AsyncIterator[Elector]:
    """Hold the Lease as an operator does, and give it back."""
    elector = Elector(
        client,
        clock,
        namespace=namespace,
        name="backstay",
        identity=who,
        duration=timedelta(seconds=60),
        renew=timedelta(seconds=0.2),
    )
    await elector.acquire()
    keeping = asyncio.create_task(elector.run(lambda: None))
    try:
        yield elector
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        await elector.release()


async def test_a_clock_that_jumped_holds_marks_and_sweeps_until_the_command_of_its_message_is_run(
    client: Client, credentials: Login, namespace: str, kubeconfig: Path
) -> None:
    # given points to be marked and swept, and a sweep that goes on
    await make_policy(client, namespace)
    for day in range(4):
        await make_point(client, namespace, day, "2020-01-01" if day == 3 else None)
    lost = await make_lost_content(client, namespace)
    clock = Off()
    async with (
        leading(client, namespace, clock, "first") as elector,
        # Its client sees no skew, as where the API server's clock was set as well.
        Client(credentials, SystemClock(), memory=elector.memory) as ours,
    ):
        # when the clock is set while the operator runs
        clock.by = timedelta(hours=8)
        await until_idle(retention_of(ours, SystemClock(), namespace, "shop"))
        # then nothing is marked or swept, and the policy says why
        await assert_held(client, namespace, lost, "was set ahead by 8h")
        assert ours.clock_skipped() is not None
    # and the next process reads it from the Lease
    async with (
        leading(client, namespace, clock, "second") as elector,
        Client(credentials, SystemClock(), memory=elector.memory) as ours,
    ):
        passes = retention_of(ours, SystemClock(), namespace, "shop")
        await until_idle(passes)
        message = await assert_held(client, namespace, lost, "was set ahead by 8h")
        # until a person says go on
        program, *command = shlex.split(message.partition("run: ")[2])
        assert program == "kubectl"
        answer = Kubectl(kubeconfig, "default")(*command)
        assert answer.ok, answer.err
        async with within(180, "the brake to be released by a renewal"):
            while elector.memory.brake() is not None:  # noqa: ASYNC110 - a renewal shows it
                await asyncio.sleep(0.05)
        await until_idle(passes)
    assert await marked(client, namespace) == {"day-2"}
    assert await names(client, namespace) == {"day-0", "day-1", "day-2"}
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, lost) is None


async def assert_held(client: Client, namespace: str, lost: str, words: str) -> str:
    assert await marked(client, namespace) == set()
    assert await names(client, namespace) == {f"day-{day}" for day in range(4)}
    assert await client.find(VOLUME_SNAPSHOT_CONTENT, lost) is not None
    held = await condition(client, namespace)
    assert held is not None
    assert (held["status"], held["reason"]) == ("True", "ClockJumped")
    assert words in held["message"]
    message: str = held["message"]
    return message


async def test_a_start_long_after_the_last_renewal_is_noted_by_the_write_that_replaces_it(
    client: Client, namespace: str
) -> None:
    clock = Off()
    async with leading(client, namespace, clock, "first"):
        pass
    clock.by = timedelta(hours=7)
    async with leading(client, namespace, clock, "second") as elector:
        brake = elector.memory.brake()
        lease = await client.get(LEASE, "backstay", namespace)
    assert brake is not None
    assert "the operator was down for 7h" in brake.message
    assert labels.CLOCK_JUMPED in objects.annotations(lease)
    assert elector.memory.skipped() is None
