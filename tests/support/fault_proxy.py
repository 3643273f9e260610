"""A proxy between the operator and a real API server: it stops calls where a test says so.

A call is named by verb, resource, subresource, namespace and name; the n-th of the same is a kill
point. Leases and events are passed through and never counted, so that time alone adds no points.
An exec (a websocket) is a call with the verb `connect`. At a point the proxy may do something
before forwarding, after commit without a response, or after the response; `kill_at` ends a
process there and lets nothing more of it through, `hold_at` makes it wait.

It speaks HTTP on loopback without credentials and adds those of the login it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

import aiohttp
import yaml
from aiohttp import web
from multidict import CIMultiDict
from tests.support.waiting import within
from yarl import URL

from backstay.kube.login import Login

LAST_WORDS = 0.05
"""Seconds in which a process that got its response may go on before it is killed."""
MEETING = 50
"""Seconds in which two clients come to the same call: less than a client waits for a response."""
UNCOUNTED = frozenset({"leases", "events"})
WRITES = frozenset({"create", "update", "patch", "delete", "connect"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)

Action = Callable[[], Awaitable[None]]


class Moment(StrEnum):
    """Where in a call something happens."""

    BEFORE = "before forwarding"
    COMMITTED = "after commit without response"
    ANSWERED = "response, then kill"


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """What a request asks for. `namespace` and `name` are "" where it has none."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The `nth` time (from 1) that a call is made through one proxy."""

    call: Call
    nth: int = 1

    def __str__(self) -> str:
        call = self.call
        part = f"/{call.subresource}" if call.subresource else ""
        return f"{call.verb} {call.resource}{part} {call.name} #{self.nth}"

    def renamed(self, old: str, new: str) -> Point:
        """Given a text and its replacement, return the same point in another namespace."""
        call = replace(
            self.call,
            namespace=self.call.namespace.replace(old, new),
            name=self.call.name.replace(old, new),
        )
        return replace(self, call=call)


@dataclass(slots=True)
class Hold:
    """A call that waits."""

    reached: asyncio.Event
    go_on: asyncio.Event


async def meet(holds: Collection[Hold]) -> None:
    """Given calls that wait, each of another client, let none proceed before all are there: where
    all write one object, each but one must be refused. Raise AssertionError if one does not come.
    """
    for number, hold in enumerate(holds, 1):
        async with within(MEETING, f"client {number} of {len(holds)} to come to the meeting"):
            await hold.reached.wait()
    for hold in holds:
        hold.go_on.set()


class FaultProxy:
    """One client's way to the API server that `upstream` names. `async with`."""

    def __init__(self, upstream: Login) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession
        self._counts: Counter[Call] = Counter()
        self._actions: dict[tuple[Point, Moment], Action] = {}
        self._open: list[web.Request] = []
        self._down = asyncio.Event()
        self._mute = asyncio.Event()
        self._refused_one = asyncio.Event()
        self.url = ""
        self.writes: list[Point] = []
        """Writes that were carried out, in the order of their responses."""
        self.refused: list[Point] = []
        """Writes that the API server refused."""
        self.shown: dict[str, str] = {}
        """By resource: the label selector of the objects that lists show, if not all."""
        self.before_write: Callable[[Call], Awaitable[None]] | None = None
        """Awaited before each counted write is forwarded: a place for delays."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._upstream.tls),
            auto_decompress=False,
            proxy=self._upstream.proxy,
        )
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sever()
        # First: it aborts what is under way, where a response would say goodbye and not wait.
        await self._session.close()
        await self._runner.cleanup()

    def write_kubeconfig(self, path: Path) -> Path:
        """Given a file to write, make it a kubeconfig whose server is this proxy."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "nobody", "user": {}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    # ---- what a test asks for -------------------------------------------------------------

    def at(self, point: Point, moment: Moment, action: Action) -> None:
        """Given a point, where in it, and what to do there, do that when it comes."""
        self._actions[point, moment] = action

    def kill_at(self, point: Point, moment: Moment, kill: Callable[[], None]) -> asyncio.Event:
        """Given a point, where in it, and what ends the process, end it there; nothing that it
        sends from then on is forwarded. Return what is set when it has come to that.
        """
        done = asyncio.Event()

        async def die() -> None:
            if moment is Moment.ANSWERED:
                self._mute.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._refused_one.wait(), LAST_WORDS)
            kill()
            self.sever()
            done.set()

        self.at(point, moment, die)
        return done

    def hold_at(self, point: Point, moment: Moment = Moment.BEFORE) -> Hold:
        """Given a point, make it wait there until the test lets it proceed."""
        hold = Hold(asyncio.Event(), asyncio.Event())

        async def wait() -> None:
            hold.reached.set()
            await hold.go_on.wait()

        self.at(point, moment, wait)
        return hold

    def sever(self) -> None:
        """Break all connections and refuse new ones until `mend`."""
        self._down.set()
        for request in tuple(self._open):
            _abort(request)

    def mend(self) -> None:
        """Let requests through again."""
        self._down.clear()
        self._mute.clear()
        self._refused_one.clear()

    def was_asked(self, call: Call) -> bool:
        """Whether that call has come here, whatever happens to it."""
        return self._counts[call] > 0

    # ---- the way through ------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._mute.is_set():
            self._refused_one.set()
        if self._down.is_set() or self._mute.is_set():
            return _abort(request)
        self._open.append(request)
        try:
            body = await request.read()
            call = call_of(request, body)
            point: Point | None = None
            if call.resource not in UNCOUNTED:
                self._counts[call] += 1
                point = Point(call, self._counts[call])
                if call.verb in WRITES and self.before_write is not None:
                    await self.before_write(call)
            await self._act(point, Moment.BEFORE)
            if self._down.is_set():
                return _abort(request)
            if call.verb == "connect":
                return await self._tunnel(request, point)
            return await self._forward(request, body, call, point)
        except aiohttp.ClientError:
            return _abort(request)
        finally:
            self._open.remove(request)

    async def _act(self, point: Point | None, moment: Moment) -> None:
        if point is not None and (action := self._actions.pop((point, moment), None)):
            await action()

    async def _forward(
        self, request: web.Request, body: bytes, call: Call, point: Point | None
    ) -> web.StreamResponse:
        async with self._session.request(
            request.method,
            self._target(request, call),
            headers=await self._headers(request),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
        ) as found:
            headers = _end_to_end(found.headers)
            if call.verb == "watch":
                return await self._stream(request, found, headers)
            content = await found.read()
        if point is not None and call.verb in WRITES:
            (self.writes if found.status < 300 else self.refused).append(point)
        await self._act(point, Moment.COMMITTED)
        if self._down.is_set():
            return _abort(request)
        response = web.Response(status=found.status, headers=headers, body=content)
        await response.prepare(request)
        await response.write_eof()
        await self._act(point, Moment.ANSWERED)
        return response

    def _target(self, request: web.Request, call: Call) -> URL:
        url = URL(f"{self._upstream.host}{request.rel_url.raw_path_qs}", encoded=True)
        if call.verb != "list" or call.resource not in self.shown:
            return url
        asked = [*url.query.getall("labelSelector", []), self.shown[call.resource]]
        return url.update_query(labelSelector=",".join(asked))

    async def _stream(
        self, request: web.Request, found: aiohttp.ClientResponse, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=found.status, headers=headers)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # whoever watched is gone
            async for chunk in found.content.iter_any():
                await response.write(chunk)
        return response

    async def _tunnel(self, request: web.Request, point: Point | None) -> web.StreamResponse:
        wanted = request.headers.getall("Sec-WebSocket-Protocol", [])
        protocols = [word.strip() for line in wanted for word in line.split(",")]
        headers = await self._headers(request)
        for name in [name for name in headers if name.lower().startswith("sec-websocket")]:
            del headers[name]
        try:
            far = await self._session.ws_connect(
                f"{self._upstream.host}{request.rel_url.raw_path_qs}",
                protocols=protocols,
                headers=headers,
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status, text=error.message)
        async with far:
            if point is not None:
                self.writes.append(point)
            await self._act(point, Moment.COMMITTED)
            if self._down.is_set():
                return _abort(request)
            chosen = (far.protocol,) if far.protocol else ()
            near = web.WebSocketResponse(protocols=chosen, max_msg_size=0)
            await near.prepare(request)
            await self._act(point, Moment.ANSWERED)
            await _first_ends(_pass_on(near, far), _pass_on(far, near))
            if self._down.is_set():
                return _abort(request)
            await near.close()
            return near

    async def _headers(self, request: web.Request) -> CIMultiDict[str]:
        headers = _end_to_end(request.headers)
        headers.popall("Host", None)
        headers.popall("Authorization", None)
        headers.update(await self._upstream.headers())
        return headers


def call_of(request: web.Request, body: bytes) -> Call:
    """Given a request to an API server, return what it asks for."""
    parts = [part for part in request.path.split("/") if part]
    # /api/v1/... or /apis/GROUP/VERSION/...
    parts = parts[2:] if parts[:1] == ["api"] else parts[3:]
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    resource, name, subresource = [*parts, "", "", ""][:3]
    verb = _VERBS.get(request.method, "get" if name else "list")
    if request.headers.get("Upgrade", "").lower() == "websocket":
        verb = "connect"
    elif verb == "list" and request.query.get("watch") in ("1", "true"):
        verb = "watch"
    elif verb == "create" and not name:
        with contextlib.suppress(ValueError, AttributeError):
            name = str(json.loads(body).get("metadata", {}).get("name", ""))
    return Call(verb, resource, subresource, namespace, name)


def _end_to_end(headers: CIMultiDict[str] | object) -> CIMultiDict[str]:
    kept: CIMultiDict[str] = CIMultiDict(headers)  # type: ignore[arg-type]  # both multidicts
    for name in [name for name in kept if name.lower() in _HOP_BY_HOP]:
        kept.popall(name, None)
    return kept


def _abort(request: web.Request) -> web.Response:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _pass_on(
    source: AsyncIterator[aiohttp.WSMessage],
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    with contextlib.suppress(ConnectionError):
        async for message in source:
            if message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            else:
                return


async def _first_ends(*work: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
