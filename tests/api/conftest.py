"""One real API server for all tests of this folder, and a namespace of its own for each."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.apiserver import running_api_server

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
async def namespace(client: Client) -> str:
    """Return a new namespace. Nothing deletes it: there are no controllers."""
    name = f"test-{secrets.token_hex(4)}"
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    return name
