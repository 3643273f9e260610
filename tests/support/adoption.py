"""Snapshots of backup-ns on a real API server, and what happens to them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.support.passes import retention_of, until_idle
from tests.support.stored import bind, store
from tests.unit.cli.running import FOREIGN, foreign

from backstay.api.common import format_time
from backstay.api.store import SNAPSHOT
from backstay.domain import labels, objects, preview
from backstay.domain.calendar import local_date
from backstay.domain.objects import Obj, dig
from backstay.domain.preview import Preview
from backstay.domain.retention.from_spec import rules_of
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    CRON_JOB,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile.runs import parse_policy_spec

P: Final = labels.PREFIX
ADOPT: Final = {"labelPrefix": "backup-ns.sh"}
PRUNE: Final = ["/bin/bash", "-c", "/app/retain.sh && /app/mark-and-delete.sh"]

VIENNA: Final = ZoneInfo("Europe/Vienna")


def day_of(days: float = 0) -> date:
    """The date of the policy's zone so many days ago, as the tool writes it."""
    return local_date(SystemClock().now() - timedelta(days=days), VIENNA)


async def make_policy(
    client: Client, namespace: str, name: str = "shop", *, adopt: bool = True, **retention: int
) -> Obj:
    spec: Obj = {
        "schedule": {"cron": "32 0 * * *", "timeZone": "Europe/Vienna"},
        "source": {"claims": {"names": ["data"]}},
        "retention": retention or {"daily": 2, "weekly": 2, "monthly": 2},
    }
    if adopt:
        spec["adopt"] = ADOPT
    return await client.create(
        BACKUP_POLICY, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )


async def make_theirs(
    client: Client,
    namespace: str,
    days: int,
    *,
    ready: bool = True,
    name: str | None = None,
    **carried: Any,
) -> Obj:
    """A snapshot of backup-ns so many days old, bound to a content that nobody labelled. One with
    a name of its own is a little younger than the one of its day.
    """
    taken = SystemClock().now() - timedelta(days=days, minutes=5 if name is None else 4)
    made = foreign(name or f"data-{days}", format_time(taken), ready=ready, **carried)
    made["status"] |= {
        "boundVolumeSnapshotContentName": f"{namespace}-{name or days}",
        "restoreSize": "1Gi",
    }
    stored = await store(client, namespace, made)
    await bind(client, stored)
    return stored


async def make_cronjob(client: Client, namespace: str, name: str, *command: str) -> Obj:
    container = {"name": name, "image": "ghcr.io/allaboutapps/backup-ns:v0.3.0"}
    pod = {"restartPolicy": "Never", "containers": [{**container, "command": list(command)}]}
    spec = {
        "schedule": "36 11 * * *",
        "jobTemplate": {"spec": {"template": {"spec": pod}}},
    }
    return await client.create(
        CRON_JOB, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )


async def remove_cronjob(client: Client, job: Obj) -> None:
    await client.delete(CRON_JOB, objects.name(job), objects.namespace(job), uid=objects.uid(job))


async def run_pass(client: Client, namespace: str, policy: str = "shop") -> None:
    await until_idle(retention_of(client, SystemClock(), namespace, policy))


async def snapshots(client: Client, namespace: str) -> dict[str, Obj]:
    return {objects.name(s): s for s in await client.list(VOLUME_SNAPSHOT, namespace)}


async def backups(client: Client, namespace: str) -> dict[str, Obj]:
    return {objects.name(b): b for b in await client.list(BACKUP, namespace)}


async def condition(client: Client, namespace: str, policy: str = "shop") -> dict[str, Any]:
    found = await client.get(BACKUP_POLICY, policy, namespace)
    conditions = dig(found, "status", "conditions", default=[])
    return next((c for c in conditions if c["type"] == "Adopted"), {})


async def offline(client: Client, namespace: str, policy: Obj) -> dict[str, Preview]:
    """What `kubectl backstay retention --label-prefix backup-ns.sh` says of the namespace."""
    rules = rules_of(parse_policy_spec(policy), SNAPSHOT)
    found = await client.list(VOLUME_SNAPSHOT, namespace)
    lines = preview.of_adopted(found, rules, SystemClock().now(), FOREIGN)
    return {line.name: line for line in lines}


def prefixed(obj: Obj, prefix: str) -> dict[str, str]:
    return {
        k.removeprefix(prefix): v for k, v in objects.labels(obj).items() if k.startswith(prefix)
    }


async def everything(client: Client, namespace: str) -> dict[str, str]:
    """Every object of ours by kind and name, with its resourceVersion."""
    found = [
        *await client.list(VOLUME_SNAPSHOT, namespace),
        *await client.list(BACKUP, namespace),
        *await client.list(BACKUP_POLICY, namespace),
        *(
            c
            for c in await client.list(VOLUME_SNAPSHOT_CONTENT)
            if dig(c, "spec", "volumeSnapshotRef", "namespace") == namespace
        ),
    ]
    return {f"{o['kind']}/{objects.name(o)}": objects.version(o) for o in found}
