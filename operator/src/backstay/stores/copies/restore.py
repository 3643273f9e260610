"""Restore directories from rolling copies: find the copy, see that it is held, run the agent.

Invariants: what a request comes to is found out again for every Job (`copy_restore_plans`); in
place no Job is made while a Pod uses the claim, unless a person said so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, Final

from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.api.restore import RestoredDirectory
from backstay.domain import labels, naming, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.acknowledgement import AGENT, Acknowledged, Word
from backstay.domain.restore.directories import Seen, too_late
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.chores import Verb
from backstay.domain.stores.copies.dates import Expected
from backstay.domain.stores.copies.locations import Site, running_users
from backstay.domain.stores.copies.points import Series
from backstay.domain.stores.copies.series import copying
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, POD
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import OURS, AgentJobs, Work
from backstay.steps.conditions import policy_status
from backstay.steps.status import write_status
from backstay.stores.copies.restore_plan import CopyRestorePlans, Plan, Request, wanted_of
from backstay.stores.copies.take import Copying, job_labels

DEADLINE: Final = timedelta(hours=24)
STARTS_WITHIN: Final = timedelta(minutes=10)
"""How late the clock of its node may be believed."""
DISCARD_WITHIN: Final = timedelta(hours=1)


class CopyRestores:
    """Restores of directories. `roots` is what the administrator allows."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        jobs: AgentJobs,
        copying: Copying,
        roots: RollingRoots,
    ) -> None:
        self._client = client
        self._clock = clock
        self._jobs = jobs
        self._copying = copying
        self._plans = CopyRestorePlans(client, copying=copying, roots=roots)

    async def see(self, request: Request) -> Seen:
        """Given a request for a directory, return what the next decision on it rests on."""
        now, begun = self._clock.now(), request.status.directory
        generation = int(dig(request.obj, "metadata", "generation", default=0))
        seen = Seen(now=now, generation=generation, status=request.status)
        if begun is not None:
            seen = await self._see_job(request, seen)
        agents: list[str] = []
        said = Acknowledged(request.spec.acknowledge)
        try:
            late = too_late(request.spec, now, self._client.skew)
            if not seen.job.exists and late is not None:
                raise late
            plan = await self._plans.make(request, said)
            if not seen.job.exists:
                # At each look: a request waits for its point, and meanwhile Pods may start.
                agents = await self._agents_in(request, plan, said)
                await self._insist_on_node(plan)
        except UserError as error:
            # Of a Job that was made already only its end is asked for.
            return replace(seen, refusal=error)
        seen = replace(seen, policy=plan.site.series.policy, passed=said.used)
        if begun is None:
            directory = RestoredDirectory(
                source=plan.entry.source,
                stamp=plan.ref,
                node=plan.node,
                claim=plan.target.mount.claim,
                path=plan.place.path,
                into=plan.into,
                claimed_at=now,
            )
            return replace(seen, directory=directory, backup=request.spec.from_.backup)
        users = plan.point.annotations.get(labels.IN_USE, "").split(",")
        held_at_all = plan.hold_needed and not await self._cannot_be_held(plan)
        seen = replace(
            seen,
            held=request.uid in users,
            hold_needed=held_at_all,
            may_go_unheld=Word.NOT_HELD in said.words,
        )
        if seen.job.exists:
            return seen
        seen = replace(seen, copying=await self._copies_now(plan.site.series))
        if not seen.held and seen.hold_needed:
            seen = replace(seen, hold_trouble=await self._hold_trouble(plan))
        if seen.held or not seen.hold_needed or seen.may_go_unheld:
            trouble, _ = await self._copying.trouble(plan.node)
            if agents and not trouble:
                trouble = f"waits for Pod {', '.join(agents[:3])}, whose Job ends by itself"
            seen = replace(seen, waits=trouble)
        return seen

    async def start(self, request: Request) -> None:
        """Given a request whose point is held, make its Job; in place not while a Job of ours uses
        the claim. Raise UserError if it became wrong.
        """
        said, wanted = Acknowledged(request.spec.acknowledge), wanted_of(request)
        plan = await self._plans.make(request, said)
        if await self._agents_in(request, plan, said):
            return
        days = wanted.in_place.keep_days if wanted.in_place is not None else None
        now = self._copying.server_time(self._clock.now())
        expected = Expected(now, now + STARTS_WITHIN, now + DEADLINE)
        safety = _safety(request, plan.site, days, expected) if days is not None else None
        step = agent_tasks.restore(
            plan.site,
            plan.ref,
            plan.target,
            wanted.paths,
            safety=safety,
            acknowledge=sorted(AGENT & {str(word) for word in request.spec.acknowledge}),
        )
        await self._jobs.start(
            Work(
                name=_job_name(request),
                namespace=plan.site.namespace,
                token=request.uid,
                node=plan.node,
                steps=[step],
                mounts=[plan.site.destination, plan.target.mount],
                deadline=DEADLINE,
                labels=job_labels(plan.site.series),
                annotations={labels.RESTORES_INTO: json.dumps(asdict(plan.place))},
            )
        )

    async def discard(self, request: Request) -> None:
        """Given a request whose Job ended without a word, make the Job that removes what it left.

        Raise UserError if the target is not to be had any more.
        """
        plan = await self._plans.make(request, Acknowledged(request.spec.acknowledge))
        await self._jobs.start(
            Work(
                name=_job_name(request, "discard"),
                namespace=plan.site.namespace,
                token=request.uid,
                node=plan.node,
                steps=[agent_tasks.discard(plan.target)],
                mounts=[plan.target.mount],
                deadline=DISCARD_WITHIN,
                labels=job_labels(plan.site.series),
            )
        )

    async def _insist_on_node(self, plan: Plan) -> None:
        trouble, for_good = await self._copying.trouble(plan.node)
        if for_good:
            raise UserError(
                "NodeNotFound",
                f"{trouble}; if the disk with the copies is on another node now, create a request "
                "with that as spec.directory.node, and CopiesMoved in spec.acknowledge",
            )

    async def _hold_trouble(self, plan: Plan) -> str:
        """What the last look at the destination said, "" if nothing failed."""
        series = plan.site.series
        policy = await self._client.find(BACKUP_POLICY, series.policy, series.namespace)
        if policy is None:
            return ""
        try:
            PolicySpec.model_validate(policy.get("spec") or {})
        except ValueError:
            return f"nothing is changed, as BackupPolicy {series.policy} is not valid"
        looks = {look.source: look for look in policy_status(policy).copies}
        look = looks.get(plan.entry.source)
        return (look.message or "") if look is not None else ""

    async def record_safety(self, request: Request, policy: str) -> None:
        """Given a request that made a copy of what was there, have the copies of its policy listed,
        which gives that point a record. Raise Conflict if the policy changed meanwhile.
        """
        directory = request.status.directory
        obj = await self._client.find(BACKUP_POLICY, policy, request.namespace)
        if obj is None or directory is None:
            return
        status = policy_status(obj)
        copies = tuple(
            changed(look, listed_at=None) if look.source == directory.source else look
            for look in status.copies
        )
        await write_status(self._client, BACKUP_POLICY, obj, changed(status, copies=copies))

    async def _see_job(self, request: Request, seen: Seen) -> Seen:
        for namespace in dict.fromkeys((request.namespace, self._copying.home)):
            job = await self._jobs.look(namespace, _job_name(request), request.uid)
            if not job.exists:
                continue
            seen = replace(seen, job=job)
            if job.finished and job.ours:
                seen = replace(seen, result=await self._jobs.result(namespace, job))
            if job.failed and seen.result is None:
                name = _job_name(request, "discard")
                seen = replace(seen, rest=await self._jobs.look(namespace, name, request.uid))
            return seen
        return seen

    async def _cannot_be_held(self, plan: Plan) -> bool:
        """Whether the copies lie on a disk that takes no change: read-only, or so full that not
        even a label has room. No pass of ours removes a point that a request names, and one that
        somebody removes by hand ends the restore before anything is touched.
        """
        series = plan.site.series
        policy = await self._client.find(BACKUP_POLICY, series.policy, series.namespace)
        looks = policy_status(policy).copies if policy is not None else ()
        return any(
            look.read_only or (look.message or "").startswith(f"{Verb.RELABEL}: ")
            for look in looks
            if look.source == plan.entry.source
        )

    async def _copies_now(self, series: Series) -> str:
        """The Backup that copies the series now, "" if none does."""
        address = series.namespace, series.policy
        return copying(*address, await self._copying.runs(*address)).get(series.key, "")

    async def _agents_in(self, request: Request, plan: Plan, said: Acknowledged) -> list[str]:
        """In place, the Pods of our own Jobs that use the claim. Raise UserError if others do: no
        wait, as nobody expects data to be overwritten whenever those happen to stop.

        Of a node's directory nobody knows who uses it.
        """
        name = plan.target.mount.claim
        if wanted_of(request).in_place is None or name is None:
            return []
        pods = await self._client.list(POD, request.namespace)
        if users := running_users(name, (p for p in pods if not _is_ours(p))):
            in_use = UserError(
                "ClaimInUse",
                f"spec.directory.inPlace: claim {name} is in use by Pod {', '.join(users[:3])}; "
                "stop what uses it, then create the request again",
            )
            said.pass_over(Word.CLAIM_IN_USE, in_use)
        return running_users(name, filter(_is_ours, pods))


def _is_ours(pod: Obj) -> bool:
    return objects.labels(pod).items() >= OURS.items()


def _safety(request: Request, site: Site, days: int, expected: Expected) -> Mapping[str, Any]:
    """What the copy of what is there now is to carry."""
    name = f"before-{objects.name(request.obj)}"
    return {
        "run": naming.run_name(name, request.uid),
        "labels": {
            labels.POLICY: site.series.policy,
            labels.BACKUP: name,
            labels.TYPE: labels.RunType.ADHOC.value,
            labels.RETAIN: labels.Retain.DAYS.value,
            labels.RETAIN_DAYS: str(days),
        },
        "annotations": {labels.RESTORE_REQUEST: request.uid},
        "expected": agent_tasks.expected_json(expected),
    }


def _job_name(request: Request, verb: str = "restore") -> str:
    return naming.agent_job_name(verb, objects.name(request.obj), request.uid)
