"""The API server of tests/api, and the disks of a driver behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.conftest import client, credentials, kubeconfig
from tests.faults.retention.stage import Stage
from tests.support.disks import Disks

from backstay.kube.client import Client
from backstay.kube.login import Login

__all__ = ["client", "credentials", "kubeconfig", "stage"]


@pytest.fixture
async def stage(client: Client, credentials: Login, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Disks(client, credentials) as disks:
        yield Stage(client, credentials, disks, tmp_path)
