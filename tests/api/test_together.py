"""Which claims of a run belong together, read from the pods of a real API server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.copying import planner
from tests.support.schedules import make_snapshot_class, make_source

from backstay.api.plan import ClaimGroup, RunPlan
from backstay.api.policy import PolicySpec
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.sources.mounts import Lies
from backstay.domain.sources.server_data import DataDirectory
from backstay.dumps.layout import Layout
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.steps.consistency import torn

TARGET = {"kind": "Pod", "name": "pg-0", "container": "postgres"}
FREEZE = {
    "before": [{"name": "stop", "target": TARGET, "command": ["stop"], "freezes": True}],
    "after": [{"name": "stop", "command": ["go"]}],
}
DUMP = {"name": "shop", "target": TARGET, "file": "/data/x.dump", "postgres": {"databases": ["x"]}}


def spec(*claims: str, **more: Any) -> PolicySpec:
    return PolicySpec.model_validate({"source": {"claims": {"names": claims}}, **more})


async def make_plan(client: Client, namespace: str, wanted: PolicySpec, **more: Any) -> RunPlan:
    return await planner(client).make_plan((namespace, "shop"), wanted, **more)


async def start_pod(client: Client, namespace: str, **read_only: bool) -> None:
    """Start a pod that has claims `data` and `wal` in one container, if only on paper."""
    claims = ("data", "wal")
    mounts: list[Obj] = [
        {"name": c, "mountPath": f"/{c}", "readOnly": read_only.get(c, False)} for c in claims
    ]
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    container = {"name": "postgres", "image": "postgres", "volumeMounts": mounts}
    pod = await client.create(
        resources.POD,
        {
            "metadata": {"name": "pg-0", "namespace": namespace},
            "spec": {"containers": [container], "volumes": volumes, "nodeName": "nowhere"},
        },
    )
    running = {"state": {"running": {}}, "containerID": "cri://1", "name": "postgres"}
    rest = {"image": "postgres", "imageID": "", "ready": True, "restartCount": 0}
    version = pod["metadata"]["resourceVersion"]
    await client.patch(
        resources.POD,
        "pg-0",
        namespace,
        {
            "metadata": {"resourceVersion": version},
            "status": {"phase": "Running", "containerStatuses": [running | rest]},
        },
        subresource="status",
    )


@pytest.fixture
async def claims(client: Client, namespace: str) -> str:
    await make_snapshot_class(client)
    for claim in ("data", "wal"):
        await make_source(client, namespace, claim)
    return namespace


async def refused(client: Client, namespace: str, wanted: PolicySpec, **more: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        await make_plan(client, namespace, wanted, **more)
    return caught.value


async def test_two_claims_of_a_container_are_refused_unless_a_person_says_so(
    client: Client, claims: str
) -> None:
    await start_pod(client, claims)
    error = await refused(client, claims, spec("data", "wal"))
    assert error.reason == "ClaimsNotTogether"
    plan = await make_plan(
        client, claims, spec("data", "wal", snapshot={"consistency": "PerClaim"})
    )
    assert plan.together == ()
    assert await torn(client, claims, plan) == ""


async def test_two_claims_that_a_hook_freezes_are_a_group(client: Client, claims: str) -> None:
    await start_pod(client, claims)
    plan = await make_plan(client, claims, spec("data", "wal", hooks=FREEZE))
    assert plan.together == (ClaimGroup(claims=("data", "wal")),)
    assert await torn(client, claims, plan) == ""


async def test_a_claim_that_is_only_read_belongs_to_nobody(client: Client, claims: str) -> None:
    await start_pod(client, claims, wal=True)
    assert (await make_plan(client, claims, spec("data", "wal"))).together == ()


async def test_where_a_dump_asks_the_database_it_decides(client: Client, claims: str) -> None:
    await start_pod(client, claims)
    plan = await make_plan(client, claims, spec("data", "wal", dumps=[DUMP]))
    assert plan.together == ()
    assert await torn(client, claims, plan) == ""
    command = {**DUMP, "command": {"argv": ["x"]}}
    del command["postgres"]
    error = await refused(client, claims, spec("data", "wal", dumps=[command]))
    assert error.reason == "ClaimsNotTogether"


async def test_a_pod_that_starts_after_the_plan_is_seen_at_the_snapshot(
    client: Client, claims: str
) -> None:
    plan = await make_plan(client, claims, spec("data", "wal"))
    assert await torn(client, claims, plan) == ""
    await start_pod(client, claims)
    assert "container postgres of pod pg-0 writes to claims data, wal" in (
        await torn(client, claims, plan)
    )


async def test_a_container_is_looked_into_where_no_dump_asks(client: Client, claims: str) -> None:
    await start_pod(client, claims)
    asked: list[tuple[str, ...]] = []

    async def probe(pod: str, container: str, mounts: Any) -> Layout | None:
        asked.append((pod, container, *(m.path for m in mounts)))
        data = DataDirectory("data_directory", "/data", Lies("/data", "/data"))
        wal = DataDirectory("pg_wal", "/data/pg_wal", Lies("/wal/pg_wal", "/wal"))
        return Layout((data, wal), ("/data", "/wal"))

    error = await refused(client, claims, spec("data"), probe=probe)
    assert error.reason == "DataElsewhere"
    assert "pod pg-0: the database's data is not all in this backup: pg_wal" in error.message
    assert asked == [("pg-0", "postgres", "/data", "/wal")]
    plan = await make_plan(client, claims, spec("data", dumps=[DUMP]), probe=probe)
    assert isinstance(plan, RunPlan)
    assert len(asked) == 1


async def test_a_container_that_says_nothing_holds_nothing_up(client: Client, claims: str) -> None:
    await start_pod(client, claims)

    async def probe(*_: object) -> Layout | None:
        return None

    assert (await make_plan(client, claims, spec("data"), probe=probe)).together == ()
