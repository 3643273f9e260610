"""Many policies on a real API server, all due at one moment that is near by our clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP_POLICY,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT_CLASS,
)

T = TypeVar("T")

DRIVER = "csi.example.com"
CLAIM = "data"
HOURLY = "@hourly"
WRITERS = 16


class MovedClock(SystemClock):
    """The real clock, ahead by so much: it need not be waited for the next slot."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead

    def move_to(self, moment: datetime) -> None:
        """Given a moment, make it now."""
        self.ahead += moment - self.now()


class PatientClock(MovedClock):
    """Its monotonic time is moved as well."""

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead.total_seconds()


def next_hour(now: datetime) -> datetime:
    """Given a moment, return the next full hour."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


async def make_source(client: Client, namespace: str, name: str = CLAIM) -> None:
    """Given a namespace and a name, make a bound claim of a CSI driver."""
    reference = {"namespace": namespace, "name": name}
    volume = {
        "metadata": {"name": f"pv-{namespace}-{name}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": reference,
            "csi": {"driver": DRIVER, "volumeHandle": f"{namespace}-{name}"},
        },
    }
    claim = {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": f"pv-{namespace}-{name}",
        },
    }
    await client.create(PERSISTENT_VOLUME, volume)
    await client.create(PERSISTENT_VOLUME_CLAIM, claim)


async def make_snapshot_class(client: Client) -> None:
    """Make the default class of the driver, once for a server."""
    if await client.find(VOLUME_SNAPSHOT_CLASS, "many") is None:
        await make_class(client, "many", is_default=True)


async def make_class(client: Client, name: str, *, is_default: bool = False) -> None:
    """Given a name, make a class of the driver."""
    note = {"snapshot.storage.kubernetes.io/is-default-class": str(is_default).lower()}
    body = {
        "metadata": {"name": name, "annotations": note},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    }
    await client.create(VOLUME_SNAPSHOT_CLASS, body)


def policy_body(namespace: str, name: str, claim: str = CLAIM, **schedule: Any) -> Obj:
    """Given an address, a claim and fields of the schedule, return an hourly policy."""
    spec = {"schedule": {"cron": HOURLY, **schedule}, "source": {"claims": {"names": [claim]}}}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


async def make_policies(client: Client, bodies: Sequence[Obj]) -> list[Obj]:
    """Given policies, create them a few at a time."""
    return await a_few_at_a_time(client.create(BACKUP_POLICY, body) for body in bodies)


async def a_few_at_a_time(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Given calls, return what they return."""
    few = asyncio.Semaphore(WRITERS)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with few:
            return await call

    return await asyncio.gather(*map(one, calls))


def addresses(policies: Sequence[Obj]) -> list[tuple[str, str]]:
    """Given policies, return (namespace, name) of each."""
    return [(objects.namespace(p), objects.name(p)) for p in policies]
