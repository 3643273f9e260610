"""The client on a real API server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from backstay.domain import objects
from backstay.domain.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    NotServed,
    Transient,
    UserError,
)
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import Login
from backstay.kube.resources import (
    EVENT,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    VOLUME_SNAPSHOT,
    Resource,
)

CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)


def config_map(namespace: str, name: str, **labels: str) -> Obj:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}}


def snapshot(namespace: str, name: str) -> Obj:
    source = {"persistentVolumeClaimName": "data"}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"source": source}}


async def test_what_was_created_is_read_again(client: Client, namespace: str) -> None:
    created = await client.create(CONFIG_MAP, config_map(namespace, "a", app="shop"))
    assert objects.uid(created)
    assert objects.version(created)
    assert objects.labels(created) == {"app": "shop"}
    assert await client.get(CONFIG_MAP, "a", namespace) == created
    assert await client.find(CONFIG_MAP, "a", namespace) == created


async def test_custom_resources_work_alike(client: Client, namespace: str) -> None:
    created = await client.create(VOLUME_SNAPSHOT, snapshot(namespace, "s"))
    assert created["apiVersion"] == "snapshot.storage.k8s.io/v1"
    status: Obj = {
        "metadata": {"resourceVersion": objects.version(created)},
        "status": {"readyToUse": True},
    }
    patched = await client.patch(VOLUME_SNAPSHOT, "s", namespace, status, subresource="status")
    assert patched["status"] == {"readyToUse": True}


VALIDATING_POLICY = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
VALIDATING_BINDING = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)


async def test_what_an_admission_policy_denies_may_pass_later(
    client: Client, namespace: str
) -> None:
    """The API server says 422 there too, as of an object that is wrong."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
    }
    expression = f"object.metadata.namespace != '{namespace}'"
    policy: Obj = {
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": "closed"}],
        },
    }
    binding: Obj = {
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"]},
    }
    await client.create(VALIDATING_POLICY, policy)
    await client.create(VALIDATING_BINDING, binding)

    async def create_until_denied() -> None:
        for number in range(300):  # it takes a moment until it is in force
            await client.create(CONFIG_MAP, config_map(namespace, f"c{number}"))
            await asyncio.sleep(0.1)

    with pytest.raises(Transient, match=r"closed \(HTTP 422\)"):
        await create_until_denied()


async def test_what_is_not_there_is_not_found(client: Client, namespace: str) -> None:
    assert await client.find(CONFIG_MAP, "none", namespace) is None
    with pytest.raises(NotFound, match="get ConfigMap"):
        await client.get(CONFIG_MAP, "none", namespace)
    patch: Obj = {"metadata": {"resourceVersion": "1"}}
    with pytest.raises(NotFound):
        await client.patch(CONFIG_MAP, "none", namespace, patch)


async def test_a_kind_that_is_not_served_says_nothing_of_its_objects(client: Client) -> None:
    nothing = Resource("backstay.dev", "v9", "nothings", "Nothing", namespaced=False)
    with pytest.raises(NotServed, match="list Nothing"):
        await client.list(nothing)


async def test_a_taken_name_already_exists(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace, "a"))
    with pytest.raises(AlreadyExists, match=f"create ConfigMap {namespace}/a"):
        await client.create(CONFIG_MAP, config_map(namespace, "a"))


async def test_invalid_input_says_what_is_wrong(client: Client, namespace: str) -> None:
    with pytest.raises(UserError, match=r"spec\.accessModes") as caught:
        await client.create(PERSISTENT_VOLUME_CLAIM, config_map(namespace, "a"))
    assert caught.value.reason == "Invalid"


async def test_creating_in_a_namespace_that_is_not_there(client: Client) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await client.create(CONFIG_MAP, config_map("nowhere", "a"))


async def test_a_patch_made_from_an_old_version_conflicts(client: Client, namespace: str) -> None:
    old = await client.create(CONFIG_MAP, config_map(namespace, "a"))
    version = {"resourceVersion": objects.version(old)}
    first = await client.patch(
        CONFIG_MAP, "a", namespace, {"metadata": version, "data": {"who": "first"}}
    )
    with pytest.raises(Conflict) as caught:
        await client.patch(
            CONFIG_MAP, "a", namespace, {"metadata": version, "data": {"who": "second"}}
        )
    assert type(caught.value) is Conflict
    assert await client.get(CONFIG_MAP, "a", namespace) == first


async def test_null_in_a_patch_removes_one_label(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace, "a", one="1", two="2"))
    meta = {"resourceVersion": objects.version(made), "labels": {"one": None}}
    patched = await client.patch(CONFIG_MAP, "a", namespace, {"metadata": meta})
    assert objects.labels(patched) == {"two": "2"}


async def test_delete_tests_the_uid_and_the_version(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace, "a"))
    uid, version = objects.uid(made), objects.version(made)
    with pytest.raises(Conflict, match="delete ConfigMap"):
        await client.delete(CONFIG_MAP, "a", namespace, uid="another")
    with pytest.raises(Conflict, match="delete ConfigMap"):
        await client.delete(CONFIG_MAP, "a", namespace, uid=uid, resource_version="1")
    assert await client.get(CONFIG_MAP, "a", namespace) == made
    assert await client.delete(CONFIG_MAP, "a", namespace, uid=uid, resource_version=version)
    assert await client.find(CONFIG_MAP, "a", namespace) is None
    assert not await client.delete(CONFIG_MAP, "a", namespace, uid=uid)


async def test_a_deleted_object_with_a_finalizer_stays_and_is_accepted_again(
    client: Client, namespace: str
) -> None:
    body = config_map(namespace, "a")
    body["metadata"]["finalizers"] = ["backstay.dev/test"]
    uid = objects.uid(await client.create(CONFIG_MAP, body))
    assert await client.delete(CONFIG_MAP, "a", namespace, uid=uid, propagation="Background")
    assert await client.delete(CONFIG_MAP, "a", namespace, uid=uid)
    dying = await client.get(CONFIG_MAP, "a", namespace)
    assert objects.meta(dying)["deletionTimestamp"]


async def test_lists_come_in_pages_and_items_know_their_kind(
    client: Client, namespace: str
) -> None:
    names = [f"s{number:02}" for number in range(7)]
    for name in names:
        await client.create(VOLUME_SNAPSHOT, snapshot(namespace, name))
        await client.create(CONFIG_MAP, config_map(namespace, name))
    for resource in (VOLUME_SNAPSHOT, CONFIG_MAP):
        pages = [page async for page in client.pages(resource, namespace, limit=3)]
        assert [len(page) for page in pages] == [3, 3, 1]
        items = [item for page in pages for item in page]
        assert [objects.name(item) for item in items] == names
        assert {(item["apiVersion"], item["kind"]) for item in items} == {
            (resource.api_version, resource.kind)
        }


async def test_pages_show_one_moment(client: Client, namespace: str) -> None:
    for number in range(4):
        await client.create(CONFIG_MAP, config_map(namespace, f"c{number}"))
    seen: list[str] = []
    async for page in client.pages(CONFIG_MAP, namespace, limit=2):
        seen += [objects.name(item) for item in page]
        late = config_map(namespace, f"c9-{len(seen)}")
        await client.create(CONFIG_MAP, late)
    assert seen == ["c0", "c1", "c2", "c3"]


async def test_selectors_are_applied_by_the_server(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace, "a", app="shop", tier="db"))
    await client.create(CONFIG_MAP, config_map(namespace, "b", app="shop"))
    await client.create(CONFIG_MAP, config_map(namespace, "c"))

    async def names(**selectors: str) -> list[str]:
        found = await client.list(CONFIG_MAP, namespace, **selectors)
        return [objects.name(item) for item in found]

    assert await names() == ["a", "b", "c"]
    assert await names(labels="app=shop") == ["a", "b"]
    assert await names(labels="app=shop,!tier") == ["b"]
    assert await names(fields="metadata.name=c") == ["c"]


async def test_all_namespaces_are_listed_without_one(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace, "a", only=namespace))
    found = await client.list(CONFIG_MAP, labels=f"only={namespace}")
    assert [objects.namespace(item) for item in found] == [namespace]
    assert namespace in [objects.name(item) for item in await client.list(NAMESPACE)]


async def test_a_broken_continue_token_never_looks_like_the_end(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await client.create(CONFIG_MAP, config_map(namespace, f"c{number}"))
    pages = client.pages(CONFIG_MAP, namespace, limit=2)
    first = await anext(pages)
    assert len(first) == 2
    connection = client._connection
    real = connection._exchange

    async def expired(request: object) -> tuple[int, dict[str, str], bytes]:
        del request
        monkeypatch.setattr(connection, "_exchange", real)
        return 410, {}, b'{"kind":"Status","reason":"Expired","message":"too old"}'

    monkeypatch.setattr(connection, "_exchange", expired)
    with pytest.raises(Transient, match="too old"):
        await anext(pages)


async def test_the_servers_clock_is_known_after_the_first_answer(client: Client) -> None:
    await client.list(NAMESPACE)
    assert client.server_date is not None
    assert client.skew is not None
    assert abs(client.skew) < timedelta(seconds=10)


async def test_an_event_is_posted_once_per_attempt(client: Client, namespace: str) -> None:
    made = await client.create(VOLUME_SNAPSHOT, snapshot(namespace, "s"))
    poster = EventPoster(client, SystemClock(), instance="backstay-0")
    for _ in range(2):
        await poster.post(made, "Snapshotting", "taking a snapshot of data", attempt=1)
    await poster.post(made, "Snapshotting", "x" * 5000, type="Warning", attempt=2)
    reported = sorted(await client.list(EVENT, namespace), key=lambda event: str(event["type"]))
    assert [(event["type"], event["reason"], len(event["message"])) for event in reported] == [
        ("Normal", "Snapshotting", 25),
        ("Warning", "Snapshotting", 1024),
    ]
    assert reported[0]["involvedObject"]["uid"] == objects.uid(made)
    assert reported[0]["involvedObject"]["kind"] == "VolumeSnapshot"


async def test_posting_never_fails_the_work(
    client: Client, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace, "a"))
    made["metadata"]["namespace"] = "nowhere"
    await EventPoster(client, SystemClock()).post(made, "Lost", "nobody can read this")
    assert "Event Lost was not posted" in caplog.text


async def test_exec_into_a_pod_that_is_not_there_is_not_found(
    credentials: Login, namespace: str
) -> None:
    with pytest.raises(NotFound, match="no such pod or container"):
        await Exec(credentials).run(namespace, "none", "c", ["true"], timeout=timedelta(seconds=9))


async def test_exec_into_a_pod_that_does_not_run_yet_is_not_found(
    client: Client, credentials: Login, namespace: str
) -> None:
    containers = [{"name": "pg", "image": "none"}]
    pod = {"metadata": {"name": "pg-0", "namespace": namespace}, "spec": {"containers": containers}}
    await client.create(POD, pod)
    for container in ("pg", "none"):
        with pytest.raises(NotFound, match=r"or not running \(HTTP 400\)"):
            await Exec(credentials).run(
                namespace, "pg-0", container, ["true"], timeout=timedelta(seconds=9)
            )
