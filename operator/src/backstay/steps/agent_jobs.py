"""Run the agent in a Job and read what it said.

Invariants: a Job's name is a function of what it does, and its annotation says which work it is, so
making it again is finding it; a name that is taken by other work is reported and never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from backstay.builders.jobs import CONTAINER, KEPT, TRIES
from backstay.builders.mover import Mover, mover_job
from backstay.builders.rolling import agent_job
from backstay.domain import labels, naming, objects
from backstay.domain.errors import AlreadyExists, NotFound, Transient
from backstay.domain.jobs import JobSeen, Mount, Step, job_seen
from backstay.domain.objects import Obj
from backstay.domain.silence import QUIET
from backstay.domain.stores.copies.agent_result import AgentResult, parse_points, parse_result
from backstay.domain.stores.copies.points import RollingPoint
from backstay.domain.times import parse_time
from backstay.kube.client import Client
from backstay.kube.resources import JOB, POD
from backstay.steps.reasons import warning_about

OURS: Final = {"app.kubernetes.io/managed-by": "backstay"}
"""The label of every Job of ours and its Pods."""
_LAST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class AgentImage:
    """The image of pods that run the agent, and when it is pulled."""

    name: str
    pull_policy: str


@dataclass(frozen=True, slots=True)
class Work:
    """One Job to be: `token` says which work it is."""

    name: str
    namespace: str
    token: str
    node: str | None
    steps: Sequence[Step]
    mounts: Sequence[Mount]
    deadline: timedelta
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    tries: int | None = None
    """Further Pods after one that failed; None: TRIES, and none of a mover."""
    mover: Mover | None = None
    """The repository that it works on with its one step, if it does."""
    owner: Obj | None = None
    """The object that a mover goes with, also when we are not running."""
    kept: timedelta = KEPT
    """How long a mover stays when it has ended."""


class AgentJobs:
    """Makes, reads and deletes the Jobs of the agent."""

    def __init__(self, client: Client, image: AgentImage) -> None:
        self._client = client
        self.image = image

    async def look(self, namespace: str, name: str, token: str) -> JobSeen:
        """Given a Job's address and its work, return what is seen of it."""
        job = await self._client.find(JOB, name, namespace)
        if job is None:
            return JobSeen()
        # By uid: Pods of a Job that was deleted may be there for a while beside those of the next.
        selector = f"batch.kubernetes.io/controller-uid={objects.uid(job)}"
        pods = await self._client.list(POD, namespace, labels=selector)
        ours = objects.annotations(job).get(labels.RUN) == token
        seen = replace(job_seen(job, pods, ours=ours), old=self._is_old(job))
        # Once it has started, its Pod says how it stands. Before, it may only be young.
        if not seen.ours or seen.started or not seen.old:
            return seen
        message = seen.message
        if seen.silent:
            # A quota, or a volume that cannot be mounted, is in Events and nowhere else.
            newest = next((p for p in pods if objects.name(p) == seen.pod), job)
            message = await warning_about(self._client, newest) or message
        return replace(seen, message=message, stalled=True)

    def _is_old(self, job: Obj) -> bool:
        """Whether a Job was made longer ago than one takes to start, both by the server's clock."""
        made, now = objects.dig(job, "metadata", "creationTimestamp"), self._client.server_date
        return bool(made) and now is not None and now - parse_time(made) >= QUIET

    async def start(self, work: Work) -> None:
        """Given work, make its Job, or find that there is one: the next look shows whose."""
        body = self._body(work)
        try:
            await self._client.create(JOB, body)
        except AlreadyExists:
            return

    def _body(self, work: Work) -> Obj:
        # The token last: nothing else in the annotations may say whose Job it is.
        annotations = {**work.annotations, labels.RUN: work.token}
        if work.mover is None:
            return agent_job(
                name=work.name,
                namespace=work.namespace,
                node=work.node,
                image=self.image.name,
                pull_policy=self.image.pull_policy,
                steps=work.steps,
                mounts=work.mounts,
                deadline=work.deadline,
                labels=work.labels,
                annotations=annotations,
                tries=TRIES if work.tries is None else work.tries,
            )
        (step,) = work.steps
        identity, notes = naming.identity_labels({labels.REPOSITORY: work.mover.repository})
        return mover_job(
            name=work.name,
            namespace=work.namespace,
            node=work.node,
            image=self.image.name,
            pull_policy=self.image.pull_policy,
            mover=work.mover,
            step=step,
            mounts=work.mounts,
            deadline=work.deadline,
            labels={**OURS, **work.labels, **identity},
            annotations={**annotations, **notes},
            owner=work.owner,
            kept=work.kept,
            tries=work.tries or 0,
        )

    async def result(self, namespace: str, seen: JobSeen) -> AgentResult | None:
        """Given a finished Job as seen, return its result, None if nothing of it is left.

        Raise Transient if the node that has the log cannot be asked.
        """
        # The termination message first: it stays on the Pod when its node cannot be reached.
        found = parse_result(seen.said)
        if found is not None and not found.truncated:
            return found
        lines = await self._log(namespace, seen)
        # What was shortened to fit into the message is better than nothing.
        return (parse_result(lines[-1]) if lines else None) or found

    async def last_lines(self, namespace: str, seen: JobSeen) -> list[str]:
        """Given a Job at work as seen, return the last lines of its log, as far as they can be had:
        nothing rests on them.
        """
        try:
            text = await self._client.pod_log(seen.pod, namespace, CONTAINER, tail=_LAST_LINES)
        except (NotFound, Transient):
            return []
        return text.splitlines()

    async def points(self, namespace: str, seen: JobSeen) -> list[RollingPoint] | None:
        """Given a finished `list` as seen, return its points, None if its log is lost.

        Raise Transient if the node that has the log cannot be asked, DataError for a broken log.
        """
        *lines, last = await self._log(namespace, seen) or [""]
        result = parse_result(last)
        # A list without its result is not whole: what it does not name would look as if it were
        # gone.
        return parse_points(lines) if result is not None and result.ok else None

    async def lines(self, namespace: str, seen: JobSeen) -> list[str] | None:
        """Given a finished Job as seen, return the lines of its log before its result, None if that
        is lost.

        Raise Transient if the node that has the log cannot be asked.
        """
        *lines, last = await self._log(namespace, seen) or [""]
        return lines if parse_result(last) is not None else None

    async def delete(self, namespace: str, name: str) -> None:
        """Given a Job's address, delete it with its Pods, if it is there."""
        job = await self._client.find(JOB, name, namespace)
        if job is not None:
            # Said, because without it the API server leaves the Pods of a Job behind.
            await self._client.delete(
                JOB, name, namespace, uid=objects.uid(job), propagation="Background"
            )

    async def _log(self, namespace: str, seen: JobSeen) -> list[str]:
        if not seen.pod:
            return []
        try:
            text = await self._client.pod_log(seen.pod, namespace, CONTAINER)
        except NotFound:
            return []
        return text.strip().splitlines()
