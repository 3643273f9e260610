"""Carry out what a pass has decided of the records of finished runs: show it, or remove them.

Invariant: a record that is to be shown and to go is shown first and deleted as what it became, so
that its last point is seen to be gone however many passes it took, and no write is known to lose.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from backstay.api.backup import BackupStatus
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP
from backstay.steps.batch import Work
from backstay.steps.status import write_status

log = logging.getLogger(__name__)


async def show(
    client: Client, work: Work, shown: Iterable[tuple[Run, BackupStatus]]
) -> dict[str, Obj]:
    """Given finished Backups with what they are to show, write that as items of `work`; return by
    uid those that it was written to, as stored.
    """
    stored: dict[str, Obj] = {}

    async def write(run: Run, status: BackupStatus) -> bool:
        stored[run.uid] = await write_status(client, BACKUP, run.obj, status)
        return False

    await work.do(*((run.name, partial(write, run, status)) for run, status in shown))
    return stored


async def remove(
    client: Client,
    work: Work,
    removable: Sequence[Run],
    stored: Mapping[str, Obj],
    may_go: Callable[[Run], Awaitable[bool]],
) -> None:
    """Given finished Backups that are to be removed, those that were written to meanwhile, and what
    has the last word on each, remove them as items of `work`.
    """

    async def delete(run: Run) -> bool:
        # Just before it is deleted: it reads what the plan could not know.
        if await may_go(run):
            # As what showing made of it: with the version that was read, we would lose to our own
            # write.
            version = objects.version(stored.get(run.uid, run.obj))
            await client.delete(
                BACKUP, run.name, run.namespace, uid=run.uid, resource_version=version
            )
            log.info("record %s removed: its last point is gone", run.name)
        return False

    await work.do(*((run.name, partial(delete, run)) for run in removable))
