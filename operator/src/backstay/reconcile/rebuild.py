"""Recreate the records of a policy from its artifacts, when it is created or asks for it.

Invariants: contents are read before snapshots, and Backups last, so that a run under way is never
taken for gone; the request is taken off last, so a process that dies on the way is followed by
one that does the rest; a record that cannot be made is reported and keeps no other away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from backstay.api.common import changed, format_time
from backstay.builders.snapshot import metadata_patch
from backstay.domain import labels, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records import rebuild
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP, BACKUP_POLICY
from backstay.reconcile import keys
from backstay.steps.conditions import policy_status
from backstay.steps.record_import import import_record, point_at, size_of
from backstay.steps.status import write_status
from backstay.stores.snapshots.series import policy_contents, policy_snapshots

log = logging.getLogger(__name__)


class RebuildReconciler:
    """Brings back the records of one policy at each call that is asked for."""

    def __init__(
        self, client: Client, events: EventPoster, clock: Clock, enqueue: Callable[[Key], None]
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._enqueue = enqueue

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's rebuild key, make what is missing and acknowledge the request."""
        policy = await self._client.find(BACKUP_POLICY, key.name, key.namespace)
        if policy is None or dig(policy, "metadata", "deletionTimestamp"):
            return None
        if not rebuild.is_asked(policy):
            return None
        made, problems = 0, []
        for wanted in await self._missing(key.namespace, key.name):
            try:
                # The record first: an artifact that points at nothing has it looked for again.
                uid = await import_record(self._client, wanted)
            except (DataError, UserError) as error:
                log.warning("%s: record %s: %s", key, wanted.name, error.message)
                # It keeps no other record away, and is reported at the end.
                problems.append(error.message)
                continue
            for artifact in wanted.artifacts:
                await point_at(self._client, artifact, uid)
            made += 1
        await self._acknowledge(policy, made, problems)
        # What counts points counts them again; an idle rebuild wakes nobody.
        if made:
            self._enqueue(keys.policy(key.namespace, key.name))
            self._enqueue(keys.retention(key.namespace, key.name))
        return None

    async def _missing(self, namespace: str, name: str) -> list[rebuild.Import]:
        # The snapshots after the contents: one that is made in between only lacks its content. The
        # other way round its content would be taken for one that has outlived its snapshot.
        contents = await policy_contents(self._client, namespace, name)
        snapshots = await policy_snapshots(self._client, namespace, name)
        # Last: a run has its Backup before its artifacts, so whatever is above has its own here.
        backups = await self._client.list(BACKUP, namespace, fields=f"spec.policy={name}")
        # A record that was begun counts as none: who died before its status is followed here.
        living = [objects.uid(b) for b in backups if not rebuild.is_begun(b, name)]
        return rebuild.imports(namespace, name, rebuild.pair(snapshots, contents, size_of), living)

    async def _acknowledge(self, policy: Obj, made: int, problems: list[str]) -> None:
        now = self._clock.now()
        status = changed(policy_status(policy), rebuilt_at=now)
        # Before the request is taken off: the pass over rolling copies goes by this time as well.
        policy = await write_status(self._client, BACKUP_POLICY, policy, status)
        if made or problems:
            failed = f"; {len(problems)} could not be: {problems[0]}" if problems else ""
            await self._events.post(
                policy,
                "Rebuilt",
                f"{made} records were recreated from the artifacts{failed}",
                type="Warning" if problems else "Normal",
                attempt=format_time(now),
            )
        # Last, and on the version that was just written: a request that was made again since stays.
        if labels.REBUILD in objects.annotations(policy):
            await self._client.patch(
                BACKUP_POLICY,
                objects.name(policy),
                objects.namespace(policy),
                metadata_patch(policy, annotations={labels.REBUILD: None}),
            )
