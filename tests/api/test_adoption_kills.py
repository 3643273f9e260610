"""An adoption that is killed or disturbed half way ends as one that was not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.adoption import (
    P,
    backups,
    make_policy,
    make_theirs,
    prefixed,
    run_pass,
    snapshots,
)
from tests.support.killing import Killed, killing
from tests.support.passes import retention_reconciler

from backstay.domain import labels, objects
from backstay.domain.errors import Conflict, Transient
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import (
    NAMESPACE,
    VOLUME_SNAPSHOT,
)
from backstay.reconcile import keys


@pytest.mark.timeout(120)
async def test_killed_before_any_write_the_next_one_ends_the_same(
    client: Client, credentials: Login, namespace: str
) -> None:
    async def world(place: str) -> None:
        await make_policy(client, place)
        await make_theirs(client, place, 1, daily="2020-01-01")
        await make_theirs(client, place, 2, ready=False)
        await make_theirs(client, place, 9, weekly="w01")

    async def outcome(place: str) -> dict[str, Any]:
        found = await snapshots(client, place)
        uids = {objects.uid(b) for b in (await backups(client, place)).values()}
        pointing = {objects.annotations(s).get(labels.RUN) for s in found.values()} - {None}
        assert pointing == uids
        assert all(
            dig(b, "status", "phase") == "Completed"
            for b in (await backups(client, place)).values()
        )
        return {
            name: {k: v for k, v in prefixed(s, P).items() if k != "backup"}
            for name, s in found.items()
        }

    await world(namespace)
    await run_pass(client, namespace)
    wanted = await outcome(namespace)
    kills = 0
    while True:
        place = await another_namespace(client, namespace, kills)
        await world(place)
        async with Client(credentials, SystemClock(), fence=killing(kills)) as mortal:
            try:
                await run_pass(mortal, place)
            except Killed:
                killed = True
            else:
                killed = False
        await run_pass(client, place)
        assert await outcome(place) == wanted, f"killed before write {kills}"
        if not killed:
            break
        kills += 1
    # Backup, its status and the patch of two, the patch of one, contents, mirrors, the condition
    assert kills > 10


async def another_namespace(client: Client, base: str, number: int) -> str:
    name = f"{base}-{number}"
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    return name


async def test_one_snapshot_that_changed_meanwhile_is_read_again_before_the_pass(
    client: Client, credentials: Login, namespace: str
) -> None:
    """A series is judged whole: the pass does not follow an adoption that is not complete."""
    await make_policy(client, namespace)
    await make_theirs(client, namespace, 1)
    await make_theirs(client, namespace, 2)
    stale = _Meddled(credentials, SystemClock(), namespace)
    async with stale as meddled:
        reconciler = retention_reconciler(meddled, SystemClock(), lambda _: None)
        with pytest.raises((Conflict, Transient)):
            await reconciler.reconcile(keys.retention(namespace, "shop"))
    found = await snapshots(client, namespace)
    assert not any(labels.DAILY in objects.labels(s) for s in found.values())

    await run_pass(client, namespace)

    found = await snapshots(client, namespace)
    assert all(labels.DAILY in objects.labels(s) for s in found.values())


class _Meddled(Client):
    """A client whose snapshot data-2 a person edits just before each patch of it."""

    def __init__(self, credentials: Login, clock: SystemClock, namespace: str) -> None:
        super().__init__(credentials, clock)
        self._place = namespace

    async def patch(self, resource: Any, name: str, *arguments: Any, **more: Any) -> Obj:
        if name == "data-2":
            found = await self.get(VOLUME_SNAPSHOT, name, self._place)
            edit = {
                "metadata": {
                    "resourceVersion": objects.version(found),
                    "annotations": {"by-hand": str(SystemClock().monotonic())},
                }
            }
            await super().patch(VOLUME_SNAPSHOT, name, self._place, edit)
        return await super().patch(resource, name, *arguments, **more)
