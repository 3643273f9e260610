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


GRANTS = ("+info", "+ping", "+replconf", "+psync", "+sync", "+config|get")


def test_a_user_with_the_documented_rights_dumps_all(pod: Container, server: redis.Server) -> None:
    server.ask("ACL", "SETUSER", "low", "on", ">lo", "resetkeys", *GRANTS)
    environment = {"PW": "lo"}
    there, password = replace(pod, environment=environment), {"env": "PW"}
    state = dump(there, server, user="low", password=password)
    assert (state.state, state.notes) == (State.DONE, ()), state
    with redis.running(pod.content(state)) as copy:
        assert contents(copy) == contents(server)
    for missing in ("info", "psync"):
        server.ask("ACL", "SETUSER", "low", "reset", "on", ">lo", *GRANTS, f"-{missing}", "-sync")
        task = pod.task(missing)
        state = dump(there, server, task, user="low", password=password)
        assert state.state == State.FAILED, (missing, state)
        assert "NOPERM" in (state.message or "")
        assert "ACL SETUSER low +info +ping +replconf +psync +sync" in (state.message or "")


def test_a_value_of_9_mb_is_restored(pod: Container, server: redis.Server) -> None:
    server.ask("SETRANGE", "large", str(9 * 1024 * 1024), b"\xff")
    try:
        with redis.running(pod.content(dump(pod, server))) as copy:
            assert copy.ask("DEBUG", "DIGEST") == server.ask("DEBUG", "DIGEST")
    finally:
        server.ask("DEL", "large")


def test_keys_that_the_dump_lacks_are_counted(pod: Container, server: redis.Server) -> None:
    """A file of another server in the place of what the server sends."""
    with redis.running() as other:
        other.ask("SET", "only", "one")
        empty = replace(pod, folder=pod.folder / "other")
        empty.folder.mkdir()
        assert dump(empty, other).notes == ()
        folder = pod.folder / "bin"
        folder.mkdir()
        (folder / "redis-cli").write_text(
            f'#!/bin/sh\ncase $* in *--rdb*) cp {empty.file} "{pod.file}.partial"; exit ;; esac\n'
            'exec /usr/bin/redis-cli "$@"\n'
        )
        (folder / "redis-cli").chmod(0o755)
        state = dump(replace(pod, programs=f"{folder}:/usr/bin"), server)
    assert state.notes == ("the server had 7 keys before and after the dump, which has 1",), state


def test_one_node_of_a_cluster_says_that_it_is_one(dash: Container) -> None:
    settings = ("--cluster-enabled", "yes")
    with redis.running(settings=settings) as node:
        pod = replace(dash, environment={"REDIS_PASSWORD": redis.PASSWORD})
        (note,) = dump(pod, node).notes
        assert "a node of a cluster: the dump has the keys of its own slots only" in note


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
