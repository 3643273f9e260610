"""When a Lease counts as held, on virtual time. Two real electors are in tests/api."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest
from tests.support.clock import VirtualClock, settle

from backstay.domain import clock_trust, labels, objects
from backstay.domain.errors import AlreadyExists, Conflict, Fatal, NotFound, Transient
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.lease import Elector, identity, micro_time
from backstay.kube.resources import Resource


@dataclass
class OneLease(Client):
    """A client of a server that stores one object; each request takes `delay` seconds."""

    clock: VirtualClock
    stored: Obj | None = None
    delay: float = 0.0
    broken: bool = False
    versions: int = 0
    log: list[str] = field(default_factory=list)

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> Obj | None:
        await self._travel(f"find {resource.describe(namespace, name)}")
        return copy.deepcopy(self.stored)

    async def create(self, resource: Resource, body: Obj) -> Obj:
        await self._travel(f"create {resource.kind}")
        if self.stored is not None:
            raise AlreadyExists("there")
        return self._store(body)

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        body: Obj,
        *,
        subresource: str | None = None,
    ) -> Obj:
        del subresource
        await self._travel(f"patch {resource.describe(namespace, name)}")
        if self.stored is None:
            raise NotFound("gone")
        if objects.version(body) != objects.version(self.stored):
            raise Conflict("changed")
        notes = {**objects.annotations(self.stored), **objects.annotations(body)}
        stored = {**self.stored, "metadata": {**self.stored["metadata"], "annotations": notes}}
        return self._store({**stored, "spec": {**self.stored["spec"], **body["spec"]}})

    def _store(self, body: Obj) -> Obj:
        self.versions += 1
        meta = {**body["metadata"], "resourceVersion": str(self.versions)}
        self.stored = {**body, "metadata": meta}
        return copy.deepcopy(self.stored)

    async def _travel(self, what: str) -> None:
        self.log.append(what)
        if self.delay:
            await self.clock.sleep(self.delay)
        if self.broken:
            raise Transient("no connection")

    def take(self, holder: str) -> None:
        """Have somebody else hold the Lease from now."""
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "then"}
        self._store({"metadata": {}, "spec": spec})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> OneLease:
    return OneLease(clock)


@pytest.fixture
def elector(clock: VirtualClock, server: OneLease) -> Elector:
    return Elector(server, clock, namespace="ops", name="backstay", identity="me")


@contextlib.asynccontextmanager
async def task_of(coroutine: object) -> AsyncIterator[asyncio.Task[None]]:
    assert asyncio.iscoroutine(coroutine)
    task: asyncio.Task[None] = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_deadline_counts_from_before_the_request_was_sent(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    server.take("")
    server.delay = 2.0
    async with task_of(elector.acquire()) as task:
        await clock.advance(10)
        assert task.done()
    # Two seconds to look, then the write was sent at 2.0 and answered at 4.0.
    assert elector.deadline() == pytest.approx(2.0 + 12.0)


async def test_the_fence_falls_at_the_deadline_and_stays_down(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    with pytest.raises(Fatal, match="is not held"):
        elector.fence()
    await elector.acquire()
    await clock.advance(11.9)
    elector.fence()
    await clock.advance(0.2)
    with pytest.raises(Fatal, match="is lost"):
        elector.fence()
    assert server.stored is not None
    await elector.release()
    assert server.stored["spec"]["holderIdentity"] == "me", "who lost it has no say any more"


async def test_it_is_renewed_every_five_seconds(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        await clock.advance(60)
        assert server.log.count("patch Lease ops/backstay") == 12
        assert elector.deadline() == pytest.approx(72)
        elector.fence()


async def test_when_the_server_hangs_the_lease_is_lost_at_the_deadline(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    server.delay = 1000.0
    lost: list[float] = []
    async with task_of(elector.run(lambda: lost.append(clock.monotonic()))) as task:
        await clock.advance(30)
        assert task.done()
    assert lost == [pytest.approx(12)]


async def test_an_outage_ends_it_at_the_deadline_and_not_at_the_next_try(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    clock.luck = 0.5  # tries at 5.5, 6.6 ... 11.0, and the next would be at 12.1
    await elector.acquire()
    server.broken = True
    lost: list[float] = []
    async with task_of(elector.run(lambda: lost.append(clock.monotonic()))):
        await clock.advance(30)
    assert lost == [pytest.approx(12)]


async def test_a_fence_that_fell_is_not_lifted_by_a_late_answer(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    server.delay = 3.0
    lost: list[float] = []
    async with task_of(elector.run(lambda: lost.append(clock.monotonic()))):
        await clock.advance(6)  # a renewal is on its way since 5.0
        clock.stall(7)
        with pytest.raises(Fatal):
            elector.fence()
        await clock.advance(1)
    assert lost
    with pytest.raises(Fatal):
        elector.fence()


async def test_a_short_outage_is_survived(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        server.broken = True
        await clock.advance(10)
        server.broken = False
        await clock.advance(60)
        elector.fence()


async def test_a_lease_that_another_took_is_lost_at_the_next_renewal(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    server.take("another")
    lost: list[float] = []
    async with task_of(elector.run(lambda: lost.append(clock.monotonic()))):
        await clock.advance(6)
    assert lost == [5.0]
    with pytest.raises(Fatal):
        elector.fence()


async def test_anothers_lease_is_taken_when_it_has_not_changed_for_its_duration(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    server.take("another")
    async with task_of(elector.acquire()) as task:
        for _ in range(5):  # another renews every 10 s; what its clock says does not matter
            await clock.advance(10)
            assert server.stored is not None
            server.stored["spec"]["renewTime"] = f"at {clock.monotonic()}"
        assert not task.done()
        await clock.advance(14)
        assert not task.done()
        await clock.advance(5)
        assert task.done()
    assert server.stored is not None
    assert server.stored["spec"]["holderIdentity"] == "me"
    assert server.stored["spec"]["leaseTransitions"] == 1


async def test_a_restarted_container_waits_for_the_lease_of_the_process_before_it(
    clock: VirtualClock, server: OneLease
) -> None:
    def elector() -> Elector:
        name = identity("backstay-0", clock)
        return Elector(server, clock, namespace="backstay", name="backstay", identity=name)

    await elector().acquire()  # and it is killed

    await clock.advance(1)
    restarted = asyncio.create_task(elector().acquire())
    await clock.advance(14)
    assert not restarted.done()
    await clock.advance(5)
    assert restarted.done()


async def test_a_write_of_ours_without_an_answer_is_found_and_kept(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    server.take("me")
    await elector.acquire()
    elector.fence()
    assert clock.monotonic() == 0.0


async def test_a_deleted_lease_is_recreated_by_its_holder(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    server.stored = None
    async with task_of(elector.run(pytest.fail)):
        await clock.advance(13)
        elector.fence()
    assert server.stored is not None


async def test_acquire_goes_on_through_an_outage(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    server.broken = True
    async with task_of(elector.acquire()) as task:
        await clock.advance(100)
        assert not task.done()
        server.broken = False
        await clock.advance(3)
        assert task.done()
    await settle()


def note(server: OneLease) -> clock_trust.Jump | None:
    """What the stored Lease remembers."""
    assert server.stored is not None
    text = objects.annotations(server.stored).get(labels.CLOCK_JUMPED)
    return clock_trust.from_note(text) if text is not None else None


HOUR = timedelta(hours=1)


async def test_a_new_lease_and_a_clock_that_runs_as_it_should_are_no_reason_to_hold(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        await clock.advance(7 * 3600)
        assert (elector.memory.brake(), note(server)) == (None, None)


@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR])
async def test_a_clock_that_is_set_is_known_at_once_and_noted_by_the_next_renewal(
    clock: VirtualClock, server: OneLease, elector: Elector, by: timedelta
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        await clock.advance(60)
        clock.set_wall(clock.now() + by)
        held = elector.memory.brake()
        assert held is not None
        assert note(server) is None
        await clock.advance(6)
        jump = note(server)
        assert jump is not None
        assert jump.seen - jump.expected == by
        assert elector.memory.brake() == held
        assert (elector.memory.skipped() is not None) is (by > timedelta(0))
        # and it is over after a day, without anybody's doing
        await clock.advance(24 * 3600)
        assert elector.memory.brake() is None


async def test_a_person_who_takes_the_note_off_is_heard_at_the_next_renewal(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        clock.set_wall(clock.now() + 8 * HOUR)
        await clock.advance(6)
        assert server.stored is not None
        server._store({**server.stored, "metadata": {}})
        await clock.advance(6)
        assert (elector.memory.brake(), note(server)) == (None, None)


@pytest.mark.parametrize(
    ("moved", "held"),
    [(HOUR, False), (7 * HOUR, True), (-HOUR, True), (-timedelta(minutes=5), False)],
)
async def test_the_next_process_compares_its_clock_with_the_last_renewal(
    clock: VirtualClock, server: OneLease, elector: Elector, moved: timedelta, held: bool
) -> None:
    await elector.acquire()
    await elector.release()
    clock.set_wall(clock.now() + moved)
    # given one that is killed right after it took the Lease, the one after it knows as well
    for identity_ in ("next", "after that"):
        after = Elector(server, clock, namespace="ops", name="backstay", identity=identity_)
        async with task_of(after.acquire()) as task:
            await clock.advance(20)
            assert task.done()
        brake = after.memory.brake()
        assert (brake is not None) is held
        assert (note(server) is not None) is held


async def test_a_lease_that_is_deleted_forgets_nothing(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        clock.set_wall(clock.now() + 8 * HOUR)
        await clock.advance(6)
        server.stored = None
        await clock.advance(6)
        assert note(server) is not None


async def test_a_jump_is_noted_though_the_server_does_not_answer_for_a_while(
    clock: VirtualClock, server: OneLease, elector: Elector
) -> None:
    await elector.acquire()
    async with task_of(elector.run(pytest.fail)):
        clock.set_wall(clock.now() - 8 * HOUR)
        server.broken = True
        await clock.advance(8)
        server.broken = False
        await clock.advance(6)
        assert note(server) is not None


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 22, 0, 32, tzinfo=UTC), "2026-11-22T00:32:00.000000Z"),
        (
            datetime(2026, 11, 22, 1, 32, 0, 42, tzinfo=timezone(timedelta(hours=1))),
            "2026-11-22T00:32:00.000042Z",
        ),
    ],
)
def test_micro_time(moment: datetime, text: str) -> None:
    assert micro_time(moment) == text
