"""The proxy that faults are made with: it passes everything on, but where a test stops it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.support.clock import InstantClock
from tests.support.fault_proxy import Call, FaultProxy, Moment, Point
from tests.unit.kube.conftest import Serve

from backstay.domain.errors import Transient
from backstay.kube.client import Client
from backstay.kube.exec import Exec
from backstay.kube.exec_frames import PROTOCOL
from backstay.kube.login import Login, login
from backstay.kube.resources import BACKUP, LEASE, VOLUME_SNAPSHOT

SNAPSHOT = {"metadata": {"name": "s1", "namespace": "team"}}
CREATE = Call("create", "volumesnapshots", "", "team", "s1")
EXEC = Call("connect", "pods", "exec", "team", "pg-0")
SOON = timedelta(seconds=5)


class Server:
    """Answers everything with an object, and an exec by what it is sent."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.sent_by = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path}")
        self.sent_by = request.headers.get("Authorization", "")
        if request.query.get("watch"):
            return await self._watch(request)
        if "Upgrade" in request.headers:
            return await self._exec(request)
        body = await request.text()
        return web.json_response({"metadata": {"name": "x", "resourceVersion": "1"}, "sent": body})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n')
        await asyncio.Event().wait()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        heard = await socket.receive_bytes()
        await socket.send_bytes(b"\x01" + heard[1:])
        await socket.send_bytes(b"\x03" + json.dumps({"status": "Success"}).encode())
        await socket.close()
        return socket


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def proxy(server: Server, serve: Serve) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(await serve(server)) as proxy:
        yield proxy


@pytest.fixture
async def near(proxy: FaultProxy, tmp_path: Path) -> Login:
    """What a client of the proxy logs in with."""
    return await login(proxy.write_kubeconfig(tmp_path / "proxied"))


@pytest.fixture
async def client(near: Login) -> AsyncIterator[Client]:
    async with Client(near, InstantClock()) as client:
        yield client


async def test_requests_go_through_with_the_credentials_of_its_login(
    server: Server, proxy: FaultProxy, client: Client
) -> None:
    made = await client.create(VOLUME_SNAPSHOT, SNAPSHOT)

    assert json.loads(made["sent"])["metadata"] == SNAPSHOT["metadata"]
    assert server.sent_by == "Bearer of-the-test"
    assert proxy.writes == [Point(CREATE)]


async def test_calls_are_counted_by_all_that_names_them_and_leases_are_not(
    proxy: FaultProxy, client: Client
) -> None:
    patch = {"metadata": {"resourceVersion": "1"}}
    await client.patch(BACKUP, "b", "team", patch)
    await client.patch(BACKUP, "b", "team", patch, subresource="status")
    await client.patch(BACKUP, "b", "team", patch, subresource="status")
    await client.patch(LEASE, "l", "team", patch)
    await client.delete(VOLUME_SNAPSHOT, "s1", "team", uid="u")

    assert [str(point) for point in proxy.writes] == [
        "patch backups b #1",
        "patch backups/status b #1",
        "patch backups/status b #2",
        "delete volumesnapshots s1 #1",
    ]


@pytest.mark.parametrize("moment", Moment)
async def test_a_process_is_killed_before_after_or_past_a_write_and_writes_no_more(
    server: Server, proxy: FaultProxy, client: Client, moment: Moment
) -> None:
    alive = [True]
    proxy.kill_at(Point(CREATE, 2), moment, alive.clear)
    await client.create(VOLUME_SNAPSHOT, SNAPSHOT)

    if moment is Moment.ANSWERED:
        await client.create(VOLUME_SNAPSHOT, SNAPSHOT)
    else:
        with pytest.raises(Transient, match="no connection"):
            await client.create(VOLUME_SNAPSHOT, SNAPSHOT)
    with pytest.raises(Transient, match="no connection"):
        await client.create(VOLUME_SNAPSHOT, SNAPSHOT)

    assert alive == []
    assert len(server.seen) == len(proxy.writes) == (1 if moment is Moment.BEFORE else 2)


async def test_a_call_that_is_held_waits_until_it_is_released(
    server: Server, proxy: FaultProxy, client: Client
) -> None:
    hold = proxy.hold_at(Point(CREATE))
    waiting = asyncio.create_task(client.create(VOLUME_SNAPSHOT, SNAPSHOT))
    await hold.reached.wait()
    assert server.seen == []

    hold.go_on.set()
    await waiting

    assert len(server.seen) == 1


async def test_a_line_that_was_severed_and_mended_works_again_and_watches_end(
    server: Server, proxy: FaultProxy, near: Login, client: Client
) -> None:
    url = f"{near.host}{VOLUME_SNAPSHOT.path()}?watch=true"
    async with near.pool().pool_manager as session, session.get(url) as watch:
        assert await watch.content.readline() == b'{"type":"ADDED"}\n'

        proxy.sever()
        with pytest.raises(aiohttp.ClientPayloadError):
            await watch.content.readline()
    with pytest.raises(Transient, match="no connection"):
        await client.create(VOLUME_SNAPSHOT, SNAPSHOT)

    proxy.mend()
    await client.create(VOLUME_SNAPSHOT, SNAPSHOT)
    assert server.seen[-1] == "POST " + VOLUME_SNAPSHOT.path("team")


async def test_an_exec_goes_through_as_a_call_of_its_own(proxy: FaultProxy, near: Login) -> None:
    found = await Exec(near).run("team", "pg-0", "c", ["cat"], stdin=b"hello", timeout=SOON)

    assert (found.stdout, found.exit_code) == (b"hello", 0)
    assert proxy.writes == [Point(EXEC)]


@pytest.mark.parametrize("moment", Moment)
async def test_a_process_is_killed_before_after_or_past_an_exec(
    server: Server, proxy: FaultProxy, near: Login, moment: Moment
) -> None:
    alive = [True]
    done = proxy.kill_at(Point(EXEC), moment, alive.clear)

    with pytest.raises(Transient):
        await Exec(near).run("team", "pg-0", "c", ["cat"], stdin=b"hello", timeout=SOON)

    await done.wait()
    assert alive == []
    assert len(server.seen) == (0 if moment is Moment.BEFORE else 1)
