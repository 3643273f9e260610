"""The part of the commands about rolling copies that asks a cluster."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from backstay.cli.online import with_client
from backstay.cli.options import Target
from backstay.domain import naming
from backstay.domain.errors import DataError, NotFound, Transient
from backstay.domain.jobs import Mount
from backstay.domain.objects import dig
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.locations import DESTINATION
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import DEPLOYMENT
from backstay.steps.agent_jobs import OURS, AgentImage, AgentJobs, Work

_OPERATOR: Final = "app.kubernetes.io/name=backstay"
_PATIENCE: Final = timedelta(minutes=3)
_POLL_SECONDS: Final = 1.0


def init_destination(
    target: Target, node: str, path: str, *, marker: str | None, image: str | None
) -> str:
    """Given a cluster, a directory of a node and optionally the id of its marker, make it a
    destination; return what the agent says.

    Raise DataError if it refuses, Transient if its Pod does not come to an end.
    """

    async def ask(client: Client, namespace: str) -> str:
        found = AgentImage(image, "IfNotPresent") if image else await _image(client, namespace)
        jobs = AgentJobs(client, found)
        mount = Mount("destination", DESTINATION, host_path=path)
        work = Work(
            name=naming.agent_job_name("init", "destination", node, path, str(marker)),
            namespace=namespace,
            token=path,
            node=node,
            steps=[agent_tasks.init(DESTINATION, marker)],
            mounts=[mount],
            deadline=_PATIENCE,
            labels=OURS,
        )
        await jobs.delete(namespace, work.name)
        try:
            return await _outcome(jobs, work)
        finally:
            await jobs.delete(namespace, work.name)

    return asyncio.run(with_client(target, ask))


async def _outcome(jobs: AgentJobs, work: Work) -> str:
    clock = SystemClock()
    end = clock.monotonic() + _PATIENCE.total_seconds()
    why = "no Pod was made for it"
    while clock.monotonic() < end:
        await jobs.start(work)
        seen = await jobs.look(work.namespace, work.name, work.token)
        if seen.finished:
            result = await jobs.result(work.namespace, seen)
            if result is None or not result.ok:
                raise DataError(result.message if result else seen.message)
            return result.message
        why = seen.message or why
        await clock.sleep(_POLL_SECONDS)
    raise Transient(f"Job {work.namespace}/{work.name} did not end within {_PATIENCE}: {why}")


async def _image(client: Client, namespace: str) -> AgentImage:
    """The image that the operator of this namespace gives its agents."""
    for deployment in await client.list(DEPLOYMENT, namespace, labels=_OPERATOR):
        for container in dig(deployment, "spec", "template", "spec", "containers", default=[]):
            env = {e.get("name"): e.get("value") for e in container.get("env", [])}
            if image := env.get("BACKSTAY_AGENT_IMAGE"):
                return AgentImage(image, env.get("BACKSTAY_AGENT_PULL_POLICY") or "IfNotPresent")
    raise NotFound(
        f"there is no operator in namespace {namespace}: say where it is with -n, or which image "
        "to use with --image"
    )
