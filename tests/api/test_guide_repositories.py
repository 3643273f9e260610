"""docs/how-to/restore.md, move-from-volsync.md and move-from-k8up.md, followed word by word, with
the real agent and restic. A directory stands for the bucket of the pages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.apiserver import CRD
from tests.support.guides import Guide, Reader
from tests.support.node import restic_folder
from tests.support.operating import operating
from tests.support.repositories import PASSWORD, Repositories
from tests.support.restores import Restores
from tests.support.rolling_world import World

from backstay.domain.errors import AlreadyExists, NotFound, NotServed
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, Resource

VOLSYNC = ("--host", "volsync", "--exclude=lost+found")
DAYS = [f"2026-11-{day:02} 03:00:00" for day in (20, 21, 22, 23)]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
async def restores(world: World) -> Restores:
    """A repository that somebody filled, and nothing that we need."""
    made = Restores(Repositories(world))
    await made.begin()
    await world.storage.classes()
    return made


@pytest.fixture
def reading(restores: Restores, kubeconfig: Path, tmp_path: Path) -> Reading:
    return Reading(restores, kubeconfig, tmp_path)


class Reading:
    """Somebody who follows a page, in the namespace of the test."""

    def __init__(self, restores: Restores, kubeconfig: Path, folder: Path) -> None:
        self._restores = restores
        self._at = kubeconfig, folder
        self.open("restore.md")

    def open(self, name: str) -> None:
        """Begin to read a page."""
        self.guide = Guide(name, *self._at)
        self._reader = Reader(self.guide)

    async def step(self, mark: str, changes: Mapping[str, str] | None = None) -> str:
        """Do what the next block says."""
        return await asyncio.to_thread(self._reader.step, mark, changes)

    async def here(self) -> None:
        """Say which namespace it is."""
        await self.step("ns=shop", {"ns=shop": f"ns={self._restores.namespace}"})

    def finish(self) -> None:
        """Raise AssertionError unless all of the page was done."""
        self._reader.finish()


async def serve(client: Client, group: str, kind: str, name: str, namespace: str) -> Obj:
    """Have the server know a kind of another tool, and make one; return it."""
    plural = f"{kind.lower()}s"
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": free},
    }
    body = {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    with suppress(AlreadyExists):
        await client.create(CRD, body)
    made = Resource(group, "v1alpha1", plural, kind, namespaced=True)
    while True:
        try:
            whole: Any = {"metadata": {"name": name, "namespace": namespace}, "spec": {}}
            return await client.create(made, whole)
        except (NotFound, NotServed):
            await asyncio.sleep(0.2)


async def test_the_page_of_restores_brings_a_claim_back_in_an_empty_cluster(
    restores: Restores, reading: Reading
) -> None:
    restores.point()
    place = str(restores.repositories.folder)
    await restores.repositories.secret("offsite", RESTIC_REPOSITORY=place, RESTIC_PASSWORD=PASSWORD)
    reading.open("restore.md")

    async with operating(restores.world):
        await reading.step("repository.yaml")
        await reading.step("restore.yaml", {"2026-11-23T06:00:00Z": "2099-01-01T00:00:00Z"})
        said = await reading.step(
            "kubectl create -n $ns -f restore.yaml", {"ns=shop": f"ns={restores.namespace}"}
        )

    assert "restored 2 files with 6 bytes" in said
    assert restores.content() == {"a": "one", "sub/b": "two"}
    await reading.step("over.yaml", {"2026-11-24T12:00:00Z": "2099-01-01T00:00:00Z"})
    create = f"kubectl create -n {restores.namespace} -f over.yaml --dry-run=server"
    assert (await asyncio.to_thread(reading.guide.shell, create)).ok


async def test_a_point_is_restored_with_restic_alone_as_the_page_says(
    restores: Restores, reading: Reading, tmp_path: Path
) -> None:
    restores.point()
    reading.open("restore.md")
    environment = {
        "RESTIC_REPOSITORY": str(restores.repositories.folder),
        "RESTIC_PASSWORD": PASSWORD,
        "PATH": f"{restic_folder()}:{os.environ['PATH']}",
    }

    said = reading.guide.run("restic restore", {"shop/data": restores.host()}, **environment)

    assert "1 snapshots" in said
    assert (tmp_path / "restored/sub/b").read_text() == "two"


async def test_the_page_of_volsync_moves_a_claim(restores: Restores, reading: Reading) -> None:
    for day in DAYS:
        (restores.source / "a").write_text(day)
        restores.store(*VOLSYNC, "--time", day)
    before = restores.tree()
    world, place = restores.world, str(restores.repositories.folder)
    await restores.repositories.secret(
        "restic-config", RESTIC_REPOSITORY=place, RESTIC_PASSWORD=PASSWORD
    )
    (await world.storage.claim(world.namespace, "mydata") / "a").write_text("now")
    replication = await serve(
        world.client, "volsync.backube", "ReplicationSource", "mydata-backup", world.namespace
    )
    reading.open("move-from-volsync.md")

    async with operating(world):
        await reading.here()
        await reading.step("# volsync.yaml")
        await reading.step("kubectl apply -n $ns -f volsync.yaml")
        await reading.step("# try.yaml")
        said = await reading.step("kubectl create -n $ns -f try.yaml")
        assert "restored 2 files" in said
        assert restores.content("mydata-try")["a"] == DAYS[1]
        theirs = "s3:https://s3.example.org/backstay/shop"
        await reading.step("kubectl create secret", {theirs: str(world.root / "own")})
        await reading.step("# policy.yaml")
        await reading.step("kubectl apply -n $ns -f policy.yaml")
        await reading.step("kubectl patch replicationsource")
    reading.finish()

    policy = await world.get(BACKUP_POLICY, "mydata")
    assert policy["status"]["lastManualRun"] == "first"
    assert restores.tree() == before
    assert (world.root / "own/snapshots").is_dir()
    made = Resource("volsync.backube", "v1alpha1", "replicationsources", "R", namespaced=True)
    paused = await world.client.get(made, replication["metadata"]["name"], world.namespace)
    assert dig(paused, "spec", "paused") is True


async def test_the_page_of_k8up_restores_a_claim(restores: Restores, reading: Reading) -> None:
    world = restores.world
    # As in K8up's Pod, but that the claim is mounted elsewhere.
    restores.store("--host", world.namespace, path=str(restores.source))
    before = restores.tree()
    await restores.repositories.secret("backup-repo", password=PASSWORD)
    await restores.repositories.secret("backup-credentials", username="u", password="p")  # noqa: S106
    await serve(world.client, "k8up.io", "Schedule", "backup", world.namespace)
    reading.open("move-from-k8up.md")

    async with operating(world):
        await reading.here()
        theirs = "s3:https://s3.example.org/k8up"
        await reading.step("kubectl create secret", {theirs: str(restores.repositories.folder)})
        await reading.step("# k8up.yaml")
        await reading.step("kubectl apply -n $ns -f k8up.yaml")
        mine = {"host: shop": f"host: {world.namespace}", "/data/mydata": str(restores.source)}
        await reading.step("# try.yaml", mine)
        said = await reading.step("kubectl create -n $ns -f try.yaml")
        assert "restored 2 files with 6 bytes" in said
        await reading.step("kubectl delete schedules.k8up.io")
    reading.finish()

    assert restores.content("mydata-try") == {"a": "one", "sub/b": "two"}
    assert restores.tree() == before
