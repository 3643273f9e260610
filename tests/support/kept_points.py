"""Points in a repository that are kept by rules, as days go by: the real agent and restic."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hack.cluster.kit import s3
from tests.support.clock import VirtualClock
from tests.support.killing import Killed, killing
from tests.support.node import NodeClient
from tests.support.repositories import NAME, PASSWORD
from tests.support.rolling_world import WITHIN, World
from tests.support.uploads import POLICY, Uploads

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP, BACKUP_POLICY, BACKUP_REPOSITORY
from backstay.reconcile import keys


class KeptPoints(Uploads):
    """Uploads of the live volume, with a clock of their own and nothing beside the repository."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.clock = VirtualClock(SystemClock().now())
        world.restart(self.clock)

    @property
    def namespace(self) -> str:
        return self.world.namespace

    async def begin(self, **spec: Any) -> None:
        """Make claim, repository and policy, which keeps the last one; let them come to rest."""
        await super().begin(**_of_policy(spec))
        await self.rest()

    async def in_s3(
        self, access: s3.Access, place: str, user: str = s3.WRITER, **spec: Any
    ) -> None:
        """Make claim and repository, the latter in a bucket, with the Secret of a user."""
        await self.world.storage.classes()
        data = await self.world.storage.claim(self.namespace, "data")
        (data / "a").write_text("one")
        await self.repositories.secret("tls", **{"ca.crt": _text(access.ca)})
        await self.keys_of(access, place, user)
        whole = {"secretRef": {"name": "offsite"}, "customCA": {"secretName": "tls"}, **spec}
        await self.repositories.make(**whole)
        await self.rest()

    async def keys_of(
        self, access: s3.Access, place: str, user: str, name: str = "offsite"
    ) -> None:
        """Have a Secret with the keys of a user."""
        await self.repositories.secret(
            name,
            RESTIC_REPOSITORY=place,
            RESTIC_PASSWORD=PASSWORD,
            AWS_ACCESS_KEY_ID=access.keys[user].id,
            AWS_SECRET_ACCESS_KEY=access.keys[user].secret,
        )

    async def policy_of_repository(self, **spec: Any) -> None:
        """Make the policy alone, and let it come to rest."""
        await self.policy(**_of_policy(spec))
        await self.rest()

    async def taken(self, name: str, policy: str = POLICY) -> Obj:
        """Take a point, as the slot of the schedule that it is now; return its Backup."""
        spec = {
            "policy": policy,
            "trigger": "Scheduled",
            "scheduledFor": format_time(self.clock.now()),
        }
        await self.world.create(BACKUP, name, spec)
        await self.world.settle(keys.backup(self.namespace, name))
        return await self.world.get(BACKUP, name)

    async def rest(self, *, policy: str = POLICY) -> None:
        """Let retention and maintenance work until neither has anything to do."""
        limit = time.monotonic() + WITHIN
        while time.monotonic() < limit:
            self.world.add(keys.retention(self.namespace, policy))
            await self.world.step()
            after = await self.world.look(self.repositories.key)
            ran = await self.world.node.run()
            moved = await self.world.storage.step(self.namespace)
            busy = self.world.due - {keys.retention(self.namespace, policy)}
            idle = after is not None and after >= timedelta(minutes=1)
            if not ran and not moved and idle and not _of(busy, self.namespace):
                return
        raise AssertionError((await self.repositories.get()).get("status"))

    async def days(self, number: float) -> None:
        """Let days pass, with a look at all on each."""
        while number > 0:
            await self.clock.advance(timedelta(days=min(number, 1)).total_seconds())
            number -= 1
            await self.rest()

    async def backups(self) -> list[str]:
        return sorted(objects.name(b) for b in await self.world.client.list(BACKUP, self.namespace))

    async def backup(self, name: str) -> Obj:
        return await self.world.get(BACKUP, name)

    async def every(self) -> list[Obj]:
        """All snapshots of the repository, as restic lists them."""
        found: list[Obj] = json.loads(await self.restic("snapshots", "--json"))
        return found

    async def ids(self) -> set[str]:
        """All snapshots of the repository, by their ids in full."""
        return {str(one["id"]) for one in await self.every()}

    async def annotate_repository(self, **words: str) -> None:
        """Ask for something once, by check, prune, list or rebuild, and let it be done."""
        await self.annotate_only(**words)
        await self.rest()

    async def annotate_only(self, **words: str) -> None:
        """Ask for something once, and look at nothing."""
        obj = await self.repositories.get()
        notes = {f"backstay.dev/{key}": word for key, word in words.items()}
        metadata = {"resourceVersion": objects.version(obj), "annotations": notes}
        await self.world.client.patch(
            BACKUP_REPOSITORY, NAME, self.namespace, {"metadata": metadata}
        )

    async def label(self, name: str, **words: str | None) -> None:
        """Label a Backup, as kubectl does."""
        obj = await self.backup(name)
        carried = {f"backstay.dev/{k.replace('_', '-')}": v for k, v in words.items()}
        metadata = {"resourceVersion": objects.version(obj), "labels": carried}
        await self.world.client.patch(BACKUP, name, self.namespace, {"metadata": metadata})

    async def annotate_policy(self, key: str, value: str, policy: str = POLICY) -> None:
        obj = await self.world.get(BACKUP_POLICY, policy)
        notes = {f"backstay.dev/{key}": value}
        metadata = {"resourceVersion": objects.version(obj), "annotations": notes}
        await self.world.client.patch(BACKUP_POLICY, policy, self.namespace, {"metadata": metadata})
        await self.rest()

    async def says(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition of the repository."""
        return _said(await self.repositories.get(), kind)

    async def policy_says(self, kind: str, policy: str = POLICY) -> tuple[str, str, str]:
        """Status, reason and message of a condition of the policy."""
        return _said(await self.world.get(BACKUP_POLICY, policy), kind)

    def now(self) -> datetime:
        return self.clock.now()


async def lose(kept: KeptPoints) -> None:
    """Lose everything of ours but Secrets and what is stored."""
    client, namespace = kept.world.client, kept.namespace
    for resource in (BACKUP_POLICY, BACKUP, BACKUP_REPOSITORY):
        for obj in await client.list(resource, namespace):
            uid = objects.uid(obj)
            await client.delete(resource, objects.name(obj), namespace, uid=uid)


def _text(path: str) -> str:
    return Path(path).read_text()


def _of_policy(spec: dict[str, Any]) -> dict[str, Any]:
    repository = spec.pop("repository", {})
    return {
        "snapshot": None,
        "repository": {"name": NAME, "copyMethod": "Direct", **repository},
        "retention": {"last": 1},
        **spec,
    }


def _of(due: frozenset[Any], namespace: str) -> bool:
    return any(key.namespace == namespace for key in due)


def _said(obj: Obj, kind: str) -> tuple[str, str, str]:
    conditions = dig(obj, "status", "conditions", default=[])
    found: Obj = next((c for c in conditions if c["type"] == kind), {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


async def in_short_lives(kept: KeptPoints, credentials: Login) -> int:
    """Let retention and maintenance work to their end in processes that die before their second
    write, their third and so on, whatever that is; return how many died.
    """
    died = 0
    while True:
        async with NodeClient(credentials, SystemClock(), fence=killing(1 + died)) as mortal:
            mortal.logs = kept.world.client.logs
            kept.world.restart(kept.clock, mortal)
            try:
                await kept.rest()
                return died
            except Killed:
                died += 1
            finally:
                # What was enqueued died with it; the resync of the next one finds it.
                kept.world.restart(kept.clock)
