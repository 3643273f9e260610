"""Restore directories from rolling copies: find the copy, see that it is held, run the agent.

Invariants: a request restores only from its own namespace; where it may write is asked of what the
administrator allows now, for every Job; in place no Job is made while a Pod uses the claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeAlias

from backstay.api.backup import BackupSpec, BackupStatus, PointResult, PointStatus
from backstay.api.common import changed
from backstay.api.restore import DirectoryRestore, RestoredDirectory, RestoreSpec, RestoreStatus
from backstay.api.rolling import CopyStatus, PlannedCopy, PlannedRolling
from backstay.domain import labels, naming, objects, rolling_tasks
from backstay.domain.clock import Clock
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.rolling import Series
from backstay.domain.rolling_clock import Expected
from backstay.domain.rolling_restore import Seen, too_late
from backstay.domain.rolling_roots import below, source_root
from backstay.domain.rolling_series import copying
from backstay.domain.rolling_sites import TARGET, Mount, Opened, Site, running_users
from backstay.domain.rolling_upkeep import Verb
from backstay.domain.subject import Subject, parse_subject
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, BACKUP_POLICY, PERSISTENT_VOLUME_CLAIM, POD
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import OURS, AgentJobs, Work
from backstay.steps.copying import Copying, job_labels
from backstay.steps.held import policy_status
from backstay.steps.status import write_status

Request: TypeAlias = Subject[RestoreSpec, RestoreStatus]

DEADLINE: Final = timedelta(hours=24)
STARTS_WITHIN: Final = timedelta(minutes=10)
"""How late the clock of its node may be believed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request comes to, as things stand."""

    entry: PointStatus
    point: CopyStatus
    site: Site
    node: str | None
    target: Opened
    into: str


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
        self._roots = roots

    async def see(self, request: Request) -> Seen:
        """Given a request for a directory, return what the next decision on it rests on."""
        now, begun = self._clock.now(), request.status.directory
        generation = int(dig(request.obj, "metadata", "generation", default=0))
        seen = Seen(now=now, generation=generation, status=request.status)
        if begun is not None:
            seen = await self._see_job(request, seen)
        agents: list[str] = []
        try:
            late = too_late(request.spec, now, self._client.skew)
            if not seen.job.exists and late is not None:
                raise late
            plan = await self._plan(request)
            if not seen.job.exists:
                # At each look: a request waits for its point, and meanwhile Pods may start.
                agents = await self._agents_in(request, plan.target)
        except UserError as error:
            # Of a Job that was made already only its end is asked for.
            return replace(seen, refusal=error)
        if begun is None:
            directory = RestoredDirectory(
                source=plan.entry.claim,
                stamp=plan.point.stamp,
                node=plan.node,
                into=plan.into,
                claimed_at=now,
            )
            return replace(
                seen,
                directory=directory,
                backup=request.spec.from_.backup,
                policy=plan.site.series.policy,
            )
        users = plan.point.annotations.get(labels.IN_USE, "").split(",")
        held = request.uid in users or await self._cannot_be_held(plan)
        seen = replace(seen, held=held, policy=plan.site.series.policy)
        if seen.job.exists:
            return seen
        seen = replace(seen, copying=await self._copies_now(plan.site.series))
        if seen.held:
            trouble, _ = await self._copying.trouble(plan.node)
            if agents and not trouble:
                trouble = f"waits for Pod {', '.join(agents[:3])}, whose Job ends by itself"
            seen = replace(seen, waits=trouble)
        return seen

    async def start(self, request: Request) -> None:
        """Given a request whose point is held, make its Job; in place not while a Job of ours uses
        the claim. Raise UserError if it became wrong.
        """
        plan, wanted = await self._plan(request), _wanted(request)
        if await self._agents_in(request, plan.target):
            return
        days = wanted.in_place.keep_days if wanted.in_place is not None else None
        now = self._copying.server_time(self._clock.now())
        expected = Expected(now, now + STARTS_WITHIN, now + DEADLINE)
        safety = _safety(request, plan.site, days, expected) if days is not None else None
        step = rolling_tasks.restore(plan.site, plan.point.stamp, plan.target, wanted.paths, safety)
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
            )
        )

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
            changed(look, listed_at=None) if look.series == directory.source else look
            for look in status.copies
        )
        await write_status(self._client, BACKUP_POLICY, obj, changed(status, copies=copies))

    async def _see_job(self, request: Request, seen: Seen) -> Seen:
        for namespace in dict.fromkeys((request.namespace, self._copying.home)):
            job = await self._jobs.look(namespace, _job_name(request), request.uid)
            if not job.exists:
                continue
            result = None
            if job.finished and job.ours:
                result = await self._jobs.result(namespace, job)
            return replace(seen, job=job, result=result)
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
            if look.series == plan.entry.claim
        )

    async def _copies_now(self, series: Series) -> str:
        """The Backup that copies the series now, "" if none does."""
        address = series.namespace, series.policy
        return copying(*address, await self._copying.runs(*address)).get(series.key, "")

    async def _plan(self, request: Request) -> Plan:
        """Find the copy and the target. Raise UserError, naming field and remedy, if either is not
        to be had.
        """
        wanted, name = _wanted(request), request.spec.from_.backup or ""
        obj = await self._client.find(BACKUP, name, request.namespace)
        if obj is None:
            raise UserError(
                "BackupNotFound",
                f"spec.from.backup: there is no Backup {name} in namespace {request.namespace}; a "
                "request restores only from its own namespace",
            )
        backup = parse_subject("Backup", obj, BackupSpec, BackupStatus)
        rolling = backup.status.plan.rolling if backup.status.plan else None
        if rolling is None:
            raise UserError(
                "NotACopy",
                f"spec.directory: Backup {name} has no rolling copies; restore its claims instead",
            )
        entry, point, copy = _choose(backup.status, rolling, wanted, name)
        site = self._copying.site(copy, rolling.settings, request.namespace, backup.spec.policy)
        target, into, node = self._target(request, copy, site)
        if copy.node is None:
            await self._check_claim(request, target)
            claims = {copy.claim or "", site.destination.claim or "", target.mount.claim or ""}
            node = await self._copying.node_of(request.namespace, claims)
        return Plan(entry, point, site, node, target, into)

    def _target(
        self, request: Request, copy: PlannedCopy, site: Site
    ) -> tuple[Opened, str, str | None]:
        """Where the data goes, for the agent and for people, and on which node."""
        wanted = _wanted(request)
        if copy.node is None:
            return (*_target_of_claim(wanted, copy), None)
        node = wanted.node or copy.node
        if node != copy.node and site.destination.host_path is not None:
            raise UserError(
                "CopiesElsewhere",
                f"spec.directory.node: the copies are on node {copy.node} and can only be restored "
                "there; leave node out",
            )
        path = copy.path if wanted.in_place is not None else wanted.path
        if path is None:
            raise UserError(
                "NotAClaim",
                "spec.directory.claim: the copy is of a directory of a node; set path, or inPlace",
            )
        field = "spec.directory.inPlace" if wanted.in_place is not None else "spec.directory.path"
        root = source_root(self._roots, request.namespace, node, path, field=field, write=True)
        mount = Mount("target", TARGET, host_path=root.path)
        return Opened(mount, below(path, root.path)), f"{node}:{path}", node

    async def _check_claim(self, request: Request, target: Opened) -> None:
        name, field = target.mount.claim or "", "spec.directory.claim"
        if await self._client.find(PERSISTENT_VOLUME_CLAIM, name, request.namespace) is None:
            raise UserError("ClaimNotFound", f"{field}: there is no PersistentVolumeClaim {name}")

    async def _agents_in(self, request: Request, target: Opened) -> list[str]:
        """In place, the Pods of our own Jobs that use the claim. Raise UserError if others do: no
        wait, as nobody expects data to be overwritten whenever those happen to stop.

        Of a node's directory nobody knows who uses it.
        """
        name = target.mount.claim
        if _wanted(request).in_place is None or name is None:
            return []
        pods = await self._client.list(POD, request.namespace)
        if users := running_users(name, (p for p in pods if not _is_ours(p))):
            raise UserError(
                "ClaimInUse",
                f"spec.directory.inPlace: claim {name} is in use by Pod {', '.join(users[:3])}; "
                "stop what uses it, then create the request again",
            )
        return running_users(name, filter(_is_ours, pods))


def _choose(
    status: BackupStatus, rolling: PlannedRolling, wanted: DirectoryRestore, name: str
) -> tuple[PointStatus, CopyStatus, PlannedCopy]:
    """The point of a Backup that a request wants."""
    good = {
        p.claim: (p, p.rolling)
        for p in status.points
        if p.result is PointResult.GOOD and p.rolling is not None and not p.rolling.gone
    }
    if not good:
        raise UserError(
            "NoGoodCopy", f"spec.from.backup: Backup {name} has no good copy: {status.phase}"
        )
    if wanted.source is None and len(good) > 1:
        raise UserError(
            "SourceNeeded",
            f"spec.directory.source: Backup {name} has several directories, name one of "
            f"{', '.join(sorted(good))}",
        )
    series = wanted.source or next(iter(good))
    copy = next((c for c in rolling.copies if c.series == series), None)
    if series not in good or copy is None:
        raise UserError(
            "SourceNotInBackup",
            f"spec.directory.source: Backup {name} has no good copy of {series}, only of "
            f"{', '.join(sorted(good))}",
        )
    if good[series][1].missing:
        raise UserError(
            "CopyMissing",
            f"spec.from.backup: the copy of {series} was not found at its destination: see the "
            "condition CopiesMissing of the policy, or restore from another Backup",
        )
    return (*good[series], copy)


def _target_of_claim(wanted: DirectoryRestore, copy: PlannedCopy) -> tuple[Opened, str]:
    if wanted.in_place is not None:
        return Opened(Mount("target", TARGET, claim=copy.claim), copy.path), copy.series
    if wanted.claim is None:
        raise UserError(
            "NotANode",
            "spec.directory.path: the copy is of a claim; set claim, or inPlace",
        )
    target = wanted.claim
    mount = Mount("target", TARGET, claim=target.name)
    return Opened(mount, target.sub_path), f"{target.name}/{target.sub_path}"


def _is_ours(pod: Obj) -> bool:
    return objects.labels(pod).items() >= OURS.items()


def _wanted(request: Request) -> DirectoryRestore:
    wanted = request.spec.directory
    if wanted is None:
        raise ValueError("the request is for claims")
    return wanted


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
        "expected": rolling_tasks.expected_json(expected),
    }


def _job_name(request: Request) -> str:
    return naming.agent_job_name("restore", objects.name(request.obj), request.uid)
