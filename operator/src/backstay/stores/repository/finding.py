"""Find in a repository what a request is of: by a Job, as the operator reads no repository.

Invariant: the name of a Job is a function of the request and of what it asks for, so making it
again is finding it; what it said is read from it as long as it is there, and asked again after
that.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.builders.jobs import TRIES
from backstay.domain import labels, naming, objects
from backstay.domain.errors import Awaited, UserError
from backstay.domain.jobs import JobSeen
from backstay.domain.restore.acknowledgement import AGENT, Acknowledged
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.stores.repository import tasks
from backstay.domain.stores.repository.choice import Want
from backstay.domain.stores.repository.found import FoundSnapshot, parse_found
from backstay.domain.stores.repository.restore import (
    Asked,
    asked_again,
    asked_by_backup,
    asked_by_name,
    line_of,
    refusal_of,
)
from backstay.domain.stores.repository.use import NOT_READY
from backstay.kube.client import Client
from backstay.steps.agent_jobs import AgentJobs, Work
from backstay.steps.nodes import node_for
from backstay.steps.repositories import Usable, usable
from backstay.steps.restores import backup_of

DEADLINE: Final = timedelta(minutes=30)
"""A repository of many snapshots, and a server that is slow."""


class Finding:
    """Finds the snapshots of requests."""

    def __init__(self, client: Client, jobs: AgentJobs) -> None:
        self._client = client
        self._jobs = jobs

    async def asked(self, request: Request, wish: Wish) -> Asked:
        """Given a request and one of its wishes, return what it wants of which repository. Raise
        UserError if its Backup has no such point.
        """
        if (wanted := request.spec.from_.repository) is not None:
            return asked_by_name(request, wanted)
        backup = await backup_of(self._client, request)
        status = BackupStatus.model_validate(backup.get("status") or {})
        return asked_by_backup(request, objects.name(backup), status, wish)

    async def find(self, request: Request, wish: Wish, said: Acknowledged) -> FoundSnapshot:
        """Given a wish, return the snapshot that it is of. Raise UserError if there is none, and
        Awaited while a Job looks for it.
        """
        asked = await self.asked(request, wish)
        found = await self._answer(request, asked, said)
        return line_of(found, wish.source or "")

    async def again(self, part: Part) -> FoundSnapshot:
        """Given an item that was planned, return what was found of its snapshot: that very one,
        whatever is the newest now. Raise as `find` does.
        """
        request, said = part.request, Acknowledged(part.request.spec.acknowledge)
        asked = await self.asked(request, part.wish)
        if (await self._look(request, asked)).succeeded:
            found = line_of(await self._answer(request, asked, said), part.item.source)
            if found.snapshot == part.item.ref:
                return found
        # That Job is gone, and a new one could find another one.
        pinned = asked_again(part, asked.repository)
        return line_of(await self._answer(request, pinned, said), part.item.source)

    async def _answer(
        self, request: Request, asked: Asked, said: Acknowledged
    ) -> list[FoundSnapshot]:
        job = await self._look(request, asked)
        if not job.exists:
            await self._start(request, asked)
            raise Awaited(f"looks for it in BackupRepository {asked.repository}")
        if not job.ours:
            raise UserError(
                "JobExists",
                f"Job {job.name} was made by somebody else; delete it and create the request again",
            )
        if not job.finished:
            waits = f": {job.message}" if job.message else ""
            raise Awaited(f"looks for it in BackupRepository {asked.repository}{waits}")
        return await self._read(request, asked, job, said)

    async def _read(
        self, request: Request, asked: Asked, job: JobSeen, said: Acknowledged
    ) -> list[FoundSnapshot]:
        """What a finished Job has found."""
        result = await self._jobs.result(request.namespace, job)
        if result is not None and result.ok:
            lines = await self._jobs.lines(request.namespace, job)
            if lines is not None:
                used = result.raw.get("acknowledged")
                if isinstance(used, dict):
                    said.used.update({str(word): str(why) for word, why in used.items()})
                return parse_found(lines, result.number("found"))
        elif result is not None and (refusal := refusal_of(result)) is not None:
            raise refusal
        why = result.message if result is not None and not result.ok else job.message
        # Killed, busy or out of reach, or its log is lost: another Job, but not one a second.
        if job.old:
            await self._jobs.delete(request.namespace, job.name)
        raise Awaited(f"looks again in BackupRepository {asked.repository}: {why}".rstrip(": "))

    async def _look(self, request: Request, asked: Asked) -> JobSeen:
        return await self._jobs.look(request.namespace, _job_name(request, asked), request.uid)

    async def _start(self, request: Request, asked: Asked) -> None:
        # In spite of those who are at work: it only reads for a moment, and locks nothing.
        found = await ready(self._client, request, asked.repository, busy=True)
        kept_in = found.spec.claim
        node = await node_for(self._client, request.namespace, {kept_in.name if kept_in else ""})
        words = sorted(AGENT & {str(word) for word in request.spec.acknowledge})
        await self._jobs.start(
            Work(
                name=_job_name(request, asked),
                namespace=request.namespace,
                token=request.uid,
                node=node,
                steps=[tasks.find(found.spec, found.id, asked.wants, words)],
                mounts=(),
                deadline=DEADLINE,
                labels={labels.REPOSITORY_TASK: "Find"},
                tries=TRIES,
                mover=replace(found.mover, own_cache=True),
                owner=request.obj,
            )
        )


async def ready(client: Client, request: Request, repository: str, *, busy: bool = False) -> Usable:
    """Given a request and a repository, return that when a Job may start on it (busy: also while
    there are as many as may be). Raise Awaited until then, UserError if there is none.
    """
    try:
        found = await usable(client, request.namespace, repository, write=False)
    except UserError as error:
        if error.reason == NOT_READY:
            # It may be new, or be mended; what is wrong with it stands in the message.
            raise Awaited(error.message) from error
        field = "spec.from.repository.name" if request.spec.from_.repository else "spec.from.backup"
        raise UserError(
            error.reason, f"{field}: {error.message}; make it, then create the request again"
        ) from error
    if found.busy and not busy:
        raise Awaited(found.busy)
    return found


def _job_name(request: Request, asked: Asked) -> str:
    return naming.agent_job_name("find", request.name, request.uid, *map(_identity, asked.wants))


def _identity(want: Want) -> str:
    return repr(want)
