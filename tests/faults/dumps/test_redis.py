"""Redis dumps against a real server: round trips, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.faults.dumps.harness import Container
from tests.support import redis

from backstay.api.dumps import Redis
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, DumpTask, State

REDIS = ENGINES["redis"]
KEYS = ("a b\n'\"$(id)", "ü🐘", "bin", "hash", "list", "zset", "stream")


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Server]:
    with redis.running() as found:
        found.ask("SET", KEYS[0], "-x \\ `id`")
        found.ask("SET", KEYS[1], "a😀b", "EX", "1000000")
        found.ask("SETRANGE", "bin", "100000", b"\xff\xfe\r\n")
        found.ask("HSET", "hash", "f ü", "1", "g", "")
        found.ask("RPUSH", "list", *map(str, range(2000)))
        found.ask("ZADD", "zset", "-inf", "low", "1.5", "mid", "+inf", "high")
        found.ask("XADD", "stream", "1-1", "k", "v")
        yield found


@pytest.fixture
def pod(container: Container) -> Container:
    programs = "/usr/bin" if "busybox" in container.shell.argv[0] else ""
    environment = {"REDIS_PASSWORD": redis.PASSWORD}
    return replace(container, environment=environment, programs=programs)


def dump(
    container: Container, server: redis.Server, task: DumpTask | None = None, **values: object
) -> DumpState:
    spec = Redis.model_validate({"host": str(server.socket), **values})
    return container.run(REDIS.start(task or container.task(), spec))


def contents(server: redis.Server) -> list[bytes]:
    return [server.ask("DUMP", key) for key in KEYS] + [server.ask("EXPIRETIME", KEYS[1])]


def test_a_dump_restores_to_the_same_keys(pod: Container, server: redis.Server) -> None:
    state = dump(pod, server)
    assert state.state == State.DONE, state
    assert state.format == "rdb"
    assert state.versions is not None
    assert state.versions["server"].startswith("redis 7.")
    with redis.running(pod.content(state)) as copy:
        assert contents(copy) == contents(server)
        assert copy.ask("DBSIZE") == server.ask("DBSIZE")


def test_what_the_server_refuses_is_said(pod: Container, server: redis.Server) -> None:
    good = dump(pod, server, pod.task("before"))
    wrong = replace(pod, environment={"REDIS_PASSWORD": "wrong"})
    assert "WRONGPASS" in (dump(wrong, server).message or "")
    without = replace(pod, environment={})
    assert "NOAUTH" in (dump(without, server, pod.task(attempt=2)).message or "")
    nowhere = Redis(host="/no/such/socket")
    down = pod.run(REDIS.start(pod.task(attempt=3), nowhere))
    assert "Could not connect" in (down.message or "")
    pod.assert_settled()
    assert pod.result(pod.task("before")) == good
