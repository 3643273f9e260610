"""Look at everything: the keys of all work that there could be, for the resync.

One paged LIST per kind. Finished Backups and RestoreRequests are left to the server to skip;
policies that are gone are found by what their artifacts say.
"""

from __future__ import annotations

from collections.abc import Callable

from backstay.api.backup import FINAL_PHASES
from backstay.api.restore import FINAL_RESTORE_PHASES
from backstay.domain import labels, objects
from backstay.domain.carriers import identity
from backstay.domain.objects import dig
from backstay.domain.orphans import Census
from backstay.domain.rebuild import is_asked
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile import keys
from backstay.reconcile.orphans import count_orphans


class Everything:
    """Enqueues every key that may need work, and counts the orphans on the way."""

    def __init__(self, client: Client, enqueue: Callable[[Key], None]) -> None:
        self._client = client
        self._enqueue = enqueue

    async def look(self) -> None:
        """List all kinds and enqueue what they name. Raise what the reads raise."""
        found: set[Key] = set()
        census = Census()
        async for page in self._client.pages(BACKUP_POLICY):
            for obj in page:
                place = objects.namespace(obj), objects.name(obj)
                found |= {keys.policy(*place), keys.retention(*place)}
                found |= {keys.rebuild(*place)} if is_asked(obj) else set()
        async for page in self._client.pages(BACKUP, fields=keys.not_in(FINAL_PHASES)):
            found |= {keys.backup(objects.namespace(o), objects.name(o)) for o in page}
        unfinished = keys.not_in(FINAL_RESTORE_PHASES)
        async for page in self._client.pages(RESTORE_REQUEST, fields=unfinished):
            found |= {keys.restore(objects.namespace(o), objects.name(o)) for o in page}
        async for page in self._client.pages(VOLUME_SNAPSHOT, labels=labels.POLICY):
            for obj in page:
                census.see_snapshot(obj)
            found |= {
                keys.retention(objects.namespace(o), identity(o, labels.POLICY)) for o in page
            }
        async for page in self._client.pages(VOLUME_SNAPSHOT_CONTENT, labels=labels.POLICY):
            for obj in page:
                census.see_content(obj)
            found |= {
                keys.retention(
                    str(dig(o, "spec", "volumeSnapshotRef", "namespace", default="")),
                    identity(o, labels.POLICY),
                )
                for o in page
            }
        for key in sorted(found):
            self._enqueue(key)
        await count_orphans(self._client, census)
