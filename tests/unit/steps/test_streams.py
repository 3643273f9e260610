"""Exec streams are wake-ups: what happened is read again, and what only they said is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.support.answering import Answering
from tests.support.builders import hook_place, place, planned_dump, planned_hook
from tests.support.clock import VirtualClock

from backstay.api.dumps import Postgres
from backstay.api.hooks import Stage
from backstay.api.server import PasswordSource, SecretKeyRef
from backstay.domain.errors import BackstayError, NotFound, Refused, Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.run.sights import DumpSight, HookSight
from backstay.dumps.hooks import HookTask
from backstay.engine.patience import Patience
from backstay.kube.client import Client
from backstay.steps.dumps import Dumping
from backstay.steps.exec_streams import Streams
from backstay.steps.hooks import Hooking

NOTHING = {"state": "none"}
REFUSED = {"state": "failed", "exit": 2, "message": "read-only file system"}


class Container(Answering):
    """Answers each verb as set; a `start` waits until the test releases it."""

    def __init__(self, **answers: Obj | BackstayError) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.stdin = b""
        self.go = asyncio.Event()

    async def answer(self, pod: str, argv: Sequence[str], stdin: bytes) -> Obj:
        del pod
        verb = argv[3]
        self.calls.append(verb)
        if verb != "result":
            self.stdin = stdin
            await self.go.wait()
        answer = self.answers.get(verb, NOTHING)
        if isinstance(answer, BackstayError):
            raise answer
        return answer


class Secrets:
    """A client that knows Secrets only."""

    def __init__(self, data: dict[str, str] | None = None) -> None:
        self._data = data

    async def find(self, resource: Any, name: str, namespace: str) -> Obj | None:
        del resource, name, namespace
        return None if self._data is None else {"data": self._data}


def dumping(container: Container, data: dict[str, str] | None = None) -> Dumping:
    refusals = Patience(VirtualClock(), timedelta(seconds=20))
    return Dumping(cast(Client, Secrets(data)), Streams(container), refusals)


async def test_a_dump_whose_container_may_not_be_asked_fails_after_some_patience() -> None:
    clock = VirtualClock()
    container = Container(result=Refused("exec in Pod shop/pg-0: forbidden (HTTP 403)"))
    patience = Patience(clock, timedelta(seconds=20))
    dumps = Dumping(cast(Client, Secrets()), Streams(container), patience)

    async def sight() -> DumpSight:
        found = await dumps.look("shop", "run", planned_dump(), place(), 1)
        assert "HTTP 403" in found.message
        return found.sight

    assert await sight() is DumpSight.UNREACHABLE
    clock.stall(19)
    assert await sight() is DumpSight.UNREACHABLE
    container.answers["result"] = NOTHING
    assert (await dumps.look("shop", "run", planned_dump(), place(), 1)).sight is DumpSight.NONE
    container.answers["result"] = Refused("again, HTTP 403")
    assert await sight() is DumpSight.UNREACHABLE, "what was granted meanwhile starts over"
    clock.stall(20)
    assert await sight() is DumpSight.FAILED


class Wakes:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


DUMP = planned_dump()


async def test_a_dump_has_one_stream_and_its_end_wakes() -> None:
    container, wake = Container(), Wakes()
    dumps = dumping(container)
    for _ in range(2):
        await dumps.start("team", "run", DUMP, place(), attempt=1, wake=wake)
    await settled()
    assert (container.calls, wake.count) == (["start"], 0)
    assert (await dumps.look("team", "run", DUMP, place(), 1)).task_lives

    container.go.set()
    await settled()

    assert wake.count == 1
    assert not (await dumps.look("team", "run", DUMP, place(), 1)).task_lives


async def test_a_failure_that_could_only_be_said_is_remembered_until_the_run_is_over() -> None:
    container = Container(start=REFUSED)
    container.go.set()
    dumps = dumping(container)
    await dumps.start("team", "run", DUMP, place(), attempt=1, wake=Wakes())
    await settled()

    look = await dumps.look("team", "run", DUMP, place(), 1)
    dumps.forget("run")
    later = await dumps.look("team", "run", DUMP, place(), 1)

    assert (look.sight, look.message) == (DumpSight.FAILED, "read-only file system")
    assert later.sight is DumpSight.NONE


@pytest.mark.parametrize(
    ("error", "sight"),
    [
        (Transient("connection lost"), DumpSight.UNREACHABLE),
        (NotFound("no such pod"), DumpSight.UNREACHABLE),
        (UserError("NoShell", "no /bin/sh"), DumpSight.FAILED),
    ],
)
async def test_what_cannot_be_asked_is_distinguished_from_what_never_can(
    error: BackstayError, sight: DumpSight
) -> None:
    look = await dumping(Container(result=error)).look("team", "run", DUMP, place(), 1)

    assert (look.sight, look.message) == (sight, error.message)


SECRET = Postgres(
    databases=("shop",),
    password=PasswordSource(secret_key_ref=SecretKeyRef(name="pg", key="password")),
)
WITH_SECRET = planned_dump(postgres=SECRET)


async def test_a_password_is_handed_over_on_standard_input_only() -> None:
    container = Container()
    dumps = dumping(container, {"password": "aHVudGVyMg=="})

    await dumps.start("team", "run", WITH_SECRET, place(), attempt=1, wake=Wakes())
    await settled()

    assert b"octal=" in container.stdin
    assert b"hunter2" not in container.stdin


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "there is no Secret team/pg"),
        ({"other": "aHVudGVyMg=="}, "Secret team/pg has no key password"),
        ({"password": "AA=="}, "the Secret's value holds a NUL byte"),
    ],
)
async def test_a_secret_that_is_of_no_use_fails_the_dump_and_says_why(
    data: dict[str, str] | None, message: str
) -> None:
    container, wake = Container(), Wakes()
    dumps = dumping(container, data)

    await dumps.start("team", "run", WITH_SECRET, place(), attempt=1, wake=wake)
    look = await dumps.look("team", "run", WITH_SECRET, place(), 1)

    assert look.sight is DumpSight.FAILED
    assert look.message.endswith(message)
    assert (container.calls, wake.count) == ([], 1)


TASK = HookTask("run", 1, Stage.BEFORE, planned_hook())


async def test_a_hook_is_started_and_released_by_streams_of_their_own() -> None:
    container = Container(result={"state": "held"})
    hooking = Hooking(Streams(container))
    for _ in range(2):
        hooking.start("team", TASK, hook_place(), timedelta(minutes=1), Wakes())
        hooking.release("team", TASK, hook_place(), Wakes())
    await settled()

    look = await hooking.look("team", TASK, hook_place())

    assert container.calls == ["hold", "release", "result"]
    assert (look.sight, look.task_lives) == (HookSight.HELD, True)


async def test_a_hook_that_has_no_place_to_write_to_fails_with_what_it_said() -> None:
    container = Container(hold={"state": "failed", "exit": 2, "message": "cannot be written"})
    container.go.set()
    hooking = Hooking(Streams(container))
    hooking.start("team", TASK, hook_place(), timedelta(minutes=1), Wakes())
    await settled()

    look = await hooking.look("team", TASK, hook_place())

    assert (look.sight, look.message) == (HookSight.FAILED, "cannot be written")


async def test_streams_are_dropped_at_the_end() -> None:
    container = Container()
    streams = Streams(container)
    hooking = Hooking(streams)
    hooking.start("team", TASK, hook_place(), timedelta(minutes=1), Wakes())
    await settled()

    await streams.close()

    container.go.set()
    assert not (await hooking.look("team", TASK, hook_place())).task_lives
