"""The Jobs of restores from rolling copies: the agent fills a target, and removes what a killed one
left there.

Invariant: a Job's name is a function of its request and of where it writes, so making it again is
finding it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from backstay.api.restore_status import RestoreTarget
from backstay.domain import labels, naming
from backstay.domain.clock import Clock
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.acknowledgement import AGENT
from backstay.domain.restore.places import place_of
from backstay.domain.restore.sights import Fill
from backstay.domain.restore.wishes import Part
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.dates import Expected
from backstay.domain.stores.copies.locations import Opened
from backstay.domain.stores.copies.restore import fill_of
from backstay.steps.agent_jobs import AgentJobs, Work
from backstay.stores.copies.restore_plan import Plan
from backstay.stores.copies.take import Copying, job_labels

DEADLINE: Final = timedelta(hours=24)
STARTS_WITHIN: Final = timedelta(minutes=10)
"""How late the clock of its node may be believed."""
DISCARD_WITHIN: Final = timedelta(hours=1)


class CopyRestoreJobs:
    """Makes, reads and ends the Jobs that fill targets from copies."""

    def __init__(self, clock: Clock, jobs: AgentJobs, copying: Copying) -> None:
        self._clock = clock
        self._jobs = jobs
        self._copying = copying

    async def look(self, part: Part) -> Fill:
        """Given an item, return how far its Job is."""
        namespace = self._jobs_in(part)
        job = await self._jobs.look(namespace, _job_name(part), part.request.uid)
        result, rest = None, JobSeen()
        # What somebody else's Job says is nobody's result, even where its words look like one.
        if job.finished and job.ours:
            result = await self._jobs.result(namespace, job)
        if job.failed and result is None:
            name = _job_name(part, "discard")
            rest = await self._jobs.look(namespace, name, part.request.uid)
        return fill_of(job, result, rest)

    async def start(self, part: Part, plan: Plan, target: Opened) -> None:
        """Given an item, its copy and its target, make its Job."""
        request, days = part.request, part.wish.keep_days
        step = agent_tasks.restore(
            plan.site,
            part.item.ref,
            target,
            part.wish.paths,
            safety=self._safety(part, plan, days) if days is not None else None,
            acknowledge=sorted(AGENT & {str(word) for word in request.spec.acknowledge}),
            new_volume=part.item.target is RestoreTarget.NEW_CLAIM and not target.path,
        )
        place = place_of(request.namespace, part.item)
        await self._jobs.start(
            Work(
                name=_job_name(part),
                namespace=self._jobs_in(part),
                token=request.uid,
                node=await node_of(self._copying, plan, part.item.claim),
                steps=[step],
                mounts=[plan.site.destination, target.mount],
                deadline=DEADLINE,
                labels=job_labels(plan.site.series),
                annotations={labels.RESTORES_INTO: json.dumps(asdict(place))} if place else {},
            )
        )

    async def stop(self, part: Part) -> None:
        """Given an item, end its Job if that still works."""
        namespace, name = self._jobs_in(part), _job_name(part)
        job = await self._jobs.look(namespace, name, part.request.uid)
        # One that ended stays for an hour, for people to read its log.
        if job.exists and job.ours and not job.finished:
            await self._jobs.delete(namespace, name)

    async def discard(self, part: Part, plan: Plan, target: Opened) -> None:
        """Given an item, its copy and its target, make the Job that removes what is left of one."""
        await self._jobs.start(
            Work(
                name=_job_name(part, "discard"),
                namespace=self._jobs_in(part),
                token=part.request.uid,
                node=await node_of(self._copying, plan, part.item.claim),
                steps=[agent_tasks.discard(target)],
                mounts=[target.mount],
                deadline=DISCARD_WITHIN,
                labels=job_labels(plan.site.series),
            )
        )

    def _jobs_in(self, part: Part) -> str:
        """Jobs that see directories of nodes run where no tenant can enter them."""
        return self._copying.home if part.item.node is not None else part.request.namespace

    def _safety(self, part: Part, plan: Plan, days: int) -> Mapping[str, Any]:
        """What the copy of what is there now is to carry."""
        request = part.request
        name = f"before-{request.name}"
        now = self._copying.server_time(self._clock.now())
        expected = Expected(now, now + STARTS_WITHIN, now + DEADLINE)
        return {
            "run": naming.run_name(name, request.uid),
            "labels": {
                labels.POLICY: plan.site.series.policy,
                labels.BACKUP: name,
                labels.TYPE: labels.RunType.ADHOC.value,
                labels.RETAIN: labels.Retain.DAYS.value,
                labels.RETAIN_DAYS: str(days),
            },
            "annotations": {labels.RESTORE_REQUEST: request.uid},
            "expected": agent_tasks.expected_json(expected),
        }


async def node_of(copying: Copying, plan: Plan, claim: str | None) -> str | None:
    """Given a copy and the claim that is written to, return the one node for a Job, None if any
    will do. Raise UserError if the claims are in use on different nodes.
    """
    if plan.node is not None:
        return plan.node
    claims = {plan.site.destination.claim or "", claim or ""}
    return await copying.node_of(plan.site.series.namespace, claims)


def _job_name(part: Part, verb: str = "restore") -> str:
    request = part.request
    return naming.agent_job_name(verb, request.name, request.uid, part.item.into)
