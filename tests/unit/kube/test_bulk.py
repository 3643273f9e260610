"""Work that comes in bulk, and a look at everything that cannot be finished."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from tests.support.clock import InstantClock
from tests.support.copying import stores
from tests.support.passes import retention_reconciler
from tests.unit.kube.conftest import Serve

from backstay.domain.errors import Conflict, DataError, Fatal, Transient
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import BULK, Client
from backstay.kube.resources import NAMESPACE
from backstay.reconcile import keys
from backstay.reconcile.resync import Everything
from backstay.steps.batch import Work

SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshots"
BACKUPS = "/apis/backstay.dev/v1alpha1/backups"


async def test_bulk_work_of_all_passes_keeps_within_its_slots_and_others_pass_by(
    serve: Serve,
) -> None:
    flying, most = 0, 0
    full, others = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        nonlocal flying, most
        if not request.path.endswith("/other"):
            flying += 1
            most = max(most, flying)
            if flying == BULK:
                full.set()
            await others.wait()
            flying -= 1
        return web.json_response({})

    async with Client(await serve(answer), SystemClock()) as client:

        async def get(name: str) -> bool:
            await client.get(NAMESPACE, name)
            return False

        items = [(str(n), partial(get, str(n))) for n in range(2 * BULK)]
        passes = [asyncio.ensure_future(Work(client).do(*items)) for _ in range(2)]
        await full.wait()
        await client.get(NAMESPACE, "other")
        others.set()
        await asyncio.gather(*passes)

    assert most == BULK


@pytest.mark.parametrize(
    ("error", "raised"), [(Transient("no"), Transient), (Conflict("no"), Conflict)]
)
async def test_one_item_that_fails_is_reported_and_never_blocks_the_next(
    serve: Serve, error: Exception, raised: type[Exception]
) -> None:
    done = []

    async def work(number: int) -> bool:
        if number == 1:
            raise error
        done.append(number)
        return number == 2

    async with Client(await serve(nothing), SystemClock()) as client:
        bulk = Work(client)
        await bulk.do(*((str(n), partial(work, n)) for n in range(4)))

        assert done == [0, 2, 3]
        assert bulk.follows
        with pytest.raises(raised):
            bulk.raise_failures("the pass")


async def test_many_failures_make_a_short_message(serve: Serve) -> None:
    async def work() -> bool:
        raise Transient("no")

    async with Client(await serve(nothing), SystemClock()) as client:
        bulk = Work(client)
        await bulk.do(*((str(n), work) for n in range(1000)))

    with pytest.raises(Transient, match=r"0: no; 1: no; .* and 995 more"):
        bulk.raise_failures("the pass")


async def test_fatal_ends_the_work_at_once(serve: Serve) -> None:
    async def work(number: int) -> bool:
        if number == 0:
            raise Fatal("the lease is lost")
        await asyncio.Event().wait()
        return False

    async with Client(await serve(nothing), SystemClock()) as client:
        with pytest.raises(Fatal):
            await Work(client).do(*((str(n), partial(work, n)) for n in range(4)))


async def nothing(request: web.Request) -> web.Response:
    return web.json_response({"items": [], "path": request.path})


def policy(name: str) -> dict[str, Any]:
    spec = {"source": {"claims": {"names": ["data"]}}}
    status = {"rebuiltAt": "2026-11-01T00:00:00Z"}  # else its records are asked for
    return {"metadata": {"name": name, "namespace": "team"}, "spec": spec, "status": status}


@pytest.mark.parametrize("kind", [SNAPSHOTS, BACKUPS])
async def test_a_list_that_fails_half_way_enqueues_nothing(serve: Serve, kind: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == kind and "continue" in request.query:
            return web.json_response({"message": "too old"}, status=410)
        page: dict[str, Any] = {"items": [], "metadata": {"continue": ""}}
        if request.path == kind:
            page["metadata"]["continue"] = "more"
        if request.path.endswith("/backuppolicies"):
            page["items"] = [policy("shop")]
        return web.json_response(page)

    found: list[Key] = []
    async with Client(await serve(answer), SystemClock()) as client:
        with pytest.raises(Transient, match="too old"):
            await Everything(client, SystemClock(), found.append, stores=stores(client)).look()

    assert found == []


async def test_what_cannot_be_read_changes_nothing_of_its_policy_and_others_go_on(
    serve: Serve,
) -> None:
    """The pass is asked for, so that somebody reports it; it fails before its first write."""
    strange = {
        "metadata": {"name": "b", "namespace": "team"},
        "spec": {"policy": "shop", "trigger": "AdHoc"},
        "status": {"phase": "Completed", "points": [{"attempt": "many"}]},
    }
    writes = []

    async def answer(request: web.Request) -> web.Response:
        if request.method != "GET":
            writes.append(request.path)
        if request.path.endswith("/backuppolicies/shop"):
            return web.json_response(policy("shop"))
        page: dict[str, Any] = {"items": []}
        if request.path.endswith("/backups"):
            page["items"] = [strange]
        if request.path.endswith("/backuppolicies"):
            page["items"] = [policy("shop"), policy("other")]
        return web.Response(text=json.dumps(page), headers={"Date": DATE})

    clock = InstantClock()
    found: list[Key] = []
    async with Client(await serve(answer), clock) as client:
        await Everything(client, clock, found.append, stores=stores(client)).look()
        with pytest.raises(DataError, match="Backup b cannot be read"):
            await retention_reconciler(client, clock, found.append).reconcile(
                keys.retention("team", "shop")
            )

    assert [key for key in found if key.kind == keys.RETENTION] == [keys.retention("team", "shop")]
    assert writes == []


DATE = "Sun, 22 Nov 2026 00:32:00 GMT"
"""What the virtual clock says."""
