"""The part of `kubectl backstay repository` that asks a cluster."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Any, Final

from backstay.api.common import format_time
from backstay.api.point import PointResult, PointStatus
from backstay.api.repository_status import RepositoryStatus
from backstay.cli.online import with_client
from backstay.cli.options import Target
from backstay.cli.shown_repository import Contents, ShownOthers, ShownPoint
from backstay.domain import labels
from backstay.domain.clock import Clock
from backstay.domain.errors import Conflict, DataError, NotFound, Transient
from backstay.domain.objects import Obj
from backstay.domain.run.status import format_size
from backstay.domain.stores.repository.use import CHECKED, MAINTAINED
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, BACKUP_REPOSITORY
from backstay.reconcile.runs import parse
from backstay.steps.repositories import repository_status

POLL_SECONDS: Final = 1.0
TRIES: Final = 5
LISTED: Final = "Listed"
_ASKED: Final = {"list": labels.ASK_LIST, "check": labels.ASK_CHECK, "prune": labels.ASK_PRUNE}
_SAYS: Final = {"list": LISTED, "check": CHECKED, "prune": MAINTAINED, "unlock": MAINTAINED}
"""The condition that says what came of it."""


def do(target: Target, name: str, what: str, limit: timedelta) -> str:
    """Given a cluster, a BackupRepository, what is to be done with it (check, prune, unlock) and
    how long to wait, have it done; return what came of it.

    Raise NotFound if there is no such repository, Transient if it takes longer, and DataError if it
    came to no good end.
    """

    async def ask(client: Client, namespace: str) -> str:
        status = await _done(client, (namespace, name), what, limit)
        return _words(status, what)

    return asyncio.run(with_client(target, ask))


def snapshots(target: Target, name: str, limit: timedelta) -> Contents:
    """Given a cluster, a BackupRepository and how long to wait, have it listed; return what is in
    it. Raise as `do` does.
    """

    async def ask(client: Client, namespace: str) -> Contents:
        status = await _done(client, (namespace, name), "list", limit)
        message = _words(status, "list")
        found = await client.list(BACKUP, namespace)
        points = [line for obj in found for line in _points(obj, name, status.id or "")]
        others = [
            ShownOthers(o.host, o.path, o.snapshots, o.newest[:8], format_time(o.taken))
            for o in status.others
        ]
        return Contents(sorted(points, key=lambda p: (p.source, p.taken)), others, message)

    return asyncio.run(with_client(target, ask))


def _points(obj: Obj, name: str, id: str) -> list[ShownPoint]:
    run = parse(obj)
    return [
        ShownPoint(
            snapshot=entry.ref or "",
            source=entry.source,
            taken=format_time(entry.taken_at) if entry.taken_at else "",
            size=format_size(entry.bytes or 0),
            backup=run.name,
            policy=run.spec.policy,
            until="missing" if _is_missing(entry) else entry.until or "",
        )
        for entry in run.status.points
        if entry.stored is not None and entry.result is PointResult.GOOD
        if (entry.stored.repository, entry.stored.id) == (name, id)
    ]


def _is_missing(entry: PointStatus) -> bool:
    return entry.stored is not None and entry.stored.missing


async def _done(
    client: Client, place: tuple[str, str], what: str, limit: timedelta
) -> RepositoryStatus:
    """The status once it was done, whatever came of it."""
    clock: Clock = SystemClock()
    token = f"{format_time(clock.now())} {secrets.token_hex(4)}"
    await _ask_for(client, place, what, token)
    end = clock.monotonic() + limit.total_seconds()
    status = RepositoryStatus()
    while clock.monotonic() < end:
        obj = await client.find(BACKUP_REPOSITORY, place[1], place[0])
        if obj is None:
            raise NotFound(f"BackupRepository {place[0]}/{place[1]} was deleted")
        status = repository_status(obj)
        if token in (status.obeyed.get(what), status.last_unlocked):
            return status
        await clock.sleep(POLL_SECONDS)
    ready = next((c for c in status.conditions if c.type == "Ready"), None)
    why = f"; Ready is {ready.status} ({ready.reason}: {ready.message})" if ready else ""
    raise Transient(
        f"{what} of BackupRepository {place[0]}/{place[1]} is not over within {limit}; it goes on"
        f"{why}"
    )


async def _ask_for(client: Client, place: tuple[str, str], what: str, token: str) -> None:
    body: dict[str, Any] = {"spec": {"unlock": token}}
    if what in _ASKED:
        body = {"metadata": {"annotations": {_ASKED[what]: token}}}
    for left in reversed(range(TRIES)):
        obj = await client.find(BACKUP_REPOSITORY, place[1], place[0])
        if obj is None:
            raise NotFound(f"there is no BackupRepository {place[0]}/{place[1]}")
        version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        patch = {**body, "metadata": {**body.get("metadata", {}), **version}}
        try:
            await client.patch(BACKUP_REPOSITORY, place[1], place[0], patch)
        except Conflict:
            # The operator writes its status now and then: read again.
            if not left:
                raise
            continue
        return


def _words(status: RepositoryStatus, what: str) -> str:
    """What the condition says. Raise DataError where it is no good end."""
    found = next((c for c in status.conditions if c.type == _SAYS[what]), None)
    if found is None:
        raise DataError(f"{what}: nothing is known of its end")
    if found.status != "True":
        raise DataError(f"{found.reason}: {found.message}")
    return found.message
