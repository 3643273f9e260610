"""Whose turn it is to write to a target: see what others write to and read.

Invariant: whoever takes a turn looks and writes under `lock`, so no two take the same place at
once; a process that lost its Lease can write no more, so there is one lock in the cluster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from backstay.api.backup import FINAL_PHASES, BackupSpec, BackupStatus
from backstay.api.restore import RestoreSpec
from backstay.api.restore_status import FINAL_RESTORE_PHASES, RestoreItem, RestoreStatus
from backstay.domain import labels, objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.places import places_taken
from backstay.domain.restore.wishes import Request
from backstay.domain.run import concurrency
from backstay.domain.run.shared_places import Place, Taken, in_claim, in_the_way, places_of
from backstay.domain.subject import parse_subject
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, JOB, RESTORE_REQUEST
from backstay.steps.agent_jobs import OURS


class RestoreTurns:
    """Sees who is at work where. `home` is the operator's namespace."""

    def __init__(self, client: Client, home: str) -> None:
        self._client = client
        self._home = home
        self.lock = asyncio.Lock()
        self._looked_at = 0
        self._none_since: int | None = None

    async def others_at(self, request: Request, items: Sequence[RestoreItem]) -> str:
        """Given a request and its items whose turn would come, return who works on what they are
        restored into: other requests that have begun, Jobs of those that were deleted, runs that
        read there; "" if nobody does.
        """
        places = places_taken(request.namespace, items)
        own = request.namespace, objects.name(request.obj)
        taken = [one for one in await self.taken() if (one.namespace, one.name) != own]
        for obj in await self._client.list(BACKUP, fields=_not_in(FINAL_PHASES)):
            taken += _reads(obj)
        for more in (taken, await self._left_jobs(request.namespace, request.uid)):
            for place in places:
                if others := in_the_way(request.namespace, place, more):
                    return others
        return ""

    def note(self) -> None:
        """Note that a request under way is looked at, which comes before it does anything: until
        then nobody needs to be asked whether there are any.
        """
        self._looked_at += 1

    async def taken(self) -> list[Taken]:
        """Return where restores that are under way write, in all namespaces."""
        looked_at = self._looked_at
        if self._none_since == looked_at:
            return []
        objs = await self._client.list(RESTORE_REQUEST, fields=_not_in(FINAL_RESTORE_PHASES))
        self._none_since = None if objs else looked_at
        return [one for obj in objs for one in _writes(obj)]

    async def _left_jobs(self, namespace: str, uid: str) -> list[Taken]:
        """The Jobs of restores whose requests may be gone: they go on to their end."""
        found = []
        selector = ",".join(f"{key}={value}" for key, value in OURS.items())
        for place in dict.fromkeys((namespace, self._home)):
            for job in await self._client.list(JOB, place, labels=selector):
                notes = objects.annotations(job)
                into = notes.get(labels.RESTORES_INTO)
                if into is None or notes.get(labels.RUN) == uid or _is_over(job):
                    continue
                owner = objects.labels(job).get(labels.NAMESPACE, "")
                found.append(Taken("Job", owner, objects.name(job), Place(**json.loads(into))))
        return found


def _not_in(phases: frozenset[str]) -> str:
    return ",".join(sorted(f"status.phase!={phase}" for phase in phases))


def _writes(obj: Obj) -> list[Taken]:
    """Where a request under way writes: what others may use once its turn has come, and new claims
    from when it is created on, as they are of nobody else.
    """
    try:
        one = parse_subject("RestoreRequest", obj, RestoreSpec, RestoreStatus)
    except DataError:
        return []  # It is reported on the request, and does nothing.
    new = [c.to.new_claim for c in one.spec.claims if c.to.new_claim is not None]
    places = [in_claim(one.namespace, claim.name) for claim in new]
    begun = [item for item in one.status.items if item.started_at is not None]
    places += places_taken(one.namespace, begun)
    return [Taken("RestoreRequest", one.namespace, objects.name(obj), p) for p in places]


def _reads(obj: Obj) -> list[Taken]:
    """What a run reads, while it holds that."""
    try:
        run = parse_subject("Backup", obj, BackupSpec, BackupStatus)
    except DataError:
        return []
    if run.status.phase not in concurrency.HOLDING:
        return []
    places = places_of(run.namespace, run.status.plan)
    return [Taken("Backup", run.namespace, objects.name(obj), place) for place in places]


def _is_over(job: Obj) -> bool:
    ended = dig(job, "status", "conditions", default=[])
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in ended)
