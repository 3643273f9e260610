"""One real API server for all tests of this folder, and a namespace of its own for each."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support import debian
from tests.support.apiserver import running_api_server
from tests.support.node import NodeClient
from tests.support.rolling_world import WORKER, World, ensure_node

from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import Login, login
from backstay.kube.resources import NAMESPACE


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a kubeconfig of a cluster administrator."""
    with running_api_server(tmp_path_factory.mktemp("apiserver")) as path:
        yield path


@pytest.fixture
async def credentials(kubeconfig: Path) -> Login:
    return await login(kubeconfig)


@pytest.fixture
async def client(credentials: Login) -> AsyncIterator[Client]:
    async with Client(credentials, SystemClock()) as client:
        yield client


@pytest.fixture
def requests() -> Counter[str]:
    return Counter()


@pytest.fixture
async def counted(credentials: Login, requests: Counter[str]) -> AsyncIterator[Client]:
    """Return a client whose requests are counted."""

    def count(verb: str, plural: str, *_: object) -> None:
        requests[f"{verb} {plural}"] += 1

    async with Client(credentials, SystemClock(), on_request=count) as client:
        yield client


@pytest.fixture
async def namespace(client: Client) -> str:
    """Return a new namespace. Nothing deletes it: there are no controllers."""
    name = f"test-{secrets.token_hex(4)}"
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    return name


@pytest.fixture
async def world(credentials: Login, tmp_path: Path) -> AsyncIterator[World]:
    debian.require({"rsync": "rsync"})
    async with NodeClient(credentials, SystemClock()) as client:
        client.logs = {}
        token = secrets.token_hex(4)
        made = World(client, credentials, f"home-{token}", tmp_path)
        made.namespace = f"team-{token}"
        for name in (made.home, made.namespace):
            await client.create(NAMESPACE, {"metadata": {"name": name}})
        await ensure_node(client, WORKER, ready=True)
        (made.source / "uploads/sub").mkdir(parents=True)
        (made.source / "uploads/a").write_text("one")
        (made.source / "uploads/sub/b").write_text("two")
        made.backup.mkdir()
        (made.backup / ".backstay.json").write_text('{"format": 1, "id": "disk-1"}')
        yield made
