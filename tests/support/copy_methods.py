"""Runs of policies whose copies are made of a temporary claim, for the world of rolling copies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.rolling_world import World
from tests.support.waiting import within

from backstay.api.common import format_time
from backstay.api.store import ROLLING
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.temporary import job_name
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import (
    BACKUP,
    PERSISTENT_VOLUME_CLAIM,
)
from backstay.reconcile import keys

METHODS = ["Snapshot", "Clone"]


def spec_of(method: str, **more: Any) -> dict[str, Any]:
    rolling = {
        "destination": {"claim": {"name": "backups"}},
        "allowSameFileSystem": True,
        "scrub": {"days": 0},
        "copyMethod": method,
    }
    found: dict[str, Any] = {"source": {"claims": {"names": ["data"]}}, "rolling": rolling}
    return found | ({"snapshot": {}} if method == "Snapshot" else {}) | more


async def begin(world: World, method: str, **more: Any) -> Path:
    """A policy of claim `data`, which has a file; return the folder that is its volume."""
    await world.storage.classes()
    data = await world.storage.claim(world.namespace, "data")
    await world.storage.claim(world.namespace, "backups")
    (data / "a").write_text("one")
    await world.policy(**spec_of(method, **more))
    return data


async def ask(world: World, name: str = "run") -> Obj:
    backup = await world.create(BACKUP, name, {"policy": "uploads"})
    world.add(keys.backup(world.namespace, name))
    return backup


async def temporary(world: World) -> list[Obj]:
    found = labels.TEMPORARY
    return await world.client.list(PERSISTENT_VOLUME_CLAIM, world.namespace, labels=found)


async def until_job(world: World) -> Obj:
    """Work until the Job of the copy is there, and nobody has run it."""
    async with within(60, "the Job of a copy"):
        while True:
            await world.step()
            await world.storage.step(world.namespace)
            if jobs := [j for j in await world.jobs(world.namespace) if is_copy(j)]:
                return jobs[-1]


def is_copy(job: Obj) -> bool:
    return "-copy-" in objects.name(job)


def copies(world: World) -> list[Path]:
    """The copies of the claim `data`, oldest first."""
    top = world.claims / world.namespace / "backups" / world.namespace / "uploads"
    return sorted(p for p in top.glob("data-*/*Z") if p.is_symlink())


def point(backup: Obj, store: str = "Rolling") -> Obj:
    return dict(next(p for p in backup["status"]["points"] if p["store"] == store))


async def shift(world: World, field: str, name: str = "run") -> None:
    """Have a moment of a Backup, or of its copy, be long ago."""
    found = await world.get(BACKUP, name)
    past, status = format_time(SystemClock().now() - timedelta(hours=2)), found["status"]
    if field in status:
        change: Obj = {field: past}
    else:
        change = {"points": [{**p, field: past} if field in p else p for p in status["points"]]}
    body = {"metadata": {"resourceVersion": objects.version(found)}, "status": change}
    await world.client.patch(BACKUP, name, world.namespace, body, subresource="status")
    world.add(keys.backup(world.namespace, name))


async def fail_once(world: World) -> Path:
    """A run whose snapshot is good and whose first attempt at a copy has failed."""
    data = await begin(world, "Snapshot", retries=1)
    backup = await ask(world)
    await world.storage.claim(world.namespace, job_name(backup, 1, "data", ROLLING))
    async with within(60, "the first attempt to fail"):
        while dig(await world.get(BACKUP, "run"), "status", "retryAt") is None:
            await world.step()
            await world.storage.step(world.namespace)
    return data
