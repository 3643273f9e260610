"""How dumps are written is decided when a run is planned, by the stores of its policy."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.schedules import make_source

from backstay.api.policy import PolicySpec
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.stores.planning import draw_up

TARGET = {"kind": "Pod", "name": "pg-0", "container": "postgres"}
DUMPS = [
    {"name": "left", "target": TARGET, "file": "/data/x.dump", "postgres": {}},
    {"name": "said", "target": TARGET, "file": "/data/y.dump", "mysql": {}, "compress": True},
]
REPOSITORY = {"repository": {"name": "offsite"}}


@pytest.mark.parametrize(
    ("stores", "compressed"),
    [
        ({}, [True, True]),
        (REPOSITORY, [False, True]),
        ({"snapshot": {}, **REPOSITORY}, [False, True]),
    ],
)
async def test_a_dump_is_planned_uncompressed_where_a_repository_is_to_get_it(
    client: Client, namespace: str, stores: dict[str, Any], compressed: list[bool]
) -> None:
    await make_source(client, namespace, "data")
    container = {"name": "postgres", "image": "postgres"}
    pod = {
        "metadata": {"name": "pg-0", "namespace": namespace},
        "spec": {"containers": [container]},
    }
    await client.create(resources.POD, pod)
    spec = PolicySpec.model_validate(
        {"source": {"claims": {"names": ["data"]}}, "dumps": DUMPS, **stores}
    )

    draft = await draw_up(client, (namespace, "shop"), spec)

    assert [dump.compress for dump in draft.plan.dumps] == compressed
