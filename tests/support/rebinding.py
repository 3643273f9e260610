"""Orphans as they are left on a server, and the page that brings them back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from tests.support.builders import record, snapshot
from tests.support.guides import Guide, Reader
from tests.support.passes import retention_of, until_idle
from tests.support.stored import bind, store

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

PAGE: Final = "rebind-an-orphan.md"
SAMPLE: Final = "snapcontent-5d2c9a10"
"""The content that the page takes as its example."""


def now() -> datetime:
    return SystemClock().now().replace(microsecond=0)


def ago(days: float) -> str:
    """The moment so many days ago, as the API server writes it."""
    return format_time(now() - timedelta(days=days))


def dated(days: int) -> str:
    """The date of UTC so many days ago."""
    return (now().date() - timedelta(days=days)).isoformat()


async def make_policy(client: Client, namespace: str, **retention: int) -> Obj:
    """Given what to keep, make the policy `shop`, whose schedule does not run."""
    spec: Obj = {
        "schedule": {"cron": "32 0 * * *", "timeZone": "UTC"},
        "source": {"claims": {"names": ["data"]}},
        "suspend": True,
        "retention": retention or {"daily": 30, "monthly": 12},
    }
    return await client.create(
        BACKUP_POLICY, {"metadata": {"name": "shop", "namespace": namespace}, "spec": spec}
    )


async def make_orphan(
    client: Client,
    namespace: str,
    name: str,
    days: float,
    *,
    extra: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
    adopted: bool = False,
) -> str:
    """A content that lost its snapshot of so many days ago, with all that this said, and labels
    and notes by their short names. One that was adopted has no record. Return its name.
    """
    taken = now() - timedelta(days=days)
    reported = {"backup": f"b-{name}", **(extra or {})}
    written = {
        "record": record(namespace=namespace, slot=taken, backup=reported["backup"]),
        **(notes or {}),
    }
    if adopted:
        written["adopted-from"] = "backup-ns.sh"
        del written["record"]
    bound = f"{namespace}-{name}"
    made = snapshot(name, format_time(taken), bound=bound, notes=written, extra=reported)
    stored = await store(client, namespace, made)
    await bind(client, stored, policy="Delete")
    carried = {"labels": objects.labels(stored), "annotations": objects.annotations(stored)}
    status = {"snapshotHandle": f"disk-{bound}", "readyToUse": True}
    await _patch(client, bound, {"metadata": carried})
    await _patch(client, bound, {"metadata": {}, "status": status}, subresource="status")
    await client.delete(VOLUME_SNAPSHOT, name, namespace, uid=objects.uid(stored))
    return bound


async def _patch(client: Client, content: str, patch: Obj, subresource: str | None = None) -> None:
    found = await client.get(VOLUME_SNAPSHOT_CONTENT, content)
    patch["metadata"]["resourceVersion"] = objects.version(found)
    await client.patch(VOLUME_SNAPSHOT_CONTENT, content, None, patch, subresource=subresource)


@dataclass(frozen=True)
class Rebinding:
    """The steps of the page for one content."""

    page: Reader

    async def step(self, mark: str, changes: Mapping[str, str] | None = None) -> str:
        return await asyncio.to_thread(self.page.step, mark, changes)

    async def choose(self, content: str) -> str:
        """The list of orphans, and the choice of one; return the list."""
        listed = await self.step("kubectl backstay orphans -A")
        await self.step("content=", {SAMPLE: content})
        return listed

    async def rest(self) -> None:
        """The template and the pair."""
        await self.step("pair.tmpl")
        await self.step("kubectl wait -f pair.yaml")


Rebind = Callable[[str], Awaitable[None]]


def open_page(kubeconfig: Path, folder: Path) -> Rebinding:
    """Given a cluster and a folder, open the page again."""
    return Rebinding(Reader(Guide(PAGE, kubeconfig, folder)))


def rebinding(kubeconfig: Path, folder: Path) -> Rebind:
    """Given a cluster and a folder, return what rebinds one content by the commands of the page,
    without the list before them.
    """
    guide = Guide(PAGE, kubeconfig, folder)

    async def rebind(content: str) -> None:
        for mark in ("pair.tmpl", "kubectl wait -f pair.yaml"):
            await asyncio.to_thread(guide.run, mark, {}, content=content)

    return rebind


async def run_pass(client: Client, namespace: str) -> None:
    """Take the passes of retention over the policy of make_policy, until none is left."""
    await until_idle(retention_of(client, SystemClock(), namespace, "shop"))
