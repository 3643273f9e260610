"""The rolling copies of a run: planned, started, looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.point import PointStatus
from backstay.api.rolling import PlannedCopy, Rolling
from backstay.domain import labels, naming, objects
from backstay.domain.errors import DataError, Transient, UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.status import plan_of
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.locations import (
    Site,
    node_of_claims,
    node_trouble,
    site_of,
    source_of,
)
from backstay.domain.stores.copies.points import Series
from backstay.domain.stores.copies.results import made_point
from backstay.domain.stores.copies.series import kept_of
from backstay.domain.stores.copies.sights import CopySeen
from backstay.domain.stores.copies.take import current, reads_temporary
from backstay.domain.stores.copies.temporary import Temporary, job_name
from backstay.domain.subject import parse_subject
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, NODE, PERSISTENT_VOLUME_CLAIM, POD
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import OURS, AgentJobs, Work
from backstay.stores.copies.temporary import TemporaryClaims
from backstay.stores.copies.wishes import Wishes


class Copying:
    """Makes the copies of runs. `home` is the operator's namespace."""

    def __init__(
        self,
        client: Client,
        jobs: AgentJobs,
        roots: RollingRoots,
        home: str,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._wishes = Wishes(client)
        self._temporary = TemporaryClaims(client)
        self.roots = roots
        self.home = home

    def site(self, copy: PlannedCopy, rolling: Rolling, namespace: str, policy: str) -> Site:
        """Given a directory of a plan and its policy, return where its copies are kept, as the
        administrator allows it now. Raise UserError if that is not so any more.
        """
        return site_of(
            copy,
            rolling,
            namespace=namespace,
            policy=policy,
            home=self.home,
            roots=self.roots,
        )

    async def ready_node(self, site: Site) -> str | None:
        """Given a site, return the node for a Job of it, None if any will do.

        Raise UserError if it is missing, Transient if it is not ready.
        """
        node = await self._node(site)
        trouble, for_good = await self.trouble(node)
        if for_good:
            raise UserError(
                "NodeNotFound",
                f"{trouble}; if it does not come back, delete the Backups that have copies of it",
            )
        if trouble:
            raise Transient(trouble)
        return node

    async def look(self, backup: Obj, spec: BackupSpec, status: BackupStatus) -> CopySeen | None:
        """Given a run that copies, return what is seen of the copy that is under way."""
        entry = current(status)
        if entry is None or entry.requested_at is None:
            return None
        try:
            site = self._site_of_run(backup, spec, status, entry.source)
            source_of(site.series, self.roots)
        except UserError as error:
            return CopySeen(problem=error.message)
        name, token = job_name(backup, status.attempt, entry.source), objects.uid(backup)
        job = await self._jobs.look(site.namespace, name, token)
        if not job.ours:
            return CopySeen(problem=f"Job {site.namespace}/{name} was made by somebody else")
        if job.finished:
            return await self._judge(site, job)
        if job.started:
            return CopySeen(job)
        if job.exists:
            words = job.message
            if job.stalled and reads_temporary(status):
                words = await self._temporary.waits_for(site.namespace, name, words)
            return CopySeen(job, message=words)
        return await self._before_job(backup, status, entry, site)

    async def _before_job(
        self, backup: Obj, status: BackupStatus, entry: PointStatus, site: Site
    ) -> CopySeen:
        """Look at what the Job of a copy needs: its node, and the claim that it reads."""
        try:
            node = await self._node(site, status)
        except UserError as error:
            return CopySeen(problem=error.message)
        trouble, for_good = await self.trouble(node)
        if trouble:
            return CopySeen(waits=True, problem=trouble if for_good else "", message=trouble)
        if not reads_temporary(status):
            return CopySeen()
        name = job_name(backup, status.attempt, entry.source)
        found = await self._temporary.look(backup, status, entry, name)
        waits = bool(found.waits)
        return CopySeen(waits=waits, problem=found.problem, temporary=found, message=found.waits)

    async def start(
        self,
        backup: Obj,
        spec: BackupSpec,
        status: BackupStatus,
        series: str,
        temporary: Temporary | None = None,
    ) -> None:
        """Given a run, the series that is next and the temporary claim that its copy is made of
        (None: it is made of the source), make that and the Job.
        """
        rolling, name = _rolling(status), job_name(backup, status.attempt, series)
        site = self._site_of_run(backup, spec, status, series)
        source = source_of(site.series, self.roots)
        if temporary is not None:
            # Not after it is bound: a class may wait for the Pod that mounts it.
            temporary = await self._temporary.make(temporary)
            source = replace(source, mount=replace(source.mount, claim=name))
        wish = await self._wishes.of(backup, spec, status, site.series, temporary)
        before = []
        if site.makes_marker and await self._is_first(site, rolling):
            before = [agent_tasks.init(site.destination.at, site.marker)]
        await self._jobs.start(
            Work(
                name=name,
                namespace=site.namespace,
                token=objects.uid(backup),
                node=await self._node(site, status),
                steps=[*before, agent_tasks.copy(site, source, rolling, wish)],
                mounts=[source.mount, site.destination],
                deadline=rolling.max_duration,
                labels=job_labels(site.series),
            )
        )

    async def runs(self, namespace: str, policy: str) -> list[Run]:
        """Given a policy's address, return its Backups. Raise DataError if one is not valid."""
        found = await self._client.list(BACKUP, namespace, fields=f"spec.policy={policy}")
        return [parse_subject(BACKUP.kind, obj, BackupSpec, BackupStatus) for obj in found]

    async def _is_first(self, site: Site, rolling: Rolling) -> bool:
        """Whether no Backup of the policy shows a copy at a destination. From the first one on an
        empty directory is a disk that is not mounted, and gets no marker.
        """
        series = site.series
        address = series.namespace, series.policy
        return not any(
            kept.shown
            for kept in kept_of(*address, await self.runs(*address), ())
            if kept.rolling.destination == rolling.destination and kept.series.kind == series.kind
        )

    async def cancel(
        self, backup: Obj, spec: BackupSpec, status: BackupStatus, series: str
    ) -> None:
        """Given a run and a series, delete the Job of its copy; the destination is as it was."""
        site = self._site_of_run(backup, spec, status, series)
        await self._jobs.delete(site.namespace, job_name(backup, status.attempt, series))

    async def _judge(self, site: Site, job: JobSeen) -> CopySeen:
        """Read what a finished Job says."""
        result = await self._jobs.result(site.namespace, job)
        if result is None:
            return CopySeen(job, lost=job.succeeded, message=job.message)
        try:
            made = made_point(result, site.series)
        except DataError as error:
            # Whoever may write the status of Pods can have it say anything, and for ever.
            return CopySeen(job, problem=f"what its Job said cannot be used: {error.message}")
        return CopySeen(job, result=made, message=result.message)

    def _site_of_run(
        self, backup: Obj, spec: BackupSpec, status: BackupStatus, series: str
    ) -> Site:
        plan = plan_of(status).rolling
        if plan is None:
            raise ValueError("the run makes no rolling copies")
        copy = next(c for c in plan.copies if c.series == series)
        return self.site(copy, plan.settings, objects.namespace(backup), spec.policy)

    def server_time(self, ours: datetime) -> datetime:
        """Given a time by our clock, return it by the API server's, as far as that is known."""
        return self._wishes.server_time(ours)

    async def trouble(self, node: str | None) -> tuple[str, bool]:
        """Given a node (None: any), return what keeps Jobs from it, and whether for good."""
        return node_trouble(node, await self._client.find(NODE, node)) if node else ("", False)

    async def _node(self, site: Site, status: BackupStatus | None = None) -> str | None:
        """The one node for a Job of this site: the directory's, or that of the claims' Pods. Of a
        copy of a temporary claim (by the status of its run) only the destination's count.
        """
        if site.node is not None:
            return site.node
        claims = {site.destination.claim or ""}
        if status is None or not reads_temporary(status):
            claims.add(site.series.holder)
        return await self.node_of(site.series.namespace, claims)

    async def node_of(self, namespace: str, names: Collection[str]) -> str | None:
        """Given claims that one Job needs ("" is none), return the node that has them, None if any
        will do. Raise UserError if they are in use on different nodes.
        """
        claims = [
            claim
            for name in sorted(filter(None, names))
            if (claim := await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace))
        ]
        return node_of_claims(claims, await self._client.list(POD, namespace))


def job_labels(series: Series) -> Mapping[str, str]:
    """Given a series, return the labels by which people find its Jobs."""
    return {
        **OURS,
        labels.POLICY: naming.label_value(series.policy),
        labels.NAMESPACE: naming.label_value(series.namespace),
    }


def _rolling(status: BackupStatus) -> Rolling:
    plan = plan_of(status).rolling
    if plan is None:
        raise ValueError("the run makes no rolling copies")
    return plan.settings
