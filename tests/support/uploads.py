"""Runs of policies with a repository in a claim, in the world of rolling copies: the real agent and
restic; the driver and the node are the test's own.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from tests.support.cheap_restic import cheap_repository, lay_out
from tests.support.node import restic_folder
from tests.support.repositories import NAME, PASSWORD, Repositories
from tests.support.rolling_world import WORKER, World
from tests.support.waiting import within

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.kube.resources import BACKUP, BACKUP_POLICY, POD
from backstay.reconcile import keys

POLICY = "offsite"


class Uploads:
    """A namespace with claim `data`, which has a file, and a repository in claim `disk`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.repositories = Repositories(world)

    @property
    def data(self) -> Path:
        """The volume of the claim `data`."""
        return self.world.claims / self.world.namespace / "data"

    async def begin(self, **spec: Any) -> None:
        """Make claim, repository and policy; let them come to rest."""
        await self.world.storage.classes()
        data = await self.world.storage.claim(self.world.namespace, "data")
        (data / "a").write_text("one")
        await self.repository()
        await self.policy(**spec)

    async def repository(self, *, shared: bool = False, **spec: Any) -> Obj:
        """Make the repository, with all that it needs, and let it be opened; in a claim that Pods
        on several nodes can have, if it is shared.
        """
        await self.world.claim("disk", ["ReadWriteMany" if shared else "ReadWriteOnce"])
        self.folder_with_repository()
        await self.repositories.secret(RESTIC_PASSWORD=PASSWORD)
        return await self.repositories.make(claim={"name": "disk"}, **spec)

    async def repository_of(self, folder: Path) -> Obj:
        """Make a repository that is in a folder already, as another cluster's."""
        await self.world.claim("disk")
        self.repositories.folder.rmdir()
        self.repositories.folder.symlink_to(folder)
        await self.repositories.secret(RESTIC_PASSWORD=PASSWORD)
        return await self.repositories.make(claim={"name": "disk"})

    def folder_with_repository(self) -> None:
        """Put a repository into the claim `disk`, which is empty."""
        _, files = cheap_repository(restic_folder() / "restic", PASSWORD)
        lay_out(files, self.repositories.folder)

    async def policy(self, name: str = POLICY, **spec: Any) -> None:
        """Make a policy of claim `data`, and let it come to rest."""
        found: dict[str, Any] = {
            "source": {"claims": {"names": ["data"]}},
            "snapshot": {},
            "repository": {"name": NAME, "required": True},
            "retries": 0,
            **spec,
        }
        whole = {key: value for key, value in found.items() if value is not None}
        await self.world.create(BACKUP_POLICY, name, whole)
        await self.world.settle(keys.policy(self.world.namespace, name))

    async def ask(self, name: str = "run", policy: str = POLICY, **meta: Any) -> Obj:
        """Ask for a run."""
        backup = await self.world.create(BACKUP, name, {"policy": policy}, **meta)
        self.world.add(keys.backup(self.world.namespace, name))
        return backup

    async def run(self, name: str = "run", policy: str = POLICY, **meta: Any) -> Obj:
        """Run a policy to its end; return the Backup."""
        await self.ask(name, policy, **meta)
        await self.world.settle()
        return await self.world.get(BACKUP, name)

    async def restic(self, *words: str) -> str:
        """What restic itself says about the repository."""
        process = await asyncio.create_subprocess_exec(
            str(restic_folder() / "restic"),
            *words,
            "--no-cache",
            env={
                **os.environ,
                "RESTIC_REPOSITORY": str(self.repositories.folder),
                "RESTIC_PASSWORD": PASSWORD,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, (words, process.returncode)
        return out.decode()

    async def init(self) -> None:
        """Make a repository with restic alone."""
        await self.restic("init")

    async def snapshots(self, tag: str = "backstay") -> list[Any]:
        """The snapshots in the repository that have a tag, oldest first."""
        return list(json.loads(await self.restic("snapshots", f"--tag={tag}", "--json")))

    async def restored(self, snapshot: str, to: Path) -> Path:
        """Restore a snapshot with restic alone; return the folder."""
        await self.restic("restore", snapshot, f"--target={to}")
        return to

    async def until_job(self) -> Obj:
        """Work until the Job of an upload is there, and nobody has run it."""
        async with within(60, "the Job of an upload"):
            while True:
                await self.world.step()
                await self.world.storage.step(self.world.namespace)
                if jobs := [j for j in await self.repositories.jobs() if is_upload(j)]:
                    return jobs[-1]

    async def running(self, job: Obj) -> str:
        """Have a Job be at work; return the name of its Pod."""
        name, namespace = f"{objects.name(job)}-pod", objects.namespace(job)
        labels = {"batch.kubernetes.io/controller-uid": objects.uid(job)}
        spec = {"containers": [{"name": "agent", "image": "none"}], "nodeName": WORKER}
        pod = await self.world.create(POD, name, spec, labels=labels)
        container = {
            "name": "agent",
            "image": "none",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-24T00:00:00Z"}},
        }
        body = {
            "metadata": {"resourceVersion": objects.version(pod)},
            "status": {"phase": "Running", "containerStatuses": [container]},
        }
        await self.world.client.patch(POD, name, namespace, body, subresource="status")
        return name


def uploads_of(world: World) -> list[Obj]:
    """The Jobs of uploads that the node ran, in order."""
    return [job for job in world.node.ran if is_upload(job)]


def is_upload(job: Obj) -> bool:
    return "-upload-" in objects.name(job)


def task_of(job: Obj) -> Obj:
    """The task of a Job's agent."""
    (container,) = dig(job, "spec", "template", "spec", "containers")
    found = next(e["value"] for e in container["env"] if e["name"] == "BACKSTAY_TASK")
    return dict(json.loads(found))


def point(backup: Obj, store: str = "Repository", source: str = "data") -> Obj:
    """The point of a Backup in a store."""
    wanted = (source, store)
    points = backup["status"]["points"]
    return dict(next(p for p in points if (p["source"], p["store"]) == wanted))
