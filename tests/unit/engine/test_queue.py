"""The keyed queue, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from tests.support.clock import VirtualClock, settle

from backstay.domain.errors import Conflict, DataError, Fatal, NotFound, Transient, UserError
from backstay.engine.queue import Key, Queue

A = Key("Backup", "shop", "a")
B = Key("Backup", "shop", "b")

Answer = timedelta | None | BaseException


class Script:
    """A reconcile callback: notes when each key ran and answers what the test put in."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.runs: list[tuple[float, Key]] = []
        self.answers: dict[Key, list[Answer]] = {}
        self.gate: asyncio.Event | None = None
        self.inside: set[Key] = set()
        self.most_at_once = 0

    async def __call__(self, key: Key) -> timedelta | None:
        assert key not in self.inside, f"{key} is processed twice at once"
        self.inside.add(key)
        self.most_at_once = max(self.most_at_once, len(self.inside))
        self.runs.append((self.clock.monotonic(), key))
        try:
            if self.gate is not None:
                await self.gate.wait()
            script = self.answers.get(key)
            answer = script.pop(0) if script else None
        finally:
            self.inside.discard(key)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def times(self, key: Key = A) -> list[float]:
        return [round(moment, 3) for moment, ran in self.runs if ran == key]


@contextlib.asynccontextmanager
async def running(queue: Queue) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(queue.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def script(clock: VirtualClock) -> Script:
    return Script(clock)


async def test_a_key_added_twice_before_it_runs_is_processed_once(
    clock: VirtualClock, script: Script
) -> None:
    queue = Queue(script, clock)
    queue.add(A)
    queue.add(A)
    assert len(queue) == 1
    async with running(queue):
        await settle()
    assert script.times() == [0]
    assert len(queue) == 0


async def test_a_key_added_while_it_runs_is_processed_once_more(
    clock: VirtualClock, script: Script
) -> None:
    script.gate = asyncio.Event()
    queue = Queue(script, clock, workers=3)
    async with running(queue):
        queue.add(A)
        await settle()
        queue.add(A)
        queue.add(A)
        await settle()
        assert len(script.runs) == 1
        script.gate.set()
        await settle()
    assert len(script.runs) == 2


async def test_as_many_keys_are_processed_at_once_as_there_are_workers(
    clock: VirtualClock, script: Script
) -> None:
    script.gate = asyncio.Event()
    queue = Queue(script, clock, workers=2)
    keys = [Key("Backup", str(number), "a") for number in range(5)]
    async with running(queue):
        for key in keys:
            queue.add(key)
        await settle()
        assert len(script.runs) == 2
        script.gate.set()
        await settle()
    assert [key for _, key in script.runs] == keys
    assert script.most_at_once == 2


async def test_the_earliest_of_several_delays_wins(clock: VirtualClock, script: Script) -> None:
    queue = Queue(script, clock)
    async with running(queue):
        queue.add_after(A, timedelta(seconds=60))
        queue.add_after(A, timedelta(seconds=10))
        queue.add_after(A, timedelta(seconds=30))
        queue.add_after(B, timedelta(seconds=20))
        await clock.advance(100)
    assert script.times(A) == [10]
    assert script.times(B) == [20]


async def test_a_shorter_delay_wakes_a_queue_that_sleeps_for_a_longer_one(
    clock: VirtualClock, script: Script
) -> None:
    queue = Queue(script, clock)
    async with running(queue):
        queue.add_after(A, timedelta(seconds=60))
        await settle()
        queue.add_after(B, timedelta(seconds=5))
        await clock.advance(5)
        assert script.times(B) == [5]
        assert script.times(A) == []


async def test_a_delay_survives_that_its_key_runs_before(
    clock: VirtualClock, script: Script
) -> None:
    queue = Queue(script, clock)
    async with running(queue):
        queue.add_after(A, timedelta(seconds=60))
        queue.add(A)
        await clock.advance(60)
    assert script.times() == [0, 60]


async def test_the_callback_says_when_to_look_again(clock: VirtualClock, script: Script) -> None:
    script.answers[A] = [timedelta(seconds=5), timedelta(seconds=7), None]
    queue = Queue(script, clock)
    async with running(queue):
        queue.add(A)
        await clock.advance(600)
    assert script.times() == [0, 5, 12]


async def test_zero_delay_means_now(clock: VirtualClock, script: Script) -> None:
    queue = Queue(script, clock)
    async with running(queue):
        queue.add_after(A, timedelta(0))
        await settle()
    assert script.times() == [0]


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (lambda: Transient("not ready"), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (lambda: NotFound("gone"), [1, 2, 4]),
        (lambda: RuntimeError("a defect"), [1, 2, 4]),
        (lambda: Conflict("somebody was faster"), [0.1, 0.2, 0.4, 0.8]),
        (lambda: Transient("busy", timedelta(seconds=30)), [30, 30, 30]),
        (lambda: DataError("two carriers of one run"), [300, 300]),
    ],
)
async def test_failures_are_retried_with_growing_pauses(
    clock: VirtualClock,
    script: Script,
    error: Callable[[], Exception],
    pauses: list[float],
) -> None:
    script.answers[A] = [error() for _ in pauses]
    queue = Queue(script, clock)
    async with running(queue):
        queue.add(A)
        await clock.advance(3600)
    times = script.times()
    measured = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert measured == pytest.approx(pauses)


async def test_an_object_that_goes_under_a_look_is_a_lost_race_and_no_defect(
    clock: VirtualClock, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    script.answers[A] = [NotFound("patch BackupPolicy shop/daily: not found")]
    queue = Queue(script, clock)
    async with running(queue):
        queue.add(A)
        await settle()
    (reported,) = [record for record in caplog.records if "not found" in record.getMessage()]
    assert (reported.levelname, reported.exc_info) == ("INFO", None)


async def test_success_forgets_the_failures(clock: VirtualClock, script: Script) -> None:
    script.answers[A] = [Transient("x"), Transient("x"), timedelta(seconds=10), Transient("x")]
    queue = Queue(script, clock)
    async with running(queue):
        queue.add(A)
        await clock.advance(60)
    assert script.times() == [0, 1, 3, 13, 14]


async def test_the_retries_of_one_key_do_not_hold_up_another(
    clock: VirtualClock, script: Script
) -> None:
    script.answers[A] = [Transient("x", timedelta(minutes=5))]
    queue = Queue(script, clock, workers=1)
    async with running(queue):
        queue.add(A)
        queue.add(B)
        await settle()
        assert script.times(B) == [0]


async def test_a_write_that_an_admission_policy_refuses_is_retried_ever_later(
    clock: VirtualClock, script: Script
) -> None:
    refused = UserError("Invalid", "denied by an admission policy")
    script.answers[A] = [refused, refused]
    queue = Queue(script, clock)
    async with running(queue):
        queue.add(A)
        await clock.advance(3600)
    assert script.times() == [0, 1, 3]


@pytest.mark.parametrize("luck", [-1.0, 1.0])
async def test_jitter_spreads_retries_but_never_before_what_the_server_asked(luck: float) -> None:
    clock = VirtualClock(luck=luck)
    script = Script(clock)
    script.answers[A] = [Transient("x", timedelta(seconds=8)), Transient("x")]
    queue = Queue(script, clock)
    async with running(queue):
        queue.add(A)
        await clock.advance(100)
    first, second = (8.0, 1.5) if luck < 0 else (10.0, 2.5)
    assert script.times() == [0, first, first + second]


async def test_fatal_ends_run_and_the_other_workers(clock: VirtualClock, script: Script) -> None:
    script.answers[A] = [Fatal("the lease is lost")]
    queue = Queue(script, clock, workers=4)
    queue.add(A)
    with pytest.raises(Fatal, match="the lease is lost"):
        await queue.run()
    await settle()
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_inner_task_costs_a_retry_and_no_worker(
    clock: VirtualClock, script: Script
) -> None:
    script.answers[A] = [asyncio.CancelledError("somebody cancelled what we waited for")]
    queue = Queue(script, clock, workers=1)
    async with running(queue) as task:
        queue.add(A)
        await clock.advance(1)
        assert not task.done()
    assert script.times() == [0, 1]


async def test_each_run_is_reported_with_its_duration_and_outcome(clock: VirtualClock) -> None:
    reported: list[tuple[Key, float, str]] = []
    answers: list[Answer] = [
        Transient("x"), Conflict("x"), RuntimeError("x"), DataError("x"), timedelta(seconds=1),
        UserError("X", "x"),
    ]  # fmt: skip

    async def slow(_key: Key) -> timedelta | None:
        await clock.sleep(3)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    queue = Queue(slow, clock, on_done=lambda *what: reported.append(what))
    async with running(queue):
        queue.add(A)
        await clock.advance(1000)
    outcomes = ["transient", "conflict", "error", "data_error", "requeued", "user_error", "done"]
    assert [outcome for _, _, outcome in reported] == outcomes
    assert {(key, round(seconds, 6)) for key, seconds, _ in reported} == {(A, 3.0)}


async def test_stop_lets_what_runs_end_and_starts_nothing_more(
    clock: VirtualClock, script: Script
) -> None:
    script.gate = asyncio.Event()
    queue = Queue(script, clock, workers=1)
    async with running(queue) as task:
        queue.add(A)
        queue.add(B)
        await settle()
        queue.stop()
        await settle()
        assert not task.done()
        script.gate.set()
        await settle()
        assert task.done()
    assert [key for _, key in script.runs] == [A]


async def test_other_threads_add_through_the_loop(clock: VirtualClock) -> None:
    ran = asyncio.Event()

    async def note(key: Key) -> None:
        assert key == A
        ran.set()

    queue = Queue(note, clock)
    async with running(queue):
        await asyncio.to_thread(queue.add_threadsafe, A)
        await asyncio.wait_for(ran.wait(), timeout=60)


def test_adding_after_the_loop_is_closed_is_harmless() -> None:
    async def build() -> Queue:
        async def nothing(key: Key) -> None:
            raise AssertionError(key)

        return Queue(nothing, VirtualClock())

    queue = asyncio.run(build())
    queue.add_threadsafe(A)


@pytest.mark.parametrize(
    ("key", "text"),
    [(A, "Backup shop/a"), (Key("Node", "", "n1"), "Node n1")],
)
def test_keys_print_as_people_write_them(key: Key, text: str) -> None:
    assert str(key) == text


async def test_a_key_whose_time_has_come_waits_for_one_of_many_that_were_added_before(
    clock: VirtualClock, script: Script
) -> None:
    # given a worker that is busy, and what a resync found
    many = [Key("Backup", "shop", f"found-{number}") for number in range(10)]
    timely = [A, B]
    script.gate = asyncio.Event()
    queue = Queue(script, clock, workers=1)
    async with running(queue):
        for key in timely:
            queue.add_after(key, timedelta(seconds=5))
        for key in many:
            queue.add(key)
        await settle()
        # when their time comes, and one of them was found by the resync as well
        queue.add(B)
        await clock.advance(5)
        assert len(queue) == len(many) - 1 + len(timely)
        script.gate.set()
        await settle()
    # then the worker takes from both in turn, and each key once
    order = [key for _, key in script.runs]
    assert order[:5] in (
        [many[0], A, many[1], B, many[2]],
        [many[0], many[1], A, many[2], B],
    )
    assert sorted(order) == sorted([*many, *timely])
    assert len(queue) == 0
