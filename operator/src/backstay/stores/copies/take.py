"""The rolling copies of a run: planned, started, looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from backstay.api.backup import BackupSpec, BackupStatus, Trigger
from backstay.api.common import format_time
from backstay.api.policy import PolicySpec
from backstay.api.rolling import PlannedCopy, Rolling
from backstay.api.store import ROLLING
from backstay.domain import labels, naming, objects
from backstay.domain.errors import DataError, Transient, UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import VERSION
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.points import Rules
from backstay.domain.run.status import plan_of
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.agent_tasks import CopyWish
from backstay.domain.stores.copies.dates import Expected
from backstay.domain.stores.copies.incarnations import ids_of_claim
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
from backstay.domain.stores.copies.take import current
from backstay.domain.subject import parse_subject
from backstay.domain.times import parse_time
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
)
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import OURS, AgentJobs, Work


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
        """Given a run that copies, return what is seen of the copy that is next or under way."""
        entry = current(status)
        if entry is None:
            return None
        try:
            site = self._site_of_run(backup, spec, status, entry.source)
            source_of(site.series, self.roots)
        except UserError as error:
            return CopySeen(problem=error.message)
        name, token = _job_name(backup, status, entry.source), objects.uid(backup)
        job = await self._jobs.look(site.namespace, name, token)
        if not job.ours:
            return CopySeen(problem=f"Job {site.namespace}/{name} was made by somebody else")
        if job.finished:
            return await self._judge(site, job)
        if job.started:
            return CopySeen(job)
        if not job.exists:
            try:
                node = await self._node(site)
            except UserError as error:
                return CopySeen(problem=error.message)
            trouble, for_good = await self.trouble(node)
            if trouble:
                return CopySeen(waits=True, problem=trouble if for_good else "", message=trouble)
        return CopySeen(job, message=job.message)

    async def start(self, backup: Obj, spec: BackupSpec, status: BackupStatus, series: str) -> None:
        """Given a run and the series that is next, make the Job of its copy."""
        rolling = _rolling(status)
        site = self._site_of_run(backup, spec, status, series)
        source = source_of(site.series, self.roots)
        wish = await self._wish(backup, spec, status, site.series)
        before = []
        if site.makes_marker and await self._is_first(site, rolling):
            before = [agent_tasks.init(site.destination.at, site.marker)]
        await self._jobs.start(
            Work(
                name=_job_name(backup, status, series),
                namespace=site.namespace,
                token=objects.uid(backup),
                node=await self._node(site),
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
        await self._jobs.delete(site.namespace, _job_name(backup, status, series))

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

    async def _wish(
        self, backup: Obj, spec: BackupSpec, status: BackupStatus, series: Series
    ) -> CopyWish:
        plan, name = plan_of(status), objects.name(backup)
        adhoc = spec.trigger is Trigger.AD_HOC
        carried = {
            labels.POLICY: spec.policy,
            labels.BACKUP: name,
            labels.TYPE: (labels.RunType.ADHOC if adhoc else labels.RunType.CRONJOB).value,
            labels.RETAIN: labels.Retain.DAILY_WEEKLY_MONTHLY.value,
        }
        entry = current(status)
        days = next((p.keep_days for p in plan.points if entry and p.key == entry.key), None)
        if days is not None:
            carried[labels.RETAIN] = labels.Retain.DAYS.value
            carried[labels.RETAIN_DAYS] = str(days)
        home = await self._client.get(NAMESPACE, objects.namespace(backup))
        return CopyWish(
            run=naming.run_name(name, objects.uid(backup)),
            labels=carried,
            annotations={labels.RUN: objects.uid(backup)},
            record=_record(spec, status, objects.uid(home)),
            rules=await self._rules(objects.namespace(backup), spec.policy),
            expected=self._expected(backup, status),
            identity=await self._identity(series),
            allow_shrunken=objects.annotations(backup).get(labels.ALLOW_SHRUNKEN) == "true",
        )

    def _expected(self, backup: Obj, status: BackupStatus) -> Expected:
        """When the copy that is next runs, by the API server's clock: not before its Backup was
        created, whatever our own clock said when it was asked for.
        """
        entry, settings = current(status), _rolling(status)
        if entry is None or entry.requested_at is None:
            raise ValueError("no copy was asked for")
        created = parse_time(str(dig(backup, "metadata", "creationTimestamp")))
        asked = max(self.server_time(entry.requested_at), created)
        started = asked + settings.start_timeout
        return Expected(asked, started, started + settings.max_duration)

    def server_time(self, ours: datetime) -> datetime:
        """Given a time by our clock, return it by the API server's, as far as that is known."""
        return ours - (self._client.skew or timedelta(0))

    async def _identity(self, series: Series) -> Sequence[str]:
        """What the claim of a series is now; () of a directory, which the agent looks at."""
        if series.kind != "claim":
            return ()
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, series.holder, series.namespace)
        if claim is None:
            return ()  # Its Job will not start.
        return ids_of_claim(
            objects.uid(claim),
            str(dig(claim, "spec", "volumeName", default="")),
            objects.annotations(claim).get(labels.CONTINUES, ""),
        )

    async def _rules(self, namespace: str, policy: str) -> Rules | None:
        """Retention as it stands now; None where the policy cannot be read: the next pass that can
        read it gives the tiers.
        """
        obj = await self._client.find(BACKUP_POLICY, policy, namespace)
        try:
            if obj is None:
                return None
            spec = PolicySpec.model_validate(obj.get("spec") or {})
            return rules_of(spec, ROLLING)
        except (UserError, ValueError):
            return None

    async def check_node(self, name: str) -> None:
        """Given the node of a policy's source, raise UserError if it is missing."""
        trouble, for_good = await self.trouble(name)
        if for_good:
            raise UserError("NodeNotFound", f"spec.source.hostPath.node: {trouble}")

    async def trouble(self, node: str | None) -> tuple[str, bool]:
        """Given a node (None: any), return what keeps Jobs from it, and whether for good."""
        return node_trouble(node, await self._client.find(NODE, node)) if node else ("", False)

    async def _node(self, site: Site) -> str | None:
        """The one node for a Job of this site: the directory's, or that of the claims' Pods."""
        if site.node is not None:
            return site.node
        claims = {site.series.holder, site.destination.claim or ""}
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


def _job_name(backup: Obj, status: BackupStatus, series: str) -> str:
    return naming.agent_job_name(
        "copy", objects.name(backup), objects.uid(backup), str(status.attempt), series
    )


def _record(spec: BackupSpec, status: BackupStatus, namespace_uid: str) -> Mapping[str, Any]:
    """What it takes to recreate the Backup from the point alone."""
    when = spec.scheduled_for or status.started_at
    return {
        "version": VERSION,
        "policy": spec.policy,
        "trigger": spec.trigger.value,
        "slot": format_time(when) if when else "",
        "zone": plan_of(status).zone,
        "attempt": status.attempt,
        "namespaceUid": namespace_uid,
    }
