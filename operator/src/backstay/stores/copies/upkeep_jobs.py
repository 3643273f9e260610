"""The Jobs by which a pass over rolling copies is carried out.

Invariant: the name of a Job says all that it does, so a pass that is repeated after a crash finds
it again, and a plan that has changed is another Job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from backstay.builders.jobs import TRIES
from backstay.domain import naming
from backstay.domain.errors import Transient
from backstay.domain.jobs import Step
from backstay.domain.stores.copies import agent_tasks
from backstay.domain.stores.copies.chores import NO_MARKER, Answer, Chore, Verb
from backstay.domain.stores.copies.locations import Site
from backstay.domain.stores.copies.points import RollingPoint
from backstay.steps.agent_jobs import AgentJobs, Work
from backstay.stores.copies.take import Copying, job_labels

BRIEF: Final = timedelta(minutes=30)
"""Deadline of what only touches points. A tree that goes with them takes minutes at most."""
LONG: Final = timedelta(hours=12)
"""Deadline of a scrub's part for one day."""


class UpkeepJobs:
    """Runs chores."""

    def __init__(self, jobs: AgentJobs, copying: Copying) -> None:
        self._jobs = jobs
        self._copying = copying

    async def run(self, chore: Chore) -> Answer | None:
        """Given a chore, have its Job made if there is none; return what it said, None as long as
        it has not ended.

        Raise UserError if the administrator does not allow the destination any more or its node
        is gone, Transient if that is not ready, or if the Job does not start.
        """
        site = self._site(chore)
        work = _work(chore, site)
        seen = await self._jobs.look(work.namespace, work.name, work.token)
        # Looked at before its node: one that has ended is read although its node is gone.
        if not seen.exists:
            node = await self._copying.ready_node(site)
            await self._jobs.start(_work(chore, site, node))
            return None
        # Never touched, nor read: what it says is of other work.
        if not seen.ours:
            return Answer(None, f"Job {work.namespace}/{work.name} was made by somebody else")
        if seen.stalled:
            raise Transient(f"Job {work.namespace}/{work.name} has not started: {seen.message}")
        if not seen.finished:
            return None
        result = await self._jobs.result(work.namespace, seen)
        points: Sequence[RollingPoint] | None = None
        # No marker is made here: a claim that has lost it has no points, which shows its loss.
        unmarked = (
            site.makes_marker
            and chore.verb is not Verb.SCRUB
            and result is not None
            and result.reason == NO_MARKER
        )
        if unmarked:
            points = ()
        elif chore.verb is Verb.LIST and result is not None and result.ok:
            # Only where all of it was read: what half a list leaves out would look gone.
            points = await self._jobs.points(work.namespace, seen)
        return Answer(result, result.message if result else seen.message, points, unmarked)

    async def forget(self, chore: Chore) -> None:
        """Given a chore whose answer was written down, delete its Job: what comes next may look
        the same and must be done again.
        """
        work = _work(chore, self._site(chore))
        await self._jobs.delete(work.namespace, work.name)

    def _site(self, chore: Chore) -> Site:
        series = chore.kept.series
        return self._copying.site(
            chore.kept.copy, chore.kept.rolling, series.namespace, series.policy
        )


def _work(chore: Chore, site: Site, node: str | None = None) -> Work:
    series, step = chore.kept.series, _step(chore, site)
    # The node is no part of it: a claim moves with its Pod, and the Job has to be found again.
    # The destination is: the same task at another place is other work.
    digest = naming.digest(f"{chore.occasion}\n{step.task}\n{site.destination}")
    return Work(
        name=naming.agent_job_name(
            chore.verb.value, series.policy, series.namespace, series.key, digest
        ),
        namespace=site.namespace,
        token=digest,
        node=node,
        steps=[step],
        mounts=[site.destination],
        deadline=LONG if chore.verb is Verb.SCRUB else BRIEF,
        labels=job_labels(series),
        # A scrub that finds something fails, and each one reads another part.
        tries=0 if chore.verb is Verb.SCRUB else TRIES,
    )


def _step(chore: Chore, site: Site) -> Step:
    match chore.verb:
        case Verb.RELABEL:
            return agent_tasks.relabel(site, chore.changes)
        case Verb.PRUNE:
            return agent_tasks.prune(site, chore.changes)
        case Verb.LIST:
            return agent_tasks.list_points(site)
        case Verb.SCRUB:
            return agent_tasks.scrub(site, chore.kept.rolling)
