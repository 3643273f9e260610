"""The rolling copies of a run: planned, started, looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.point import PointStatus
from backstay.api.rolling import CopyMethod, PlannedCopy, Rolling
from backstay.api.store import ROLLING
from backstay.domain import labels, naming, objects
from backstay.domain.errors import DataError, Transient, UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.status import plan_of
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.locations import (
    Site,
    site_of,
    source_of,
)
from backstay.domain.stores.copies.plan import COPIES
from backstay.domain.stores.copies.points import Series
from backstay.domain.stores.copies.results import made_point
from backstay.domain.stores.copies.series import kept_of
from backstay.domain.stores.making import Making
from backstay.domain.stores.temporary import Temporary, job_name
from backstay.kube.client import Client
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import OURS, AgentJobs, Work
from backstay.steps.nodes import node_for, trouble_of
from backstay.steps.policy_runs import runs_of
from backstay.stores.copies.wishes import Wishes
from backstay.stores.point_jobs import look_at_job
from backstay.stores.temporary import TemporaryClaims, Wanted


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

    async def look(self, backup: Obj, spec: BackupSpec, status: BackupStatus) -> Making | None:
        """Given a run that copies, return what is seen of the copy that is under way."""
        entry = COPIES.current(status)
        if entry is None or entry.requested_at is None:
            return None
        try:
            site = self._site_of_run(backup, spec, status, entry.source)
            source_of(site.series, self.roots)
        except UserError as error:
            return Making(problem=error.message)
        return await look_at_job(
            self._jobs,
            self._temporary if COPIES.reads_temporary(status) else None,
            (site.namespace, _job_name(backup, status, entry.source)),
            objects.uid(backup),
            judge=lambda job: self._judge(site, job),
            before=lambda: self._before_job(backup, status, entry, site),
        )

    async def _before_job(
        self, backup: Obj, status: BackupStatus, entry: PointStatus, site: Site
    ) -> Making:
        """Look at what the Job of a copy needs: its node, and the claim that it reads."""
        try:
            node = await self._node(site, status)
        except UserError as error:
            return Making(problem=error.message)
        trouble, for_good = await self.trouble(node)
        if trouble:
            return Making(waits=True, problem=trouble if for_good else "", message=trouble)
        if not COPIES.reads_temporary(status):
            return Making()
        clones = _rolling(status).copy_method is CopyMethod.CLONE
        wanted = Wanted(_job_name(backup, status, entry.source), clones)
        found = await self._temporary.look(backup, status, entry, wanted)
        waits = bool(found.waits)
        return Making(waits=waits, problem=found.problem, temporary=found, message=found.waits)

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
        rolling, name = _rolling(status), _job_name(backup, status, series)
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
        return await runs_of(self._client, namespace, policy)

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
        await self._jobs.delete(site.namespace, _job_name(backup, status, series))

    async def _judge(self, site: Site, job: JobSeen) -> Making:
        """Read what a finished Job says."""
        result = await self._jobs.result(site.namespace, job)
        if result is None:
            return Making(job, lost=job.succeeded, message=job.message)
        try:
            made = made_point(result, site.series)
        except DataError as error:
            # Whoever may write the status of Pods can have it say anything, and for ever.
            return Making(job, problem=f"what its Job said cannot be used: {error.message}")
        return Making(job, result=made, message=result.message)

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
        return await trouble_of(self._client, node)

    async def _node(self, site: Site, status: BackupStatus | None = None) -> str | None:
        """The one node for a Job of this site: the directory's, or that of the claims' Pods. Of a
        copy of a temporary claim (by the status of its run) only the destination's count.
        """
        if site.node is not None:
            return site.node
        claims = {site.destination.claim or ""}
        if status is None or not COPIES.reads_temporary(status):
            claims.add(site.series.holder)
        return await self.node_of(site.series.namespace, claims)

    async def node_of(self, namespace: str, names: Collection[str]) -> str | None:
        """Given claims that one Job needs ("" is none), return the node that has them, None if any
        will do. Raise UserError if they are in use on different nodes.
        """
        return await node_for(self._client, namespace, names)


def job_labels(series: Series) -> Mapping[str, str]:
    """Given a series, return the labels by which people find its Jobs."""
    return {
        **OURS,
        labels.POLICY: naming.label_value(series.policy),
        labels.NAMESPACE: naming.label_value(series.namespace),
    }


def _job_name(backup: Obj, status: BackupStatus, series: str) -> str:
    return job_name(backup, status.attempt, series, ROLLING)


def _rolling(status: BackupStatus) -> Rolling:
    plan = plan_of(status).rolling
    if plan is None:
        raise ValueError("the run makes no rolling copies")
    return plan.settings
