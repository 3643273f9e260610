"""Definitions that are deleted and made again under a running operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.apiserver import CRD, ROOT, running_api_server
from tests.support.operator_process import OperatorProcess, running_operator
from tests.support.waiting import within

from backstay.domain import objects
from backstay.domain.errors import BackstayError, NotServed
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import login
from backstay.kube.resources import BACKUP, BACKUP_POLICY, NAMESPACE, Resource

WITHIN = 20.0
"""Seconds, on a busy machine; the resync would come after five minutes."""
SPEC = {"source": {"claims": {"names": ["data"]}}}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a kubeconfig of a server of its own: no other test can do without definitions."""
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as path:
        yield path


@pytest.fixture
async def server(own_server: Path) -> AsyncIterator[Client]:
    async with Client(await login(own_server), SystemClock()) as client:
        yield client


def definitions() -> list[Obj]:
    return [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]


async def delete_definitions(client: Client) -> None:
    for crd in (c for c in definitions() if c.get("kind") == CRD.kind):
        name = objects.name(crd)
        read = await client.get(CRD, name)
        await client.delete(CRD, name, None, uid=objects.uid(read))
        async with within(180, f"{name} to be gone"):
            while await client.find(CRD, name) is not None:  # noqa: ASYNC110 - the server's work
                await asyncio.sleep(0.1)


async def make_definitions(client: Client) -> None:
    for crd in (c for c in definitions() if c.get("kind") == CRD.kind):
        await client.create(CRD, crd)


async def make(client: Client, resource: Resource, body: Obj) -> None:
    """Create an object as soon as its kind is served."""
    async with within(180, f"{resource.plural} to be served"):
        while True:
            try:
                await client.create(resource, body)
            except NotServed:
                await asyncio.sleep(0.1)
            else:
                return


async def until_reported(client: Client, resource: Resource, name: str, namespace: str) -> float:
    """Wait until the operator has written a status; return how many seconds that took."""
    began = time.monotonic()
    async with within(90, f"a status of {resource.kind} {name}"):
        while not dig(await client.get(resource, name, namespace), "status"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return time.monotonic() - began


async def story(client: Client, name: str) -> list[float]:
    """Make a policy and a Backup in a new namespace; return how long each waited for a status."""
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    policy: Any = {"metadata": {"name": "shop", "namespace": name}, "spec": SPEC}
    backup: Any = {"metadata": {"name": "now", "namespace": name}, "spec": {"policy": "shop"}}
    await make(client, BACKUP_POLICY, policy)
    waited = await until_reported(client, BACKUP_POLICY, "shop", name)
    await make(client, BACKUP, backup)
    return [waited, await until_reported(client, BACKUP, "now", name)]


def alive(operator: OperatorProcess) -> None:
    assert operator.running(), operator.log.read_text()[-3000:]


async def test_an_operator_sees_again_within_seconds_of_new_definitions(
    server: Client, own_server: Path, tmp_path: Path
) -> None:
    await server.create(NAMESPACE, {"metadata": {"name": "home"}})
    log = tmp_path / "log"
    async with running_operator(own_server, "home", lease="one", log=log) as operator:
        await story(server, "before")
        await delete_definitions(server)
        await make_definitions(server)
        quick = await story(server, "quick")
        alive(operator)

        await delete_definitions(server)
        async with within(WITHIN, f"two blind watches in {log}"):
            while log.read_text().count("blind: ") < 2:  # noqa: ASYNC110 - the operator's work
                await asyncio.sleep(0.1)
        await asyncio.sleep(5)  # kopf would have ended by now, and the process with it
        await make_definitions(server)
        slow = await story(server, "slow")
        alive(operator)

    reported = log.read_text()
    assert max(*quick, *slow) < WITHIN, (quick, slow)
    assert reported.count("blind: ") == 2, reported
    assert reported.count("watching again") == 2, reported
    assert "Traceback" not in reported, reported


async def test_an_operator_that_comes_before_its_definitions_waits_for_them(
    server: Client, own_server: Path, tmp_path: Path
) -> None:
    await delete_definitions(server)
    await server.create(NAMESPACE, {"metadata": {"name": "early"}})
    log = tmp_path / "log"
    async with running_operator(own_server, "early", lease="two", log=log) as operator:
        async with within(180, f"a blind watch in {log}"):
            while "blind: " not in log.read_text():  # noqa: ASYNC110 - the operator's work
                await asyncio.sleep(0.1)
        await make_definitions(server)
        waited = await story(server, "after")
        alive(operator)

    assert max(waited) < WITHIN
    assert "Traceback" not in log.read_text(), log.read_text()


async def test_a_kind_that_is_not_served_is_never_taken_for_objects_that_are_gone(
    server: Client,
) -> None:
    await delete_definitions(server)
    try:
        with pytest.raises(NotServed, match="CustomResourceDefinition"):
            await server.find(BACKUP_POLICY, "shop", "default")
        with pytest.raises(NotServed):
            await server.list(BACKUP)
        read = {"metadata": {"name": "shop", "namespace": "default", "resourceVersion": "1"}}
        with pytest.raises(NotServed):
            await server.patch(BACKUP_POLICY, "shop", "default", read)
        with pytest.raises(BackstayError) as refused:
            await server.delete(BACKUP_POLICY, "shop", "default", uid="u")
        assert isinstance(refused.value, NotServed)
    finally:
        await make_definitions(server)
