"""The part of `kubectl backstay backup` that asks a cluster."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from backstay.api.backup import BackupPhase
from backstay.api.common import format_time
from backstay.cli.online import with_client
from backstay.cli.options import Target
from backstay.domain import labels, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import Conflict, DataError, NotFound, Transient
from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, BACKUP_POLICY

POLL_SECONDS: Final = 1.0
PATIENCE: Final = timedelta(minutes=2)
"""Until an operator that runs has seen what it is asked for."""
TRIES: Final = 5
Say = Callable[[str], None]


def backup(target: Target, policy: str, limit: timedelta | None, say: Say) -> None:
    """Given a cluster, a policy, how long to wait for its run (None: not at all) and where to say
    what goes on, have the policy run.

    Raise NotFound if there is no such policy, Transient if nobody does it or it takes longer, and
    DataError if the run is not Completed.
    """

    async def ask(client: Client, namespace: str) -> None:
        clock = SystemClock()
        token = f"{format_time(clock.now())} {secrets.token_hex(4)}"
        await _annotate(client, namespace, policy, token)
        name = await _made(client, clock, (namespace, policy), token)
        say(f"backup {name} created")
        if limit is not None:
            await _ended(client, clock, (namespace, name), limit, say)

    asyncio.run(with_client(target, ask))


async def _annotate(client: Client, namespace: str, policy: str, token: str) -> None:
    for left in reversed(range(TRIES)):
        found = await client.find(BACKUP_POLICY, policy, namespace)
        if found is None:
            raise NotFound(f"there is no BackupPolicy {namespace}/{policy}")
        version = {"resourceVersion": objects.version(found)}
        patch = {"metadata": {**version, "annotations": {labels.RUN: token}}}
        try:
            await client.patch(BACKUP_POLICY, policy, namespace, patch)
        except Conflict:
            # The operator writes its status now and then: read again.
            if not left:
                raise
            continue
        return


async def _made(client: Client, clock: Clock, place: tuple[str, str], token: str) -> str:
    """The Backup that was made for what was asked."""
    end = clock.monotonic() + PATIENCE.total_seconds()
    while clock.monotonic() < end:
        found = await client.get(BACKUP_POLICY, place[1], place[0])
        if dig(found, "status", "manual", "token") == token:
            return str(dig(found, "status", "manual", "backup"))
        await clock.sleep(POLL_SECONDS)
    raise Transient(
        f"no Backup was made for BackupPolicy {place[0]}/{place[1]} within {PATIENCE}: does the "
        "operator run?"
    )


async def _ended(
    client: Client, clock: Clock, place: tuple[str, str], limit: timedelta, say: Say
) -> None:
    """Say each phase of a run until its end."""
    end, shown = clock.monotonic() + limit.total_seconds(), ""
    while clock.monotonic() < end:
        found = await client.find(BACKUP, place[1], place[0])
        if found is None:
            raise NotFound(f"Backup {place[0]}/{place[1]} was deleted")
        phase, words = _phase(found), _words(found)
        if words != shown:
            shown = words
            say(words)
        if phase.final:
            if phase is not BackupPhase.COMPLETED:
                raise DataError(f"Backup {place[0]}/{place[1]} is {phase}")
            return
        await clock.sleep(POLL_SECONDS)
    raise Transient(f"Backup {place[0]}/{place[1]} is not over within {limit}; it goes on")


def _phase(found: Obj) -> BackupPhase:
    return BackupPhase(dig(found, "status", "phase", default=BackupPhase.PENDING.value))


def _words(found: Obj) -> str:
    message = dig(found, "status", "message", default="")
    return f"{_phase(found)}: {message}" if message else f"{_phase(found)}"
