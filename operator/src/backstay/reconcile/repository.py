"""Reconcile a BackupRepository: its own Jobs one after the other, and what its status says.

Invariants: nobody else writes its status; which Job there is to be is written before the Job is
made, and the Job is deleted after what it said is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.api.common import changed, format_time, with_condition
from backstay.api.repository_status import RepositoryStatus
from backstay.builders.cache_claim import cache_claim
from backstay.domain import labels, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import AlreadyExists, Refused, Transient, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.run.machine import FORBIDDEN
from backstay.domain.stores.repository import work
from backstay.domain.stores.repository.listing_chore import Listing
from backstay.domain.stores.repository.maintaining import Maintaining
from backstay.domain.stores.repository.opening import NOT_LOOKED, Opening, ready_of
from backstay.domain.stores.repository.use import READY, Task
from backstay.domain.stores.repository.work import Chore, Seen
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.errors import Busy
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP_REPOSITORY, PERSISTENT_VOLUME_CLAIM
from backstay.reconcile.repository_gather import Gatherer
from backstay.reconcile.repository_outcome import write_outcome
from backstay.steps.agent_jobs import OURS, AgentJobs, Work
from backstay.steps.repositories import mover_of, repository_status
from backstay.steps.status import report_trouble, reporting, write_status

CHORES: Final[tuple[Chore, ...]] = (Opening(), Listing(), Maintaining())
"""What is done with a repository, the most urgent first."""


class RepositoryReconciler:
    """Carries one BackupRepository a step further at each call."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        jobs: AgentJobs,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._enqueue = enqueue
        self._jobs = jobs
        self._gatherer = Gatherer(client, clock, jobs)

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a repository's key, do what is due, and write what is known of it."""
        obj = await self._client.find(BACKUP_REPOSITORY, key.name, key.namespace)
        if obj is None or dig(obj, "metadata", "deletionTimestamp"):
            return None  # Its Jobs and its cache go with it; what is stored stays.
        try:
            seen = await self._gatherer.gather(obj)
            if seen.spec.cache.storage_class_name is not None:
                await self._make_cache(obj, seen)
        except (UserError, Refused) as error:
            # A right that is missing, or the claim of the cache that is refused: a person mends it.
            await self._report_held_up(obj, error)
            raise
        return await self._advance(obj, seen)

    async def _advance(self, obj: Obj, seen: Seen) -> timedelta:
        plan = work.plan(seen, CHORES)
        # First: a status that has no Job any more has nobody who would write this.
        what = f"repository {seen.namespace}/{seen.name}"
        await write_outcome(self._client, plan.outcome, self._enqueue, what)
        # Before the Job: who dies in between makes the very Job that is written here. And before it
        # is deleted: what it said would be lost.
        written = await write_status(self._client, BACKUP_REPOSITORY, obj, plan.status)
        await self._report(obj, seen.status, plan.status)
        if plan.forget:
            await self._jobs.delete(seen.namespace, plan.forget)
        if (chore := plan.start) is not None:
            begun = replace(seen, status=plan.status)
            # A quota of Jobs, or a rule of the cluster, may refuse it.
            show = partial(chore.waits, begun)
            async with reporting(self._client, BACKUP_REPOSITORY, written, show):
                await self._start(written, begun, chore)
        return plan.after

    async def _make_cache(self, obj: Obj, seen: Seen) -> None:
        """Make the claim of the cache before any Job waits for it. Raise what the server says."""
        claim = cache_claim(obj, seen.spec)
        if await self._client.find(PERSISTENT_VOLUME_CLAIM, objects.name(claim), seen.namespace):
            return
        try:
            await self._client.create(PERSISTENT_VOLUME_CLAIM, claim)
        except AlreadyExists:
            return
        except Busy:
            raise
        except Transient as error:
            # A full quota: said, since no Job comes that would wait for it where people look.
            raise Refused(error.message) from error

    async def _start(self, obj: Obj, seen: Seen, chore: Chore) -> None:
        """Make the Job that the status names now."""
        maintenance = chore.task is Task.MAINTAIN
        mover = await mover_of(self._client, obj, maintenance=maintenance, own_cache=True)
        await self._jobs.start(
            Work(
                name=seen.status.job or "",
                namespace=seen.namespace,
                token=work.token(seen),
                node=None,
                steps=[chore.step(seen)],
                mounts=(),
                deadline=chore.deadline,
                labels={**OURS, labels.REPOSITORY_TASK: chore.task.value},
                mover=mover,
                owner=obj,
            )
        )

    async def _report_held_up(self, obj: Obj, error: UserError | Refused) -> None:
        """Say in Ready what keeps us from finding out whether it can be used."""
        old = repository_status(obj)
        conditions = with_condition(
            old.conditions,
            type=READY,
            ok=False,
            reason=error.reason if isinstance(error, UserError) else FORBIDDEN,
            message=error.message,
            generation=int(dig(obj, "metadata", "generation", default=0)),
            now=self._clock.now(),
        )
        new = changed(old, conditions=conditions)
        await report_trouble(self._client, BACKUP_REPOSITORY, obj, new)
        await self._report(obj, old, new)

    async def _report(self, obj: Obj, old: RepositoryStatus, new: RepositoryStatus) -> None:
        """One Event when Ready changes its reason."""
        before, now = ready_of(old), ready_of(new)
        if now is None or (before is not None and before.reason == now.reason):
            return
        await self._events.post(
            obj,
            now.reason,
            now.message,
            type="Warning" if now.status == "False" or now.reason in NOT_LOOKED else "Normal",
            # Its status may stay what it is while the reason comes and goes.
            attempt=f"{new.jobs}.{format_time(now.last_transition_time)}",
        )
