"""Read what the next step for a BackupRepository rests on.

Invariant: RestoreRequests are read after the Backups whose points they use, and who is at work
after the intent that keeps others from starting.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.domain import labels, naming, objects
from backstay.domain.clock import Clock
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.stores.repository import work
from backstay.domain.stores.repository.locks import hosts_alive
from backstay.domain.stores.repository.use import Task, has_ended, is_mover
from backstay.domain.stores.repository.users import users_of
from backstay.domain.stores.repository.work import Seen
from backstay.domain.subject import parse_subject
from backstay.domain.times import parse_time
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, NAMESPACE, POD, RESTORE_REQUEST
from backstay.reconcile.gathering import UNFINISHED
from backstay.steps.agent_jobs import AgentJobs
from backstay.steps.repositories import jobs_of, repository_spec, repository_status

_ASKED: Final = {
    "list": labels.ASK_LIST,
    "check": labels.ASK_CHECK,
    "prune": labels.ASK_PRUNE,
    "rebuild": labels.REBUILD,
}


class Gatherer:
    """Reads one BackupRepository's world."""

    def __init__(self, client: Client, clock: Clock, jobs: AgentJobs) -> None:
        self._client = client
        self._clock = clock
        self._jobs = jobs

    async def gather(self, obj: Obj) -> Seen:
        """Given a BackupRepository as read, return all that its next step rests on.

        Raise UserError or DataError where it, or a Backup, cannot be read.
        """
        seen = self._first(obj)
        if seen.status.job is not None:
            seen = await self._with_job(seen, seen.status.job)
            if seen.job.exists and not seen.job.finished:
                return seen  # It goes on, whatever else there is.
        seen = await self._with_runs(seen)
        seen = await self._with_movers(seen)
        # Last: what clocks say comes with the answers.
        return replace(seen, clock=self._client.clock_brake(), now=self._clock.now())

    def _first(self, obj: Obj) -> Seen:
        notes = objects.annotations(obj)
        return Seen(
            name=objects.name(obj),
            namespace=objects.namespace(obj),
            uid=objects.uid(obj),
            generation=int(dig(obj, "metadata", "generation", default=0)),
            spec=repository_spec(obj),
            status=repository_status(obj),
            now=self._clock.now(),
            created=_created(obj),
            asked={what: notes[key][:253] for what, key in _ASKED.items() if key in notes},
        )

    async def _with_job(self, seen: Seen, name: str) -> Seen:
        job = await self._jobs.look(seen.namespace, name, work.token(seen))
        if not (job.finished and job.ours):
            return replace(seen, job=job)
        result = await self._jobs.result(seen.namespace, job)
        if seen.status.work == Task.OPEN:
            return replace(seen, job=job, result=result)  # It says all in its answer.
        lines = await self._jobs.lines(seen.namespace, job)
        return replace(seen, job=job, result=result, lines=lines or ())

    async def _with_runs(self, seen: Seen) -> Seen:
        backups = await self._client.list(BACKUP, seen.namespace)
        if seen.status.work != Task.LIST:
            # Only a list asks which Backups there are at all.
            backups = [b for b in backups if _is_in(b, seen.name)]
        else:
            home = await self._client.find_metadata(NAMESPACE, seen.namespace)
            seen = replace(seen, namespace_uid=objects.uid(home or {}))
        runs = await asyncio.to_thread(_parsed, backups)
        requests = await self._client.list(RESTORE_REQUEST, seen.namespace, fields=UNFINISHED)
        return replace(seen, runs=runs, users=users_of(requests))

    async def _with_movers(self, seen: Seen) -> Seen:
        jobs = await jobs_of(self._client, seen.namespace, seen.name)
        movers = any(is_mover(j) and not has_ended(j) for j in jobs)
        if not seen.status.locks:
            return replace(seen, movers=movers)
        selector = f"{labels.REPOSITORY}={naming.label_value(seen.name)}"
        pods = await self._client.list(POD, seen.namespace, labels=selector)
        return replace(seen, movers=movers, alive=hosts_alive(pods))


def _parsed(backups: list[Obj]) -> list[Run]:
    return [parse_subject(BACKUP.kind, obj, BackupSpec, BackupStatus) for obj in backups]


def _is_in(backup: Obj, repository: str) -> bool:
    points = dig(backup, "status", "points", default=())
    return any(dig(p, "stored", "repository") == repository for p in points)


def _created(obj: Obj) -> datetime | None:
    made = dig(obj, "metadata", "creationTimestamp")
    return parse_time(made) if made else None
