"""The Jobs that fill claims from a repository.

Invariant: the name of a Job is a function of its request and of where it writes, so making it again
is finding it. A Pod that was killed, or found the repository out of reach, is followed by another
one, which goes on with what it has left.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Final

from backstay.api.restore import ExistingClaim
from backstay.api.restore_status import RestoreTarget
from backstay.builders.jobs import TRIES
from backstay.domain import labels, naming
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.acknowledgement import AGENT
from backstay.domain.restore.places import place_of
from backstay.domain.restore.sights import Fill
from backstay.domain.restore.wishes import Part
from backstay.domain.stores.copies.locations import Opened
from backstay.domain.stores.copies.restore import fill_of
from backstay.domain.stores.repository import tasks
from backstay.domain.stores.repository.tasks import RestoreWish
from backstay.kube.client import Client
from backstay.steps.agent_jobs import AgentJobs, Work
from backstay.steps.nodes import node_for
from backstay.steps.repositories import Usable

DEADLINE: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=1)
"""What a Job has said is read so long, also by an operator that was down meanwhile."""


class RestoreJobs:
    """Makes, reads and ends the Jobs of restores."""

    def __init__(self, client: Client, jobs: AgentJobs) -> None:
        self._client = client
        self._jobs = jobs

    async def look(self, part: Part) -> Fill:
        """Given an item, return how far its Job is."""
        namespace, name = part.request.namespace, _job_name(part)
        job, result = await self._jobs.look(namespace, name, part.request.uid), None
        # What somebody else's Job says is nobody's result, even where its words look like one.
        if job.finished and job.ours:
            result = await self._jobs.result(namespace, job)
        # What a killed one has left is for a person to look at, and for nobody to remove.
        return replace(fill_of(job, result, JobSeen()), rest=None)

    async def start(self, part: Part, usable: Usable, source: str, target: Opened) -> None:
        """Given an item, its repository, the directory of the snapshot that has the data, and its
        target, make its Job. Raise UserError if its claims are in use on different nodes.
        """
        request = part.request
        place = place_of(request.namespace, part.item)
        kept_in = usable.spec.claim
        claims = {target.mount.claim or "", kept_in.name if kept_in else ""}
        await self._jobs.start(
            Work(
                name=_job_name(part),
                namespace=request.namespace,
                token=request.uid,
                node=await node_for(self._client, request.namespace, claims),
                steps=[tasks.restore(usable.spec, usable.id, _wish(part, source, target))],
                mounts=[replace(target.mount, fresh=_is_new(part))],
                deadline=DEADLINE,
                labels={},
                annotations={labels.RESTORES_INTO: json.dumps(asdict(place))} if place else {},
                tries=TRIES,
                mover=usable.mover,
                kept=KEPT,
            )
        )

    async def stop(self, part: Part) -> None:
        """Given an item, end its Job if that still works."""
        namespace, name = part.request.namespace, _job_name(part)
        job = await self._jobs.look(namespace, name, part.request.uid)
        # One that ended stays for a day, for people to read its log.
        if job.exists and job.ours and not job.finished:
            await self._jobs.delete(namespace, name)


def _wish(part: Part, source: str, target: Opened) -> RestoreWish:
    existing = part.wish.claim.to.existing_claim if part.wish.claim is not None else None
    return RestoreWish(
        snapshot=part.item.ref,
        restore=part.request.uid,
        root=target.mount.at,
        path=target.path,
        source=source,
        include=part.wish.paths,
        delete=_deletes(existing),
        overwrite=not _is_new(part),
        acknowledge=sorted(AGENT & {str(word) for word in part.request.spec.acknowledge}),
    )


def _is_new(part: Part) -> bool:
    return part.item.target is RestoreTarget.NEW_CLAIM


def _deletes(existing: ExistingClaim | None) -> bool:
    return existing is not None and existing.delete_extra


def _job_name(part: Part) -> str:
    request = part.request
    return naming.agent_job_name("restore", request.name, request.uid, part.item.into)
