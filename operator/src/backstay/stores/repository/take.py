"""The uploads of a run: started, looked at."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from backstay.api.common import changed
from backstay.api.point import PointStatus
from backstay.api.progress import Progress
from backstay.api.repository import RepositorySpec
from backstay.api.repository_store import PlannedRepository, UploadMethod
from backstay.api.store import REPOSITORY
from backstay.builders.jobs import TRIES
from backstay.domain import labels, naming
from backstay.domain.errors import DataError, UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.late import late_until, turn
from backstay.domain.run.status import has_data, plan_of
from backstay.domain.stores.making import Making
from backstay.domain.stores.progress import is_due, progress_in
from backstay.domain.stores.repository import tasks
from backstay.domain.stores.repository.plan import UPLOADS
from backstay.domain.stores.repository.reasons import OF_THE_SOURCE
from backstay.domain.stores.repository.results import failure, stored_point
from backstay.domain.stores.repository.use import NOT_READY
from backstay.domain.stores.temporary import Temporary, job_name
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_REPOSITORY
from backstay.settings import RollingRoots
from backstay.steps.agent_jobs import AgentJobs, Work
from backstay.steps.nodes import node_for, trouble_of
from backstay.steps.policy_runs import runs_of
from backstay.steps.repositories import Usable, repository_spec, usable
from backstay.stores.point_jobs import look_at_job
from backstay.stores.repository.reading import Reading, claim_read, reading
from backstay.stores.repository.wishes import Wishes, asked_of, copy_of
from backstay.stores.temporary import TemporaryClaims, Wanted

REPOSITORY_WAIT: Final = timedelta(minutes=5)
"""The Job that opens a repository for the first time may have to wait for a node and its image."""
_OPENS: Final = frozenset({NOT_READY, "RepositoryNotFound"})


class Uploading:
    """Makes the uploads of runs."""

    def __init__(self, client: Client, jobs: AgentJobs, roots: RollingRoots) -> None:
        self._client = client
        self.roots = roots
        self._jobs = jobs
        self._wishes = Wishes(client)
        self._temporary = TemporaryClaims(client)

    async def look(self, run: Run, now: datetime) -> Making | None:
        """Given a run that uploads and now, return what is seen of the upload that is next or under
        way.
        """
        entry = UPLOADS.current(run.status)
        if entry is None or not has_data(run.status, entry):
            return None
        if entry.requested_at is None:
            return await self._before_asking(run, entry)
        return await look_at_job(
            self._jobs,
            self._temporary if UPLOADS.reads_temporary(run.status) else None,
            (run.namespace, _job_name(run, entry.source)),
            run.uid,
            judge=partial(self._judge, run, entry),
            before=partial(self._before_job, run, entry, now),
            watch=partial(self._watch, run, entry, now),
        )

    async def start(self, run: Run, source: str, temporary: Temporary | None) -> None:
        """Given a run, the source that is next and the temporary claim that is uploaded (None: the
        source itself is), make that and the Job.
        """
        planned, entry, name = _planned(run), _entry(run, source), _job_name(run, source)
        # Read again, whatever the look has found: no Job is made for what a person has just taken
        # away, nor by a spec that is not the repository's any more.
        found = await usable(self._client, run.namespace, planned.settings.name, write=True)
        if temporary is not None:
            # Not after it is bound: a class may wait for the Pod that mounts it.
            temporary = await self._temporary.make(temporary)
        read = self._reading(run, entry, name if temporary else "")
        # Another one than the plan's is refused by the agent, when it begins.
        planned = changed(planned, id=planned.id or found.id)
        wish = await self._wishes.of(run, planned, entry, read, temporary)
        await self._jobs.start(
            Work(
                name=name,
                namespace=run.namespace,
                token=run.uid,
                node=await self._node(run, entry, found),
                steps=[tasks.backup(found.spec, planned.id or "", wish)],
                mounts=[read.mount],
                deadline=planned.settings.max_duration,
                labels={labels.POLICY: naming.label_value(run.spec.policy)},
                mover=found.mover,
                tries=TRIES,
            )
        )

    async def cancel(self, run: Run, source: str) -> None:
        """Given a run and a source, delete the Job of its upload: what it has stored without a
        record counts for nothing.
        """
        await self._jobs.delete(run.namespace, _job_name(run, source))

    async def _before_asking(self, run: Run, entry: PointStatus) -> Making:
        """Look whose turn it is: no time of the upload runs before that."""
        settings, late = _planned(run).settings, late_until(run.status, *entry.key) is not None
        if late:
            its = turn(run, entry, await runs_of(self._client, run.namespace, run.spec.policy))
            if its.superseded or its.behind:
                return Making(problem=its.superseded, busy=its.behind)
        try:
            found = await self._usable(run, settings.name)
        except UserError as error:
            if late:
                return Making(busy=error.message)
            return Making()  # Seen again once it is asked for, and waited for or given up.
        return Making(busy=found.busy)

    async def _before_job(self, run: Run, entry: PointStatus, now: datetime) -> Making:
        """Look at what the Job of an upload needs: the repository, a node, what it reads."""
        planned = _planned(run)
        name = planned.settings.name
        try:
            found = await self._usable(run, name)
            node = await self._node(run, entry, found)
        except UserError as error:
            if late_until(run.status, *entry.key) is not None:
                return Making(busy=error.message)  # Its turn has not come after all.
            return _unusable(error, now - (entry.requested_at or now))
        if planned.id is not None and found.id != planned.id:
            return Making(
                problem=f"BackupRepository {name} is another repository now ({found.id[:8]}) than "
                f"the run was planned for ({planned.id[:8]})"
            )
        if found.busy:
            return Making(busy=found.busy)
        trouble, for_good = await trouble_of(self._client, node)
        if trouble:
            return Making(waits=True, problem=trouble if for_good else "", message=trouble)
        return await self._before_upload(run, entry)

    async def _usable(self, run: Run, name: str) -> Usable:
        """The repository, with whom an upload has to wait for: restores go first."""
        held = {point.claim for point in plan_of(run.status).points if point.claim}
        return await usable(self._client, run.namespace, name, write=True, held=held)

    async def _before_upload(self, run: Run, entry: PointStatus) -> Making:
        """Look at the temporary claim, if one is uploaded."""
        if not UPLOADS.reads_temporary(run.status):
            return Making()
        settings = _planned(run).settings
        clones = settings.copy_method is UploadMethod.CLONE
        wanted = Wanted(_job_name(run, entry.source), clones, settings.volume)
        found = await self._temporary.look(run.obj, run.status, entry, wanted)
        waits = bool(found.waits)
        return Making(waits=waits, problem=found.problem, temporary=found, message=found.waits)

    async def _judge(self, run: Run, entry: PointStatus, job: JobSeen) -> Making:
        """Read what a finished Job says."""
        result = await self._jobs.result(run.namespace, job)
        if result is None:
            return Making(job, lost=job.succeeded, message=job.message)
        # Before the point is read: what failed may name snapshots as well, which count nothing.
        if not result.ok:
            why = failure(result, _planned(run), await self._spec(run))
            for_good = result.reason in OF_THE_SOURCE
            return Making(job, problem=why if for_good else "", message=why)
        try:
            made = stored_point(result, asked_of(run, _planned(run), entry.source))
        except DataError as error:
            # Whoever may write the status of Pods can have it say anything, and for ever.
            return Making(job, problem=f"what its Job said cannot be used: {error.message}")
        return Making(job, result=made, message=result.message)

    async def _watch(
        self, run: Run, entry: PointStatus, now: datetime, job: JobSeen
    ) -> Progress | None:
        """Look how far a Job has come, if it is time for that."""
        if not is_due(entry, now):
            return None
        lines = await self._jobs.last_lines(run.namespace, job)
        return progress_in(lines, entry.progress, now)

    async def _spec(self, run: Run) -> RepositorySpec | None:
        """The repository as it is said to be now; None if that cannot be read."""
        name = _planned(run).settings.name
        obj = await self._client.find(BACKUP_REPOSITORY, name, run.namespace)
        try:
            return repository_spec(obj) if obj is not None else None
        except UserError:
            return None

    async def _node(self, run: Run, entry: PointStatus, found: Usable) -> str | None:
        """The one node for the Job: that of the Pods that use its claims."""
        kept_in = found.spec.claim.name if found.spec.claim else ""
        source = copy_of(_planned(run), entry.source)
        claims = {kept_in, claim_read(run, entry, source, self.roots)}
        node = await node_for(self._client, run.namespace, claims)
        if source.node is not None and node not in (None, source.node):
            raise UserError(
                "ClaimsApart",
                f"claim {kept_in}, which has the repository, is in use on node {node}, and the "
                f"directory is on {source.node}; use a claim that is ReadWriteMany",
            )
        return source.node or node

    def _reading(self, run: Run, entry: PointStatus, temporary: str) -> Reading:
        source = copy_of(_planned(run), entry.source)
        return reading(run, entry, source, temporary, self.roots)


def _unusable(error: UserError, waited: timedelta) -> Making:
    """A repository that cannot be used, or only later, after so long a wait."""
    if error.reason in _OPENS and waited < REPOSITORY_WAIT:
        return Making(waits=True, message=error.message)
    return Making(problem=f"{error.reason}: {error.message}")


def _planned(run: Run) -> PlannedRepository:
    planned = plan_of(run.status).repository
    if planned is None:
        raise ValueError("the run uploads nothing")
    return planned


def _entry(run: Run, source: str) -> PointStatus:
    return next(p for p in run.status.points if p.key == (source, REPOSITORY))


def _job_name(run: Run, source: str) -> str:
    return job_name(run.obj, run.status.attempt, source, REPOSITORY)
