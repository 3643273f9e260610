"""Write on Backups what a Job of a repository has found or done.

Invariant: writing it twice is writing it once, so it is done before the Job's end is noted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from backstay.api.backup import BackupStatus
from backstay.domain import objects
from backstay.domain.errors import AlreadyExists, Refused
from backstay.domain.objects import Obj, dig
from backstay.domain.records import rebuild
from backstay.domain.stores.repository.work import Outcome
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys
from backstay.steps.batch import Work
from backstay.steps.status import write_status

log = logging.getLogger(__name__)


async def write_outcome(
    client: Client, outcome: Outcome, enqueue: Callable[[Key], None], what: str
) -> None:
    """Given what Backups are to show, how keys are enqueued, and of what it is, write it.

    Raise Transient or Conflict if not all of it could be written: the next look does it again.
    """
    work = Work(client)
    for run, _ in outcome.shown:
        log.info("record %s/%s: its points in %s changed", run.namespace, run.name, what)
        enqueue(keys.retention(run.namespace, run.spec.policy))
        enqueue(keys.policy(run.namespace, run.spec.policy))
    await work.do(
        *((run.name, partial(_show, client, run.obj, status)) for run, status in outcome.shown),
        *(
            (objects.name(body), partial(_import, client, body, status))
            for body, status in outcome.imports
        ),
    )
    for namespace, policy in {_policy(body) for body, _ in outcome.imports}:
        enqueue(keys.retention(namespace, policy))
        enqueue(keys.policy(namespace, policy))
    if outcome.imports:
        log.info("%d records made from %s", len(outcome.imports), what)
    work.raise_failures(what)


async def _show(client: Client, obj: Obj, status: BackupStatus) -> bool:
    await write_status(client, BACKUP, obj, status)
    return False


async def _import(client: Client, body: Obj, status: BackupStatus) -> bool:
    """Make a Backup, or end what a process that died has begun. Raise Conflict if its name was
    taken meanwhile: the next look finds another.
    """
    name, (namespace, policy) = objects.name(body), _policy(body)
    try:
        stored = await client.create(BACKUP, body)
    except AlreadyExists:
        stored = await client.get(BACKUP, name, namespace)
        if not rebuild.is_begun(stored, policy):
            raise
    except Refused as error:
        # Of one record; the others must not wait for it.
        log.warning("record %s/%s is not made: %s", namespace, name, error.message)
        return False
    await write_status(client, BACKUP, stored, status)
    return False


def _policy(body: Obj) -> tuple[str, str]:
    return objects.namespace(body), str(dig(body, "spec", "policy", default=""))
