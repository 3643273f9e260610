"""BackupRepositories on a real API server, with the operator as in main and the real agent."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.node import restic_folder
from tests.support.rolling_world import WITHIN, World

from backstay.domain import labels, objects
from backstay.domain.errors import Conflict, Transient
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.repository.work import POLL
from backstay.kube.resources import BACKUP_REPOSITORY, EVENT, JOB, PERSISTENT_VOLUME_CLAIM, SECRET
from backstay.reconcile import keys

PASSWORD = "correct-horse-battery"  # noqa: S105 - of repositories that are gone after the test
WRONG = "not-the-right-one"
NAME = "offsite"
CACHE = {"storageClassName": "fast", "size": "64Mi", "accessModes": ["ReadWriteMany"]}


class Repositories:
    """BackupRepositories of one namespace, each looked at only when the test says so."""

    def __init__(self, world: World, namespace: str = "") -> None:
        self.world = world
        self.namespace = namespace or world.namespace
        # Others run on the same server.
        self.world.node.namespaces = frozenset({world.namespace, self.namespace})
        self.key = keys.repository(self.namespace, NAME)

    @property
    def folder(self) -> Path:
        """What is in the claim `disk`."""
        return self.world.claims / self.namespace / "disk"

    async def secret(self, name: str = "restic", **values: str) -> None:
        """Make a Secret, or have it have other values."""
        data = {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}
        old = await self.world.client.find(SECRET, name, self.namespace)
        metadata: Obj = {"name": name, "namespace": self.namespace}
        if old is None:
            await self.world.client.create(SECRET, {"metadata": metadata, "data": data})
            return
        metadata["resourceVersion"] = objects.version(old)
        gone = dict.fromkeys(dig(old, "data", default={}))
        body = {"metadata": metadata, "data": {**gone, **data}}
        await self.world.client.patch(SECRET, name, self.namespace, body)

    async def in_a_claim(self, **spec: Any) -> Obj:
        """Make a repository in a claim, with all that it needs, and let it be opened."""
        return await self.make(**await self._claimed(spec))

    async def make(self, **spec: Any) -> Obj:
        """Make a BackupRepository and let it be looked at until it rests; return it."""
        await self._create(spec)
        return await self.settle()

    async def _claimed(self, spec: Obj) -> Obj:
        """The spec of a repository in the claim `disk`, which is there with its Secret."""
        self.folder.mkdir(parents=True)
        await self.secret(RESTIC_PASSWORD=PASSWORD)
        return {"claim": {"name": "disk"}, **spec}

    async def _create(self, spec: Obj) -> None:
        metadata = {"name": NAME, "namespace": self.namespace}
        body = {"metadata": metadata, "spec": {"secretRef": {"name": "restic"}, **spec}}
        await self.world.client.create(BACKUP_REPOSITORY, body)

    async def delete(self) -> None:
        """Delete the BackupRepository as kubectl does."""
        uid = objects.uid(await self.get())
        await self.world.client.delete(BACKUP_REPOSITORY, NAME, self.namespace, uid=uid)

    async def change(self, **spec: Any) -> Obj:
        """Change fields of the spec (None takes one away), and let it be looked at."""
        obj = await self.get()
        metadata = {"resourceVersion": objects.version(obj)}
        await self.world.client.patch(
            BACKUP_REPOSITORY, NAME, self.namespace, {"metadata": metadata, "spec": spec}
        )
        return await self.settle()

    async def settle(self) -> Obj:
        """Let operator and node work until there is nothing to do; return the repository."""
        limit = time.monotonic() + WITHIN
        while time.monotonic() < limit:
            try:
                after = await self.world.look(self.key)
            except (Conflict, Transient):
                continue
            ran = await self.world.node.run()
            obj = await self.get()
            if not ran and dig(obj, "status", "job") is None and (after or POLL) > POLL:
                return obj
        raise AssertionError((await self.get()).get("status"))

    async def begin(self, **spec: Any) -> Obj:
        """Make a repository in a claim, and let the operator make its Job, which does not run yet;
        return the Job.
        """
        await self._create(await self._claimed(spec))
        await self.look()
        (job,) = await self.jobs()
        return job

    async def look(self) -> Obj:
        """Let the operator look once; return the repository."""
        await self.world.look(self.key)
        return await self.get()

    async def again(self) -> Obj:
        """Let hours pass, so that it is looked at again; return the repository."""
        await self.age()
        return await self.settle()

    async def age(self) -> None:
        """Let hours pass since it was last opened."""
        obj = await self.get()
        body = {
            "metadata": {"resourceVersion": objects.version(obj)},
            "status": {"triedAt": "2026-01-01T00:00:00Z"},
        }
        await self.world.client.patch(
            BACKUP_REPOSITORY, NAME, self.namespace, body, subresource="status"
        )

    async def get(self) -> Obj:
        return await self.world.client.get(BACKUP_REPOSITORY, NAME, self.namespace)

    async def jobs(self) -> list[Obj]:
        return await self.world.client.list(JOB, self.namespace)

    def restic(self, *words: str) -> str:
        """Run restic by hand on what is in the claim; insist that it works, return its output."""
        own = {"RESTIC_REPOSITORY": str(self.folder), "RESTIC_PASSWORD": PASSWORD}
        cache = {"RESTIC_CACHE_DIR": str(self.world.root / "own-cache")}
        argv = [str(restic_folder() / "restic"), *words]
        done = subprocess.run(
            argv, env={**os.environ, **own, **cache}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def back_up(self) -> None:
        """Add a snapshot as somebody else would."""
        self.restic("backup", "--quiet", str(self.world.source))

    @property
    def ran(self) -> list[str]:
        """The commands of the agent that were run in this namespace, in order."""
        jobs = [j for j in self.world.node.ran if objects.namespace(j) == self.namespace]
        containers = [dig(job, "spec", "template", "spec", "containers")[0] for job in jobs]
        return [container["command"][-1] for container in containers]

    @property
    def opened(self) -> int:
        """How often one was opened here, or tried to be."""
        return self.ran.count("repository-open")


def ready(obj: Obj) -> tuple[str, str, str]:
    """Given a repository, return status, reason and message of its condition Ready."""
    conditions = dig(obj, "status", "conditions", default=[])
    found: Obj = next((c for c in conditions if c["type"] == "Ready"), {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def contents(folder: Path) -> dict[str, bytes]:
    """Given a directory, return its files by their path below it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


async def events(repositories: Repositories) -> dict[str, str]:
    """Return the Events about a repository: messages by reason, of each reason one."""
    found = await repositories.world.client.list(EVENT, repositories.namespace)
    mine = [e for e in found if dig(e, "involvedObject", "name") == NAME]
    messages = {e["reason"]: e["message"] for e in mine}
    assert len(messages) == len(mine)
    return messages


async def caches(repositories: Repositories) -> list[Obj]:
    """Return the claims that are caches of repositories."""
    found = await repositories.world.client.list(PERSISTENT_VOLUME_CLAIM, repositories.namespace)
    return [claim for claim in found if labels.REPOSITORY in objects.labels(claim)]
