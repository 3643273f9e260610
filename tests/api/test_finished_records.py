"""The records of finished runs whose points are gone, on a real API server."""

from __future__ import annotations

import pytest
from tests.support.builders import NOW
from tests.support.passes import retention_reconciler

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, BACKUP_POLICY
from backstay.reconcile import keys


@pytest.fixture
async def completed(client: Client, namespace: str) -> Obj:
    """The record of a run whose snapshot and content a sweep took before a pass came."""
    spec: Obj = {"source": {"claims": {"names": ["data"]}}, "retention": {"daily": 7}}
    meta = {"name": "shop", "namespace": namespace}
    await client.create(BACKUP_POLICY, {"metadata": meta, "spec": spec})
    spec = {"policy": "shop", "trigger": "Scheduled", "scheduledFor": format_time(NOW)}
    made = await client.create(
        BACKUP, {"metadata": {**meta, "name": "shop-20261122-0100"}, "spec": spec}
    )
    point = {"source": "data", "store": "Snapshot", "ref": "s", "attempt": 1, "result": "good"}
    point["snapshot"] = {"content": "c"}
    point |= {"gone": "Swept", "goneAt": format_time(NOW)}
    status = {"phase": "Completed", "completedAt": format_time(NOW), "points": [point]}
    body = {"metadata": {"resourceVersion": objects.version(made)}, "status": status}
    return await client.patch(BACKUP, objects.name(made), namespace, body, subresource="status")


async def test_a_record_whose_last_point_was_swept_is_removed_in_one_pass(
    client: Client, namespace: str, completed: Obj
) -> None:
    retention = retention_reconciler(client, SystemClock(), lambda _: None)

    assert await retention.reconcile(keys.retention(namespace, "shop")) is None

    assert await client.find(BACKUP, objects.name(completed), namespace) is None
