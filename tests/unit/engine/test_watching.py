"""Kopf is started, stopped and started again as the definitions of what it watches come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from tests.support.clock import VirtualClock

from backstay.domain.errors import Transient
from backstay.handlers.watching import LOOK, Watching

THERE = {"backups": "uid-1", "policies": "uid-2"}


class Host:
    """Stands for kopf: whether it was started and stopped."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report
        self.state = "made"

    def start(self) -> None:
        self.state = "started"

    def stop(self, seconds: float) -> None:
        assert seconds > 0
        self.state = "stopped"


class Stage:
    """A Watching whose definitions the test sets."""

    def __init__(self) -> None:
        self.found: Mapping[str, str] = THERE
        self.not_served: list[str] = []
        self.error: Transient | None = None
        self.hosts: list[Host] = []
        self.back = 0
        self.ends: list[str] = []
        self.clock = VirtualClock()
        self.watching = Watching(
            self,
            self.clock,
            self._make,  # type: ignore[arg-type]  # it is not kopf
            on_back=self._count,
            on_end=self.ends.append,
        )

    def _make(self, report: Callable[[str], None]) -> Host:
        self.hosts.append(Host(report))
        return self.hosts[-1]

    def _count(self) -> None:
        self.back += 1

    async def look(self) -> Mapping[str, str]:
        if self.error is not None:
            raise self.error
        return self.found

    async def glance(self) -> tuple[str, str]:
        return "backups", (await self.look())["backups"]

    async def unserved(self) -> list[str]:
        return self.not_served

    async def pass_time(self) -> list[str]:
        """Let it look once more; return the states of all hosts so far."""
        await self.clock.advance(LOOK)
        await asyncio.sleep(0.05)  # stop() is called in a thread
        await self.clock.advance(0)
        return [host.state for host in self.hosts]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    task = asyncio.create_task(made.watching.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_nothing_is_done_while_the_definitions_stay_the_same(stage: Stage) -> None:
    for _ in range(5):
        assert await stage.pass_time() == ["started"]
    assert stage.watching.blind is None
    assert stage.back == 0


async def test_a_definition_recreated_between_two_looks_gets_new_watches(stage: Stage) -> None:
    await stage.pass_time()
    stage.found = THERE | {"backups": "uid-3"}

    assert await stage.pass_time() == ["stopped", "started"]
    assert stage.back == 1


async def test_while_one_is_missing_nothing_is_watched_and_it_is_said_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.pass_time()
    caplog.set_level(logging.WARNING)
    stage.found = THERE | {"backups": ""}
    for _ in range(4):
        assert await stage.pass_time() == ["stopped"]
        assert stage.watching.blind is not None
        assert "backups" in stage.watching.blind
    assert len(caplog.records) == 1

    stage.found, stage.not_served = THERE | {"backups": "uid-3"}, ["backups"]
    assert await stage.pass_time() == ["stopped"], "it is there, but not served yet"

    stage.not_served = []
    assert await stage.pass_time() == ["stopped", "started"]
    assert stage.watching.blind is None
    assert (stage.back, len(caplog.records)) == (1, 2)


async def test_one_that_is_missing_at_the_start_is_waited_for() -> None:
    stage = Stage()
    stage.found = THERE | {"backups": ""}
    task = asyncio.create_task(stage.watching.run())
    assert await stage.pass_time() == []

    stage.found = THERE
    assert await stage.pass_time() == ["started"]
    task.cancel()


async def test_kopfs_end_ends_the_process_unless_a_definition_is_the_cause(stage: Stage) -> None:
    await stage.pass_time()
    stage.found = THERE | {"backups": ""}
    stage.hosts[0].report("404 page not found")
    await stage.pass_time()
    assert stage.ends == []

    stage.found = THERE
    await stage.pass_time()
    stage.hosts[-1].report("500 for too long")
    await stage.pass_time()
    assert set(stage.ends) == {"500 for too long"}


async def test_whoever_may_not_look_at_definitions_watches_all_the_same() -> None:
    stage = Stage()
    stage.error = Transient("forbidden (HTTP 403)")
    task = asyncio.create_task(stage.watching.run())

    for _ in range(3):
        assert await stage.pass_time() == ["started"]
    assert stage.watching.blind is None
    task.cancel()


async def test_a_look_that_fails_changes_nothing(stage: Stage) -> None:
    await stage.pass_time()
    stage.error = Transient("no connection")

    assert await stage.pass_time() == ["started"]
    assert stage.watching.blind is None
