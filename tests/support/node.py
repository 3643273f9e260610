"""A node that runs the agent's Jobs as a kubelet and the Job controller would: the real agent, on
real directories, with its Pods and its results on the API server.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hack.cluster.kit import layout, tools
from tests.support.mounting import Mounts, moved

from backstay.domain import objects
from backstay.domain.errors import NotFound
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import JOB, POD

TASK = "BACKSTAY_TASK"
"""The variable that only Jobs of Backstay have."""


class Node:
    """Runs every Job that is pinned to it, or to none. Claims are folders below `claims`; what a
    Secret, a ConfigMap or an emptyDir is becomes a folder beside them.
    """

    def __init__(self, client: NodeClient, name: str, claims: Path) -> None:
        self.name = name
        self.namespaces: frozenset[str] | None = None
        """Where it runs Jobs; None: everywhere."""
        self.ran: list[Obj] = []
        """Jobs that were run here."""
        self.leaves = "\n"
        """Jobs that have this in their name are at work for long: they are not run yet."""
        self.at_once = False
        """Whether it runs all that is there at the same time."""
        self.clock = ""
        """What its clock says, in faketime's words; "" is the time."""
        self._client = client
        self._mounts = Mounts(client, claims, claims.parent / f"mounted-{name}")

    async def run(self) -> int:
        """Run what is there and not finished; return how many Jobs that were."""
        mine = [j for j in await self._client.list(JOB) if self._is_mine(j)]
        jobs = [j for j in mine if await self._mounts.can(j)]
        if self.at_once:
            await asyncio.gather(*map(self._run, jobs))
            return len(jobs)
        for job in jobs:
            await self._run(job)
        return len(jobs)

    async def kill(self, job: Obj) -> None:
        """Have a Job end without a word, as one whose agent is killed at each try."""
        await self._finish(job, "Failed")

    def _is_mine(self, job: Obj) -> bool:
        if dig(job, "status", "conditions") or dig(job, "metadata", "deletionTimestamp"):
            return False
        if self.leaves in objects.name(job):
            return False
        if self.namespaces is not None and objects.namespace(job) not in self.namespaces:
            return False
        spec = dig(job, "spec", "template", "spec")
        # Tests of one API server see each other's Jobs, also those that stand in for foreign ones.
        if not any(e["name"] == TASK for c in spec["containers"] for e in c.get("env", [])):
            return False
        affinity = spec.get("affinity", {})
        return not affinity or self.name in json.dumps(affinity)

    async def _run(self, job: Obj) -> None:
        self.ran.append(job)
        number = len(self.ran)
        spec = dig(job, "spec", "template", "spec")
        lines: list[str] = []
        code = 0
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            lines, code = await self._run_container(job, container, number)
            if code != 0:
                break
        pod = f"{objects.name(job)}-{number}"
        self._client.logs[objects.namespace(job), pod] = "\n".join(lines)
        await self._pod(job, pod, lines[-1] if lines else "", code)
        await self._finish(job, "Complete" if code == 0 else "Failed")

    async def _run_container(self, job: Obj, container: Obj, number: int) -> tuple[list[str], int]:
        places = await self._mounts.of(job, container, number)
        env = {e["name"]: e["value"] for e in container["env"] if "value" in e}
        task = moved(json.loads(env[TASK]), places)
        path = [os.environ["PATH"]]
        if "repository" in task:
            path.insert(0, str(restic_folder()))
        process = await asyncio.create_subprocess_exec(
            *(["faketime", self.clock] if self.clock else []),
            sys.executable,
            *container["command"][1:],
            env={
                **os.environ,
                TASK: json.dumps(task),
                "NODE_NAME": self.name,
                "PATH": os.pathsep.join(path),
                "PYTHONPATH": "operator/src",
            },
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return out.decode().splitlines(), process.returncode

    async def _pod(self, job: Obj, name: str, message: str, code: int) -> None:
        ended = {"exitCode": code, "message": message[:4096]}
        carried = {"batch.kubernetes.io/controller-uid": objects.uid(job)}
        pod = await self._client.create(
            POD,
            {
                "metadata": {
                    "name": name,
                    "namespace": objects.namespace(job),
                    "labels": carried,
                },
                "spec": {"containers": [{"name": "agent", "image": "none"}], "nodeName": self.name},
            },
        )
        status = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [
                {
                    "name": "agent",
                    "image": "none",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"terminated": ended},
                }
            ],
        }
        await self._status(POD, pod, status)

    async def _finish(self, job: Obj, kind: str) -> None:
        now = "2026-11-24T00:00:00Z"
        conditions = [
            {"type": t, "status": "True", "reason": "Test", "lastTransitionTime": now}
            for t in ({"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind], kind)
        ]
        status: Obj = {"conditions": conditions, "startTime": now}
        if kind == "Complete":
            status |= {"completionTime": now, "succeeded": 1}
        await self._status(JOB, job, status)

    async def _status(self, resource: Any, obj: Obj, status: Obj) -> None:
        await self._client.patch(
            resource,
            objects.name(obj),
            objects.namespace(obj),
            {"metadata": {"resourceVersion": objects.version(obj)}, "status": status},
            subresource="status",
        )


class NodeClient(Client):
    """A client of an API server without kubelets: logs are those that nodes of a test wrote."""

    logs: dict[tuple[str, str], str]
    late = timedelta(0)
    """So much later it is than the server says: how old things are need not be waited for."""

    @property
    def server_date(self) -> datetime | None:
        now = super().server_date
        return now + self.late if now is not None else None

    async def pod_log(
        self, name: str, namespace: str, container: str, *, tail: int | None = None
    ) -> str:
        try:
            lines = self.logs[namespace, name].splitlines()
            return "\n".join(lines if tail is None else lines[-tail:])
        except KeyError:
            raise NotFound(f"Pod {namespace}/{name} has no log of {container}") from None


def restic_folder() -> Path:
    """Return the directory of the restic that the image has; it is built if it is not there."""
    return tools.ensure(layout.cache_from(os.environ), ["restic"])["restic"].parent
