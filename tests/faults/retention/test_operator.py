"""The whole operator, `python -m backstay`: killed on its way through a sweep, and two at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

import pytest
from tests.faults.retention.stage import Stage, Undisturbed, undisturbed, unproven
from tests.faults.retention.test_rivals import delays, first_write
from tests.faults.retention.world import HERE, World
from tests.support import lives
from tests.support.apiserver import running_api_server
from tests.support.fault_proxy import Call, FaultProxy, Moment, Point, meet
from tests.support.operator_process import OperatorProcess, running_operator
from tests.support.waiting import within

from backstay.kube.resources import VOLUME_SNAPSHOT_CONTENT

DEADLINE = 90
"""Seconds for what takes 15: a pass comes at most every 2."""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An API server of their own: the operator works on all namespaces of it."""
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as path:
        yield path


@contextlib.asynccontextmanager
async def operator(
    stage: Stage, world: World, proxy: FaultProxy, name: str
) -> AsyncIterator[OperatorProcess]:
    """An operator with a Lease of its own, so that it need not wait for that of a dead one."""
    file = proxy.write_kubeconfig(stage.folder / f"kubeconfig-{name}")
    log = stage.folder / "operator.log"
    async with running_operator(file, world.namespace, lease=name, log=log) as process:
        yield process


async def until_ended(
    stage: Stage, world: World, expected: Undisturbed, may_stay: Collection[str] = ()
) -> None:
    """Wait until the world is as an undisturbed pass leaves it, but for the policy's status, and
    for contents of `may_stay` that are left.
    """

    loop = asyncio.get_running_loop()
    limit = loop.time() + DEADLINE
    while True:
        try:
            names = {name: world.content_name(name) for name in may_stay}
            find = stage.client.find
            left = [n for n, c in names.items() if await find(VOLUME_SNAPSHOT_CONTENT, c)]
            await stage.check_disks(world, orphans=left)
            # The operator describes the policy too, which a retention pass does not.
            return await expected.check(world, HERE, *left)
        except AssertionError:
            if loop.time() > limit:
                raise
        await asyncio.sleep(0.2)


def steps_of(world: World, name: str) -> list[tuple[str, str, str, Moment]]:
    """The way of a point that is swept: the write at which each life in turn is killed."""
    content = world.content_name(name)
    return [
        ("delete", "volumesnapshots", name, Moment.BEFORE),
        ("patch", "volumesnapshotcontents", content, Moment.COMMITTED),  # the proof
        ("patch", "volumesnapshotcontents", content, Moment.BEFORE),  # to Delete
        ("patch", "volumesnapshotcontents", content, Moment.COMMITTED),
        ("delete", "volumesnapshotcontents", content, Moment.COMMITTED),
        ("delete", "backups", f"backup-{name}", Moment.BEFORE),
    ]


async def test_an_operator_killed_on_every_step_of_a_sweep_is_followed_by_one_that_goes_on(
    stage: Stage,
) -> None:
    expected = await undisturbed(stage, in_use=False)
    world = await stage.new_world(in_use=False)

    window: set[str] = set()
    for number, (verb, resource, name, moment) in enumerate(steps_of(world, "expired")):
        namespace = "" if resource == "volumesnapshotcontents" else world.namespace
        point = Point(Call(verb, resource, "", namespace, name))
        async with (
            stage.proxy() as proxy,
            operator(stage, world, proxy, f"life-{number}") as process,
        ):
            proxy.kill_at(point, moment, process.kill)
            async with within(DEADLINE, f"life {number} to come to {point}"):
                assert await process.ended() == lives.KILLED, process.log.read_text()
            # Other points may have been between their DELETE and its proof.
            window |= unproven(world, proxy) - {"expired"}

    async with stage.proxy() as proxy, operator(stage, world, proxy, "last"):
        await until_ended(stage, world, expected, window)


async def test_two_operators_that_both_lead_end_with_the_same_world(stage: Stage) -> None:
    expected = await undisturbed(stage, in_use=False)
    world = await stage.new_world(in_use=False)

    async with stage.proxy() as one, stage.proxy() as two:
        one.before_write, two.before_write = delays(0), delays(2)
        holds = [proxy.hold_at(first_write(world, "expired")) for proxy in (one, two)]
        async with operator(stage, world, one, "one"), operator(stage, world, two, "two"):
            await meet(holds)
            await until_ended(stage, world, expected)
        assert one.refused or two.refused, "who met did not compete"
