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

from backstay.domain import objects
from backstay.domain.errors import NotFound
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import JOB, PERSISTENT_VOLUME_CLAIM, POD

PATHS = (("destination", "path"), ("source", "root"), ("target", "root"))
"""Where tasks name directories of the container."""


class Node:
    """Runs every Job that is pinned to it, or to none. Claims are folders below `claims`."""

    def __init__(self, client: NodeClient, name: str, claims: Path) -> None:
        self.name = name
        self.ran: list[Obj] = []
        """Jobs that were run here."""
        self.leaves = "\n"
        """Jobs that have this in their name are at work for long: they are not run yet."""
        self.clock = ""
        """What its clock says, in faketime's words; "" is the time."""
        self._client = client
        self._claims = claims

    async def run(self) -> int:
        """Run what is there and not finished; return how many Jobs that were."""
        mine = [j for j in await self._client.list(JOB) if self._is_mine(j)]
        jobs = [j for j in mine if await self._can_mount(j)]
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
        spec = dig(job, "spec", "template", "spec")
        affinity = spec.get("affinity", {})
        return not affinity or self.name in json.dumps(affinity)

    async def _can_mount(self, job: Obj) -> bool:
        """Whether the claims that are made of something are bound."""
        for volume in dig(job, "spec", "template", "spec", "volumes"):
            name = dig(volume, "persistentVolumeClaim", "claimName")
            if name is None:
                continue
            claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, objects.namespace(job))
            if dig(claim, "spec", "dataSource") and dig(claim, "status", "phase") != "Bound":
                return False
        return True

    async def _run(self, job: Obj) -> None:
        self.ran.append(job)
        spec = dig(job, "spec", "template", "spec")
        lines: list[str] = []
        code = 0
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            lines, code = await self._run_container(job, container)
            if code != 0:
                break
        pod = f"{objects.name(job)}-{len(self.ran)}"
        self._client.logs[objects.namespace(job), pod] = "\n".join(lines)
        await self._pod(job, pod, lines[-1] if lines else "", code)
        await self._finish(job, "Complete" if code == 0 else "Failed")

    async def _run_container(self, job: Obj, container: Obj) -> tuple[list[str], int]:
        spec = dig(job, "spec", "template", "spec")
        sources = {v["name"]: self._folder(job, v) for v in spec["volumes"]}
        places = {m["mountPath"]: _place(sources, m) for m in container["volumeMounts"]}
        env = {e["name"]: e["value"] for e in container["env"] if "value" in e}
        task: dict[str, Any] = json.loads(env["BACKSTAY_TASK"])
        for part, key in PATHS:
            if part in task:
                task[part][key] = str(places[task[part][key]])
        process = await asyncio.create_subprocess_exec(
            *(["faketime", self.clock] if self.clock else []),
            sys.executable,
            *container["command"][1:],
            env={
                **os.environ,
                "BACKSTAY_TASK": json.dumps(task),
                "NODE_NAME": self.name,
                "PYTHONPATH": "operator/src",
            },
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return out.decode().splitlines(), process.returncode

    def _folder(self, job: Obj, volume: Obj) -> Path | None:
        if "hostPath" in volume:
            return Path(volume["hostPath"]["path"])
        claim = dig(volume, "persistentVolumeClaim", "claimName")
        return self._claims / objects.namespace(job) / claim if claim else None

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

    async def pod_log(self, name: str, namespace: str, container: str) -> str:
        try:
            return self.logs[namespace, name]
        except KeyError:
            raise NotFound(f"Pod {namespace}/{name} has no log of {container}") from None


def _place(sources: dict[str, Path | None], mount: Obj) -> Path | None:
    source, sub_path = sources[mount["name"]], str(mount.get("subPath", ""))
    if source is None or not sub_path:
        return source
    (source / sub_path).mkdir(parents=True, exist_ok=True)
    return source / sub_path
