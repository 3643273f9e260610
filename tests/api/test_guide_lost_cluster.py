"""docs/how-to/lost-cluster.md, its commands run as written, against a real S3 server over TLS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hack.cluster.kit import s3
from tests.support.guides import Guide, Reader
from tests.support.kept_points import KeptPoints, lose
from tests.support.repositories import NAME, PASSWORD
from tests.support.rolling_world import World
from tests.support.s3_server import Server
from tests.support.schedules import DRIVER

from backstay.domain import labels, objects
from backstay.domain.errors import Conflict, Transient
from backstay.domain.objects import dig
from backstay.kube.resources import (
    BACKUP,
    PERSISTENT_VOLUME_CLAIM,
    RESTORE_REQUEST,
    SECRET,
    STORAGE_CLASS,
)
from backstay.reconcile import keys

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("s3") / "cluster")
    yield found
    found.stop()


async def test_the_page_brings_a_claim_back_into_a_namespace_without_anything_of_ours(
    server: Server, world: World, kubeconfig: Path, tmp_path: Path
) -> None:
    access = server.start()
    place = f"s3:{access.endpoint}/{s3.BUCKET}/{world.namespace}"
    kept = KeptPoints(world)
    await kept.in_s3(access, place)
    await kept.policy_of_repository()
    (kept.data / "b").write_text("of the first night")
    await kept.taken("first")
    (kept.data / "b").write_text("of the second night")
    await kept.taken("second")
    await lose(kept)
    await _lose_claim(kept)
    page = Reader(Guide("lost-cluster.md", kubeconfig, tmp_path))
    (tmp_path / "ca.crt").write_bytes(ca_of(access))
    keys_of = access.keys[s3.APPENDER]
    here = {"-n shop": f"-n {world.namespace}"}

    async with _operating(kept):
        # The test's namespace is there, and the server's CA is its own.
        await _step(
            page,
            "create secret generic offsite",
            {
                "kubectl create namespace shop": "kubectl -n NS create secret generic tls "
                "--from-file=ca.crt".replace("NS", world.namespace),
                "s3:https://s3.example.org/backups/shop": place,
                "RESTIC_PASSWORD=...": f"RESTIC_PASSWORD={PASSWORD}",
                "AWS_ACCESS_KEY_ID=...": f"AWS_ACCESS_KEY_ID={keys_of.id}",
                "AWS_SECRET_ACCESS_KEY=...": f"AWS_SECRET_ACCESS_KEY={keys_of.secret}",
                **here,
            },
        )
        ca = "  secretRef: {name: offsite}\n  customCA: {secretName: tls}"
        await _step(page, "repository.yaml", {"  secretRef: {name: offsite}": ca})
        await _step(page, "condition=Listed", here)
        listed = await _step(page, "get backups", here)
        assert {"first", "second"} <= set(listed.split())
        assert "2 points, 0 snapshots of others" in listed
        await _step(page, "restore.yaml")
        done = await _step(page, "apply -f restore.yaml", here)
        assert "Completed" in done
        assert (kept.data / "b").read_text() == "of the second night"
        claim = await world.get(PERSISTENT_VOLUME_CLAIM, "data")
        assert labels.CONTINUES in objects.annotations(claim)
        await kept.repositories.secret(
            "offsite",
            RESTIC_REPOSITORY=place,
            RESTIC_PASSWORD=PASSWORD,
            AWS_ACCESS_KEY_ID=access.keys[s3.WRITER].id,
            AWS_SECRET_ACCESS_KEY=access.keys[s3.WRITER].secret,
        )
        await _step(page, '"access":"ReadWrite"', here)
        page.finish()
    await kept.policy_of_repository()
    third = await kept.taken("third")
    assert third["status"]["phase"] == "Completed"
    await kept.days(1)
    assert await kept.backups() == ["first", "second", "third"]
    # They are of one series, in which the policy keeps the last.
    for name in ("first", "second"):
        assert dig(await kept.backup(name), "status", "until").startswith("marked"), name


def ca_of(access: s3.Access) -> bytes:
    return Path(access.ca).read_bytes()


async def _step(page: Reader, mark: str, changes: dict[str, str] | None = None) -> str:
    return await asyncio.to_thread(page.step, mark, changes)


async def _lose_claim(kept: KeptPoints) -> None:
    client, namespace = kept.world.client, kept.namespace
    for resource, name in ((PERSISTENT_VOLUME_CLAIM, "data"), (SECRET, "offsite"), (SECRET, "tls")):
        found = await client.get(resource, name, namespace)
        metadata = {"resourceVersion": objects.version(found), "finalizers": None}
        await client.patch(resource, name, namespace, {"metadata": metadata})
        await client.delete(resource, name, namespace, uid=objects.uid(found))
    for path in kept.data.iterdir():
        path.unlink()
    kept.data.rmdir()
    if await client.find(STORAGE_CLASS, "fast") is None:
        body = {"metadata": {"name": "fast"}, "provisioner": DRIVER}
        await client.create(STORAGE_CLASS, body)


@contextlib.asynccontextmanager
async def _operating(kept: KeptPoints) -> AsyncIterator[None]:
    """An operator and a node at work beside the block."""
    world, namespace = kept.world, kept.namespace

    async def operate() -> None:
        while True:
            world.add(keys.repository(namespace, NAME))
            for request in await world.client.list(RESTORE_REQUEST, namespace):
                world.add(keys.restore(namespace, objects.name(request)))
            for backup in await world.client.list(BACKUP, namespace):
                world.add(keys.backup(namespace, objects.name(backup)))
            with contextlib.suppress(Conflict, Transient):
                await world.step()
            await world.node.run()
            await world.storage.step(namespace)
            await asyncio.sleep(0.2)

    working = asyncio.create_task(operate())
    try:
        yield
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
