"""What rights refuse is said before a run, or ends its attempt; nothing is held meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.accounts import grant, grant_secret, installed_rules, make_operator, without
from tests.support.dumping_cluster import Containers, add_databases, backup_of
from tests.support.kubectl import Kubectl
from tests.support.schedules import MovedClock, PatientClock
from tests.support.waiting import within

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.domain import objects
from backstay.domain.errors import BackstayError, Refused
from backstay.domain.objects import Obj, dig
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.resources import BACKUP, BACKUP_POLICY, SECRET
from backstay.main import Router
from backstay.reconcile import keys
from backstay.settings import Settings
from backstay.steps.exec_streams import Streams

POLICY = "db-0"
PASSWORD = {"password": {"secretKeyRef": {"name": "pg", "key": "password"}}}
ROLE = 'Role with {apiGroups: [""], resources: [secrets], resourceNames: [pg], verbs: [get]}'
HELD_UP = 20
"""Seconds; see RIGHTS_WAIT."""


@dataclass
class Rig:
    """An operator with the rights of a service account, that does one key at a time."""

    admin: Client
    kubectl: Kubectl
    namespace: str
    clock: MovedClock
    router: Router
    woken: list[Key] = field(default_factory=list)

    async def look(self, key: Key) -> BackstayError | None:
        """Look at a key once; return what went wrong."""
        try:
            await self.router.reconcile(key)
        except BackstayError as error:
            return error
        return None

    @property
    def backup(self) -> Key:
        return keys.backup(self.namespace, POLICY)

    async def ready(self) -> Obj:
        """Look at the policy; return what Ready says of it then."""
        await self.look(keys.policy(self.namespace, POLICY))
        policy = await self.admin.get(BACKUP_POLICY, POLICY, self.namespace)
        (found,) = [c for c in dig(policy, "status", "conditions") if c["type"] == "Ready"]
        assert isinstance(found, dict)
        return found

    async def status(self) -> BackupStatus:
        found = await self.admin.get(BACKUP, POLICY, self.namespace)
        return BackupStatus.model_validate(found.get("status") or {})

    async def start(self) -> None:
        """Create a Backup and let it be admitted."""
        await self.admin.create(BACKUP, backup_of(self.namespace, POLICY))
        for key in (self.backup, keys.ADMISSION):
            assert await self.look(key) is None

    def pass_time(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))


@contextlib.asynccontextmanager
async def rig_of(
    admin: Client,
    namespace: str,
    kubeconfig: Path,
    folder: Path,
    rules: list[Obj],
    *,
    answering: bool = False,
) -> AsyncIterator[Rig]:
    """See Rig; `answering`: containers do, else exec ends at the API server."""
    kubectl = Kubectl(kubeconfig, namespace)
    nodes = await add_databases(admin, namespace, ["n1"])
    access = await make_operator(kubectl, folder, rules)
    clock = PatientClock()
    async with Client(access, SystemClock()) as client:
        streams = Streams(Containers(nodes, 0) if answering else Exec(access))
        router = Router(Settings(), clock, client, EventPoster(client, clock, "test"), streams)
        rig = Rig(admin, kubectl, namespace, clock, router)
        router.wire(rig.woken.append)
        yield rig
        await streams.close()


async def with_secret(rig: Rig) -> None:
    """Let the policy's dump take its password from a Secret, which is there."""
    secret = {"metadata": {"name": "pg", "namespace": rig.namespace}, "data": {"password": "eA=="}}
    await rig.admin.create(SECRET, secret)
    await with_engine(rig, PASSWORD)


async def with_engine(rig: Rig, more: dict[str, Any]) -> None:
    policy = await rig.admin.get(BACKUP_POLICY, POLICY, rig.namespace)
    (dump,) = policy["spec"]["dumps"]
    patch: Obj = {
        "metadata": {"resourceVersion": objects.version(policy)},
        "spec": {"dumps": [{**dump, "postgres": {"databases": ["shop"], **more}}]},
    }
    await rig.admin.patch(BACKUP_POLICY, POLICY, rig.namespace, patch)


@pytest.fixture
async def rig(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> AsyncIterator[Rig]:
    """An operator with the rights of the manifests."""
    async with rig_of(client, namespace, kubeconfig, tmp_path, installed_rules()) as rig:
        yield rig


async def until_granted(rig: Rig) -> Obj:
    """The API server heeds a Role that was made within moments."""
    async with within(180, "the API server to heed the Role"):
        while (ready := await rig.ready())["status"] != "True":  # noqa: ASYNC110 - theirs
            await asyncio.sleep(0.1)
    return ready


async def test_the_rights_of_the_manifests_are_all_that_a_run_is_asked_for(rig: Rig) -> None:
    assert (await rig.ready())["reason"] == "Valid"


async def test_a_secret_that_may_not_be_read_is_in_ready_with_the_role_that_is_missing(
    rig: Rig,
) -> None:
    await with_secret(rig)

    ready = await rig.ready()

    assert (ready["status"], ready["reason"]) == ("False", "Forbidden")
    assert ROLE in ready["message"]
    assert ready["message"].startswith("spec.dumps[all].postgres.password.secretKeyRef: ")
    grant_secret(rig.kubectl, "pg")
    assert (await until_granted(rig))["reason"] == "Valid"


@pytest.mark.parametrize(
    ("data", "reason"), [(None, "SecretNotFound"), ({"other": "eA=="}, "SecretKeyNotFound")]
)
async def test_a_secret_that_is_not_there_is_in_ready_before_any_run(
    rig: Rig, data: dict[str, str] | None, reason: str
) -> None:
    await with_engine(rig, PASSWORD)
    grant_secret(rig.kubectl, "pg")
    if data is not None:
        meta = {"name": "pg", "namespace": rig.namespace}
        await rig.admin.create(SECRET, {"metadata": meta, "data": data})
    async with within(180, "the API server to heed the Role"):
        while (ready := await rig.ready())["reason"] == "Forbidden":  # noqa: ASYNC110 - theirs
            await asyncio.sleep(0.1)

    assert (ready["status"], ready["reason"]) == ("False", reason)


async def test_a_run_that_may_not_read_its_secret_waits_some_moments_and_holds_nothing(
    rig: Rig,
) -> None:
    await with_secret(rig)
    await rig.admin.create(BACKUP, backup_of(rig.namespace, POLICY))

    await rig.look(rig.backup)
    waits = await rig.status()
    rig.pass_time(60)
    await rig.look(rig.backup)
    ended = await rig.status()

    assert (waits.phase, waits.pools) == (BackupPhase.PENDING, ())
    assert ROLE in (waits.message or "")
    assert (ended.phase, ended.pools) == (BackupPhase.FAILED, ())
    assert ROLE in (ended.message or "")


async def test_a_role_that_is_applied_some_moments_after_the_backup_costs_nothing(rig: Rig) -> None:
    await with_secret(rig)
    await rig.admin.create(BACKUP, backup_of(rig.namespace, POLICY))
    await rig.look(rig.backup)

    grant_secret(rig.kubectl, "pg")
    await until_granted(rig)
    await rig.look(rig.backup)

    status = await rig.status()
    assert (status.phase, status.message) == (BackupPhase.QUEUED, None)


async def test_a_secret_that_is_taken_away_in_a_run_ends_the_attempt_and_frees_the_permits(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    rules = installed_rules()
    async with rig_of(client, namespace, kubeconfig, tmp_path, rules, answering=True) as rig:
        await with_secret(rig)
        grant_secret(rig.kubectl, "pg")
        await until_granted(rig)
        await rig.start()
        assert (await rig.status()).pools
        rig.kubectl("delete", "role", "backstay-reads")
        async with within(180, "the API server to forget the Role"):
            while (await rig.ready())["reason"] != "Forbidden":
                await asyncio.sleep(0.1)
                rig.pass_time(300)  # Ready stands for so long

        await ended(rig)

        status = await rig.status()
        assert (status.phase, status.pools) == (BackupPhase.FAILED, ())
        assert ROLE in (status.message or "")
        assert keys.ADMISSION in rig.woken, "who waits for the permits is looked at"


async def test_pods_that_may_not_be_entered_end_the_attempt_long_before_max_duration(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    rules = installed_rules()
    async with rig_of(client, namespace, kubeconfig, tmp_path, rules) as rig:
        assert (await rig.ready())["status"] == "True"
        await rig.start()
        grant(rig.kubectl, "ClusterRole", f"{namespace}-operator", without(rules, "pods/exec"))
        refusal = "the operator may not create pods/exec there"
        async with within(180, f"the run to say: {refusal}"):
            while refusal not in ((await rig.status()).message or ""):
                await rig.look(rig.backup)

        assert (await rig.status()).phase is BackupPhase.DUMPING
        rig.pass_time(HELD_UP + 1)
        await ended(rig)

        status = await rig.status()
        assert (status.phase, status.pools) == (BackupPhase.FAILED, ())
        assert refusal in (status.message or "")


async def test_snapshots_that_may_not_be_made_end_the_attempt_long_before_take_timeout(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    rules = installed_rules()
    async with rig_of(client, namespace, kubeconfig, tmp_path, rules) as rig:
        policy = await client.get(BACKUP_POLICY, POLICY, namespace)
        version = {"resourceVersion": objects.version(policy)}
        await client.patch(
            BACKUP_POLICY, POLICY, namespace, {"metadata": version, "spec": {"dumps": None}}
        )
        await rig.start()
        readers = [
            r | {"verbs": ["get", "list", "watch"]} if "volumesnapshots" in r["resources"] else r
            for r in rules
        ]
        grant(rig.kubectl, "ClusterRole", f"{namespace}-operator", readers)
        async with within(180, "the run to be refused its snapshot"):
            while not isinstance(await rig.look(rig.backup), Refused):  # noqa: ASYNC110 - theirs
                await asyncio.sleep(0.1)

        waits = await rig.status()
        assert waits.phase is BackupPhase.SNAPSHOTTING
        assert 'cannot create resource "volumesnapshots"' in (waits.message or "")
        rig.pass_time(HELD_UP + 1)
        await ended(rig)

        status = await rig.status()
        assert (status.phase, status.pools) == (BackupPhase.FAILED, ())
        assert 'cannot create resource "volumesnapshots"' in (status.message or "")


async def test_a_right_that_the_operator_lacks_is_in_ready_before_any_run(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    rules = without(installed_rules(), "pods/exec")
    async with rig_of(client, namespace, kubeconfig, tmp_path, rules) as rig:
        ready = await rig.ready()

    assert (ready["status"], ready["reason"]) == ("False", "Forbidden")
    assert f"the operator may not get pods/exec in namespace {namespace}: " in ready["message"]
    assert 'Role with {apiGroups: [""], resources: [pods/exec], verbs: [get]}' in ready["message"]


async def test_a_policy_that_cannot_be_looked_at_says_so(
    client: Client, namespace: str, kubeconfig: Path, tmp_path: Path
) -> None:
    rules = [r for r in installed_rules() if "volumesnapshots" not in r["resources"]]
    async with rig_of(client, namespace, kubeconfig, tmp_path, rules) as rig:
        ready = await rig.ready()

    assert (ready["status"], ready["reason"]) == ("False", "Forbidden")
    assert 'cannot list resource "volumesnapshots"' in ready["message"]


async def ended(rig: Rig) -> None:
    """Look at the run a few times, as the queue would, until it has ended."""
    for _ in range(5):
        await rig.look(rig.backup)
        if (await rig.status()).phase.final:
            return
    raise AssertionError(f"it still waits: {await rig.status()}")
