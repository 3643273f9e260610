"""The exec driver against a websocket server on loopback that speaks v5."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import timedelta

import pytest
from aiohttp import WSMsgType, web
from tests.unit.kube.conftest import Serve

from backstay.domain.errors import BackstayError, Conflict, Fatal, NotFound, Transient, UserError
from backstay.kube.exec import Exec
from backstay.kube.exec_frames import ExecResult
from backstay.kube.login import Login

SOON = timedelta(seconds=5)
SUCCESS = b"\x03" + json.dumps({"status": "Success"}).encode()


def ended(code: int) -> bytes:
    cause = {"reason": "ExitCode", "message": str(code)}
    state = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [cause]}}
    return b"\x03" + json.dumps(state).encode()


class Kubelet:
    """Notes the request and plays `messages`; with `reads`, answers with stdin's sha256."""

    def __init__(self, *messages: bytes, reads: bool = False, then: str = "close") -> None:
        self.messages = messages
        self.reads = reads
        self.then = then
        self.protocol = "v5.channel.k8s.io"
        self.query: list[tuple[str, str]] = []
        self.sent_by = ""
        self.hang = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.query = list(request.query.items())
        self.sent_by = request.headers.get("Authorization", "")
        socket = web.WebSocketResponse(protocols=(self.protocol,), max_msg_size=0)
        await socket.prepare(request)
        if self.reads:
            await socket.send_bytes(b"\x01" + await read_stdin(socket))
        for message in self.messages:
            await socket.send_bytes(message)
        if self.then == "hang":
            await self.hang.wait()
        elif self.then == "abort":
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.close()
        return socket


async def read_stdin(socket: web.WebSocketResponse) -> bytes:
    digest = hashlib.sha256()
    async for message in socket:
        assert message.type is WSMsgType.BINARY
        if message.data == b"\xff\x00":
            break
        assert message.data[0] == 0
        digest.update(message.data[1:])
    return digest.hexdigest().encode()


async def run(
    login: Login,
    *argv: str,
    stdin: bytes = b"",
    timeout: timedelta = SOON,  # noqa: ASYNC109 - handed on
) -> ExecResult:
    return await Exec(login).run("shop", "pg-0", "pg", argv, stdin=stdin, timeout=timeout)


async def test_output_and_exit_code_come_back(serve: Serve) -> None:
    kubelet = Kubelet(b"\x01", b"\x01out", b"\x02err", ended(3))
    assert await run(await serve(kubelet), "sh", "-c", "x y") == ExecResult(3, b"out", b"err")
    assert kubelet.query == [
        ("container", "pg"), ("stdout", "true"), ("stderr", "true"),
        ("command", "sh"), ("command", "-c"), ("command", "x y"),
    ]  # fmt: skip
    assert kubelet.sent_by == "Bearer of-the-test"


async def test_stdin_arrives_whole_and_ends(serve: Serve) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB: many chunks, more than the socket's buffers
    kubelet = Kubelet(SUCCESS, reads=True)
    result = await run(await serve(kubelet), "sha256sum", stdin=data)
    assert result == ExecResult(0, hashlib.sha256(data).hexdigest().encode(), b"")
    assert ("stdin", "true") in kubelet.query


async def test_a_command_may_end_without_reading_its_input(serve: Serve) -> None:
    result = await run(await serve(Kubelet(ended(1))), "false", stdin=b"x" * 20_000_000)
    assert result.exit_code == 1


@pytest.mark.parametrize("then", ["close", "abort"])
async def test_a_connection_lost_before_the_status_is_no_success(serve: Serve, then: str) -> None:
    login = await serve(Kubelet(b"\x01all of it", then=then))
    with pytest.raises(Transient, match=r"may still run|no connection"):
        await run(login, "pg_dump")


async def test_the_status_ends_the_exec_also_when_the_line_stays_open(serve: Serve) -> None:
    kubelet = Kubelet(SUCCESS, then="hang")
    login = await serve(kubelet)
    async with asyncio.timeout(60):
        result = await run(login, "true", timeout=timedelta(minutes=5))
    assert result.exit_code == 0
    kubelet.hang.set()


async def test_a_command_that_takes_too_long_may_still_run(serve: Serve) -> None:
    kubelet = Kubelet(then="hang")
    login = await serve(kubelet)
    with pytest.raises(Transient, match=r"not finished after 0\.1 s; the command may still run"):
        await run(login, "sleep", timeout=timedelta(seconds=0.1))
    kubelet.hang.set()


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(400, NotFound), (404, NotFound), (403, Transient), (409, Conflict), (500, Transient)],
)
async def test_a_refused_handshake_has_a_meaning(
    serve: Serve, status: int, meaning: type[BackstayError]
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    login = await serve(refuse)
    with pytest.raises(meaning, match=r"exec in Pod shop/pg-0 \(pg\): "):
        await run(login, "true")


async def test_a_server_that_cannot_end_stdin_is_refused(serve: Serve) -> None:
    kubelet = Kubelet(SUCCESS)
    kubelet.protocol = "v4.channel.k8s.io"
    login = await serve(kubelet)
    with pytest.raises(UserError, match="needs Kubernetes"):
        await run(login, "true")


async def test_no_command_starts_when_the_fence_is_down(serve: Serve) -> None:
    def fence() -> None:
        raise Fatal("the lease is lost")

    kubelet = Kubelet(SUCCESS)
    login = await serve(kubelet)
    with pytest.raises(Fatal):
        await Exec(login, fence=fence).run("shop", "pg-0", "pg", ["true"], timeout=SOON)
    assert kubelet.query == []


async def test_a_dead_server_is_transient(serve: Serve) -> None:
    login = await serve(Kubelet())
    login._configuration.host = "http://127.0.0.1:1"
    with pytest.raises(Transient, match="no connection to the API server"):
        await run(login, "true")
