"""RestoreRequests of repositories, with the operator as in main, the real agent and restic."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.cheap_restic import cheap_repository
from tests.support.node import restic_folder
from tests.support.repositories import NAME, PASSWORD, Repositories
from tests.support.schedules import DRIVER

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.repository.points import STORED
from backstay.domain.stores.repository.record import encode
from backstay.kube.resources import (
    PERSISTENT_VOLUME_CLAIM,
    RESTORE_REQUEST,
    STORAGE_CLASS,
)
from backstay.reconcile import keys

CLASS = "fast"


class Restores:
    """A repository in a claim, what other tools and earlier runs have stored in it, and requests to
    restore that.
    """

    def __init__(self, repositories: Repositories) -> None:
        self.repositories = repositories
        self.world = repositories.world
        self.namespace = repositories.namespace
        self.source = self.world.root / "stored"

    async def begin(self) -> None:
        """Make something to store, and the repository by hand, as another tool did."""
        await self.world.claim("disk")
        await self.ensure_class(CLASS)
        (self.source / "sub").mkdir(parents=True)
        (self.source / "a").write_text("one")
        (self.source / "sub/b").write_text("two")
        _, files = cheap_repository(restic_folder() / "restic", PASSWORD)
        for path, content in files.items():
            file = self.repositories.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    async def attach(self, **spec: Any) -> None:
        """Make the Secret and the BackupRepository, which may only be read; nothing else."""
        await self.repositories.secret(RESTIC_PASSWORD=PASSWORD)
        await self.repositories.make(
            **{"claim": {"name": "disk"}, "access": "ReadOnly", "initialise": "Never", **spec}
        )

    async def ensure_class(self, name: str) -> None:
        if await self.world.client.find(STORAGE_CLASS, name) is None:
            # Classes are of all tests of a server: one of this name has the same driver everywhere.
            body = {"metadata": {"name": name}, "provisioner": DRIVER}
            await self.world.client.create(STORAGE_CLASS, body)

    def restic(self, *words: str, cwd: Path | None = None) -> str:
        """Run restic by hand on the repository; return its output."""
        done = subprocess.run(
            [str(restic_folder() / "restic"), *words],
            env={
                "RESTIC_REPOSITORY": str(self.repositories.folder),
                "RESTIC_PASSWORD": PASSWORD,
                "RESTIC_CACHE_DIR": str(self.world.root / "own-cache"),
                "PATH": os.environ["PATH"],
            },
            cwd=cwd or self.source,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def store(self, *words: str, path: str = ".") -> str:
        """Store the source; return the snapshot's ID."""
        said = self.restic("backup", "--json", *words, path).splitlines()[-1]
        return str(json.loads(said)["snapshot_id"])

    def point(
        self, run: str = "r1", claim: str = "data", recorded: Obj | None = None, **record: Any
    ) -> str:
        """Store the source as a point of a claim, with its record; return the data's ID."""
        of_run = ["--tag", f"run={run}", "--tag", "attempt=1"]
        data = self.store("--host", self.host(claim), "--tag", "backstay", *of_run)
        self.record(data, run, claim=recorded or self.recorded_claim(claim), **record)
        return data

    def record(self, of: str, run: str, text: str = "", **record: Any) -> str:
        """Store a record of data; return its ID. `data` and `tree` are what it says that it is of,
        if that is not the truth.
        """
        found = next(s for s in self.snapshots() if s["id"] == of)
        summary = found["summary"]
        stored = {
            "files": summary["total_files_processed"],
            "bytes": summary["total_bytes_processed"],
            "added": 1,
            "unreadable": 0,
            "vanished": 0,
            "examples": [],
        }
        whole = {"namespace": self.namespace, "backup": run, "dumps": [], STORED: stored} | record
        of_data: dict[str, Any] = {"data": of, "tree": found["tree"], "run": run, "attempt": 1}
        of_data |= {key: record.pop(key) for key in ("data", "tree") if key in record}
        tags = [f"{k}={v}" for k, v in of_data.items()]
        tags += ["backstay-point", f"record={text or encode(whole)}"]
        words = [word for tag in tags for word in ("--tag", tag)]
        (self.world.root / "record.json").write_text("{}")
        said = self.restic(
            "backup", "--json", "--host", "backstay", *words, str(self.world.root / "record.json")
        )
        return str(json.loads(said.splitlines()[-1])["snapshot_id"])

    def host(self, claim: str = "data") -> str:
        """What the points of a claim are stored as."""
        return f"{self.namespace}/{claim}"

    def recorded_claim(self, name: str) -> Obj:
        """A claim as a record has it."""
        return {
            "name": name,
            "uid": f"uid-of-{name}",
            "size": "1Gi",
            "class": CLASS,
            "modes": ["ReadWriteOnce"],
        }

    def tree(self) -> set[str]:
        """The files of the repository."""
        top = self.repositories.folder
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}

    def snapshots(self) -> list[Obj]:
        found: list[Obj] = json.loads(self.restic("snapshots", "--json", "--no-lock"))
        return found

    async def restore(
        self, *claims: Obj, name: str = "back", more: Obj | None = None, **wanted: Any
    ) -> Obj:
        """Ask for a restore of claims from the repository, and let it end; return its status."""
        await self.ask(*claims, name=name, more=more, **wanted)
        await self.settle(name)
        return await self.status(name)

    async def ask(
        self, *claims: Obj, name: str = "back", more: Obj | None = None, **wanted: Any
    ) -> None:
        spec = {
            "from": {"repository": {"name": NAME, **wanted}},
            "claims": list(claims) or [into("data", "data-back")],
            **(more or {}),
        }
        await self.world.create(RESTORE_REQUEST, name, spec)

    async def ask_of(self, backup: str, store: str, *claims: Obj, name: str = "back") -> None:
        """Ask for a restore of a Backup's points in a store."""
        spec = {"from": {"backup": backup, "store": store}, "claims": list(claims)}
        await self.world.create(RESTORE_REQUEST, name, spec)

    async def settle(self, *names: str) -> None:
        await self.world.settle(*(keys.restore(self.namespace, name) for name in names))

    async def look(self, name: str = "back") -> None:
        """Let the operator look once at a request, and the node do what there is."""
        await self.world.look(keys.restore(self.namespace, name))
        await self.world.node.run()

    async def status(self, name: str = "back") -> Obj:
        request = await self.world.get(RESTORE_REQUEST, name)
        found: Obj = request["status"]
        return found

    async def status_or_none(self, name: str = "back") -> Obj | None:
        """What a request says of itself, if it says anything yet."""
        found: Obj | None = (await self.world.get(RESTORE_REQUEST, name)).get("status")
        return found

    def volume(self, claim: str = "data-back") -> Path:
        """The folder that stands for a claim's volume."""
        return self.world.claims / self.namespace / claim

    def content(self, claim: str = "data-back") -> dict[str, str]:
        """The files in a claim."""
        top = self.volume(claim)
        return {
            str(path.relative_to(top)): path.read_text()
            for path in sorted(top.rglob("*"))
            if path.is_file()
        }

    async def claims(self) -> set[str]:
        """The claims of the namespace."""
        found = await self.world.client.list(PERSISTENT_VOLUME_CLAIM, self.namespace)
        return {objects.name(claim) for claim in found}

    def ran(self, verb: str) -> int:
        """How many Jobs of a command were run."""
        return self.repositories.ran.count(verb)


def into(claim: str, new: str, **more: Any) -> Obj:
    """An entry of spec.claims: into a new claim."""
    paths = {"paths": more.pop("paths")} if "paths" in more else {}
    return {"claim": claim, "to": {"newClaim": {"name": new, **more}}, **paths}


def over(claim: str, existing: str, **more: Any) -> Obj:
    """An entry of spec.claims: over a claim that exists."""
    paths = {"paths": more.pop("paths")} if "paths" in more else {}
    return {"claim": claim, "to": {"existingClaim": {"name": existing, **more}}, **paths}


def reason(status: Obj) -> str:
    """Given a request's status, return the reason of its condition."""
    conditions = dig(status, "conditions", default=[])
    return next((str(c["reason"]) for c in conditions if c["type"] == "Ready"), "")
