"""Runs that a person asks for by an annotation on the policy, and `kubectl backstay backup`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.guides import Guide
from tests.support.memory_store import Memory, MemoryStore
from tests.support.operated import Operated
from tests.support.schedules import MovedClock, make_source

from backstay.cli import main
from backstay.domain import labels, naming, objects
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP, BACKUP_POLICY, EVENT
from backstay.reconcile import keys

TOKEN = "before the upgrade"  # noqa: S105 - it asks for a run
NAME = naming.manual_name("shop", TOKEN)


@pytest.fixture
async def operated(client: Client, credentials: Login, namespace: str) -> Operated:
    await make_source(client, namespace)
    spec = {"suspend": True, "source": {"claims": {"names": ["data"]}}}
    body = {"metadata": {"name": "shop", "namespace": namespace}, "spec": spec}
    await client.create(BACKUP_POLICY, body)
    store = MemoryStore(Memory())
    return Operated(client, credentials, MovedClock(), namespace, registry=lambda _: (store,))


async def annotate(operated: Operated, token: str) -> None:
    policy = await operated.client.get(BACKUP_POLICY, "shop", operated.namespace)
    patch = {
        "metadata": {
            "resourceVersion": objects.version(policy),
            "annotations": {labels.RUN: token},
        }
    }
    await operated.client.patch(BACKUP_POLICY, "shop", operated.namespace, patch)


async def look(operated: Operated) -> Obj:
    """Look at the policy; return its status."""
    await operated.reconcile(keys.policy(operated.namespace, "shop"))
    found = await operated.client.get(BACKUP_POLICY, "shop", operated.namespace)
    status: Obj = found["status"]
    return status


async def work(operated: Operated) -> None:
    """Look once at the policy and at each of its runs."""
    await look(operated)
    for found in await operated.client.list(BACKUP, operated.namespace):
        await operated.reconcile(keys.backup(operated.namespace, objects.name(found)))
        await operated.reconcile(keys.ADMISSION)


async def test_a_new_value_makes_one_run_and_is_repeated_when_that_is_completed(
    operated: Operated,
) -> None:
    await annotate(operated, TOKEN)

    status = await look(operated)

    assert status["manual"] == {"token": TOKEN, "backup": NAME}
    (made,) = await operated.client.list(BACKUP, operated.namespace)
    assert (objects.name(made), made["spec"]["trigger"]) == (NAME, "AdHoc")
    assert keys.backup(operated.namespace, NAME) in operated.asked
    while "lastManualRun" not in (status := await look(operated)):
        await work(operated)
    assert status["lastManualRun"] == TOKEN
    assert len(await operated.client.list(BACKUP, operated.namespace)) == 1


async def test_a_process_that_dies_before_the_status_makes_no_second_run(
    operated: Operated,
) -> None:
    await annotate(operated, TOKEN)
    await look(operated)
    policy = await operated.client.get(BACKUP_POLICY, "shop", operated.namespace)
    metadata = {"resourceVersion": objects.version(policy)}
    lost = {"metadata": metadata, "status": {"manual": None}}
    where = "shop", operated.namespace
    await operated.client.patch(BACKUP_POLICY, *where, lost, subresource="status")

    assert (await look(operated))["manual"]["backup"] == NAME

    assert len(await operated.client.list(BACKUP, operated.namespace)) == 1


async def test_a_backup_of_its_name_that_somebody_made_is_reported_and_is_none(
    operated: Operated,
) -> None:
    body = {
        "metadata": {"name": NAME, "namespace": operated.namespace},
        "spec": {"policy": "shop", "trigger": "AdHoc"},
    }
    await operated.client.create(BACKUP, body)
    await annotate(operated, TOKEN)

    for _ in range(6):
        await work(operated)

    (stored,) = await operated.client.list(BACKUP, operated.namespace)
    assert stored["status"]["phase"] == "Completed"
    assert "lastManualRun" not in await look(operated)
    (event,) = await operated.client.list(EVENT, operated.namespace, fields="reason=RunNotAsked")
    assert "was made by somebody else; choose another value" in event["message"]


async def test_a_value_that_is_too_long_is_reported(operated: Operated) -> None:
    await annotate(operated, "x" * 300)

    assert "manual" not in await look(operated)

    events = await operated.client.list(EVENT, operated.namespace, fields="reason=RunNotAsked")
    assert "300 characters are more than 253" in events[0]["message"]


@contextlib.asynccontextmanager
async def working(operated: Operated) -> AsyncIterator[None]:
    """An operator that works meanwhile. It comes to the end of what it does: a request that is
    cancelled leaves its connection to whoever collects the garbage.
    """
    over = asyncio.Event()

    async def operate() -> None:
        while not over.is_set():
            with contextlib.suppress(Conflict):  # the command writes to the policy, too
                await work(operated)

    operating = asyncio.create_task(operate())
    try:
        yield
    finally:
        over.set()
        await operating


@pytest.mark.parametrize("mark", ["kubectl backstay backup", "kubectl annotate"])
async def test_the_guides_commands_have_the_policy_run_and_see_it_through(
    operated: Operated, kubeconfig: Path, tmp_path: Path, mark: str
) -> None:
    guide = Guide("schedules.md", kubeconfig, tmp_path)
    here = {"-n shop": f"-n {operated.namespace}"}

    async with working(operated):
        said = await asyncio.to_thread(guide.run, mark, here)

    (made,) = await operated.client.list(BACKUP, operated.namespace)
    assert made["status"]["phase"] == "Completed"
    if "backup" in mark:
        assert said.splitlines()[0] == f"backup {objects.name(made)} created"
        assert said.splitlines()[-1] == "Completed"


async def test_the_command_names_a_policy_that_is_not_there(
    operated: Operated, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["-n", operated.namespace, "--kubeconfig", str(kubeconfig)]

    code = await asyncio.to_thread(main, ["backup", "shoop", *there])

    assert code == 1
    assert f"there is no BackupPolicy {operated.namespace}/shoop" in capsys.readouterr().err
