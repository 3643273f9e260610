"""The client when the server or the line misbehaves. Good answers are tested on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from tests.support.clock import START, InstantClock
from tests.unit.kube.conftest import Serve

from backstay.domain.errors import DataError, Fatal, NotFound, Transient
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import NAMESPACE, POD

GOOD: Obj = {"kind": "Pod", "metadata": {"name": "x", "resourceVersion": "1"}}
PATCH: Obj = {"metadata": {"resourceVersion": "1", "labels": {"a": None}}}

WRITES: dict[str, Callable[[Client], Awaitable[object]]] = {
    "create": lambda client: client.create(POD, {"metadata": {"name": "x", "namespace": "shop"}}),
    "patch": lambda client: client.patch(POD, "x", "shop", PATCH),
    "delete": lambda client: client.delete(POD, "x", "shop", uid="1"),
}


class Server:
    """Answers with each of `answers` in turn, and then with a good one."""

    def __init__(self, *answers: web.Response | None) -> None:
        self.answers = list(answers)
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if self.answers else web.json_response(GOOD)
        if answer is None:  # the write is done, the answer is lost
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer


def busy(status: int = 503, **headers: str) -> web.Response:
    return web.Response(status=status, text="busy", headers=headers)


async def test_reads_are_repeated_when_the_server_is_busy_or_the_line_breaks(
    serve: Serve,
) -> None:
    server, clock = Server(busy(503), None, busy(500)), InstantClock()
    async with Client(await serve(server), clock) as client:
        assert await client.get(POD, "x", "shop") == GOOD
    assert len(server.seen) == 4
    assert clock.naps == pytest.approx([0.4, 0.8, 1.6])


async def test_reads_give_up_after_a_few_tries(serve: Serve) -> None:
    server = Server(*(busy() for _ in range(9)))
    async with Client(await serve(server), InstantClock()) as client:
        with pytest.raises(Transient, match=r"get Pod shop/x: busy \(HTTP 503\)"):
            await client.get(POD, "x", "shop")
    assert len(server.seen) == 4


async def test_reads_wait_as_long_as_the_server_asks(serve: Serve) -> None:
    headers = {"Retry-After": "7"}
    server, clock = Server(busy(429, **headers)), InstantClock()
    async with Client(await serve(server), clock) as client:
        await client.get(POD, "x", "shop")
    assert clock.naps == [7]


async def test_a_long_wait_is_left_to_the_queue(serve: Serve) -> None:
    headers = {"Retry-After": "60"}
    server, clock = Server(busy(429, **headers)), InstantClock()
    async with Client(await serve(server), clock) as client:
        with pytest.raises(Transient) as caught:
            await client.get(POD, "x", "shop")
    assert caught.value.retry_after == timedelta(seconds=60)
    assert clock.naps == []


@pytest.mark.parametrize("status", [401, 403, 410])
async def test_reads_that_cannot_succeed_in_a_moment_are_not_repeated(
    serve: Serve, status: int
) -> None:
    server = Server(busy(status))
    async with Client(await serve(server), InstantClock()) as client:
        with pytest.raises(Transient):
            await client.get(POD, "x", "shop")
    assert len(server.seen) == 1


@pytest.mark.parametrize("answer", [None, 429, 500, 503])
@pytest.mark.parametrize("verb", WRITES)
async def test_writes_are_sent_once_whatever_happens(
    serve: Serve, verb: str, answer: int | None
) -> None:
    server = Server(None if answer is None else busy(answer))
    async with Client(await serve(server), InstantClock()) as client:
        with pytest.raises(Transient, match=f"{verb} Pod shop/x: "):
            await WRITES[verb](client)
    assert len(server.seen) == 1


@pytest.mark.parametrize("verb", WRITES)
async def test_no_write_leaves_when_the_fence_is_down(serve: Serve, verb: str) -> None:
    def fence() -> None:
        raise Fatal("the lease is lost")

    server = Server()
    async with Client(await serve(server), InstantClock(), fence=fence) as client:
        with pytest.raises(Fatal, match="the lease is lost"):
            await WRITES[verb](client)
        assert await client.get(POD, "x", "shop") == GOOD
    assert [request.method for request in server.seen] == ["GET"]


async def test_a_server_that_does_not_answer_is_not_waited_for(serve: Serve) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    timeout = timedelta(milliseconds=50)
    async with Client(await serve(hang), InstantClock(), timeout=timeout) as client:
        with pytest.raises(Transient, match="did not answer in time"):
            await client.patch(POD, "x", "shop", PATCH)
    release.set()


async def test_patches_send_nulls_as_a_merge_patch_with_the_token(serve: Serve) -> None:
    server = Server()
    async with Client(await serve(server), InstantClock()) as client:
        await client.patch(POD, "x", "shop", PATCH, subresource="status")
    request = server.seen[0]
    assert request.path == "/api/v1/namespaces/shop/pods/x/status"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["Authorization"] == "Bearer of-the-test"
    assert b'"labels": {"a": null}' in server.bodies[0]


async def test_a_patch_without_a_resource_version_is_refused_here(serve: Serve) -> None:
    server = Server()
    async with Client(await serve(server), InstantClock()) as client:
        with pytest.raises(ValueError, match=r"metadata\.resourceVersion is missing"):
            await client.patch(POD, "x", "shop", {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(ValueError, match="the uid is missing"):
            await client.delete(POD, "x", "shop", uid="")
        with pytest.raises(ValueError, match=r"metadata\.namespace is missing"):
            await client.create(POD, {"metadata": {"name": "x"}})
    assert server.seen == []


@pytest.mark.parametrize("text", ["<html>", "[]"])
async def test_a_success_that_is_no_object_is_not_taken_for_one(serve: Serve, text: str) -> None:
    server = Server(web.Response(text=text))
    async with Client(await serve(server), InstantClock()) as client:
        with pytest.raises(DataError, match="the answer is"):
            await client.get(POD, "x", "shop")


async def test_the_servers_date_and_our_lead_over_it_are_noted(serve: Serve) -> None:
    date = {"Date": "Sun, 22 Nov 2026 00:30:00 GMT"}
    server = Server(web.json_response(GOOD, headers=date))
    async with Client(await serve(server), InstantClock()) as client:
        assert (client.server_date, client.skew) == (None, None)
        await client.get(POD, "x", "shop")
        server_date = datetime(2026, 11, 22, 0, 30, tzinfo=UTC)
        assert client.server_date == server_date
        assert client.skew == START - server_date


async def test_each_request_is_reported_with_verb_kind_and_status(serve: Serve) -> None:
    reported: list[tuple[str, str, int]] = []
    server = Server(None, web.json_response({"kind": "Status", "code": 404}, status=404))

    def note(verb: str, plural: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        reported.append((verb, plural, status))

    async with Client(await serve(server), InstantClock(), on_request=note) as client:
        with pytest.raises(NotFound):
            await client.get(NAMESPACE, "shop")
    assert reported == [("get", "namespaces", 0), ("get", "namespaces", 404)]
