"""Create the Backups of a policy: of a slot of its schedule, or that a person asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from backstay.api.backup import Trigger
from backstay.api.common import format_time
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import ManualRun
from backstay.domain import labels, naming, objects
from backstay.domain.calendar import load_zone
from backstay.domain.errors import AlreadyExists, DataError
from backstay.domain.objects import Obj, dig
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys, policy_gather

NOT_ASKED: Final = "RunNotAsked"
"""Reason of an Event: what asked for a run is none."""


class RunMaker:
    """Creates Backups, each by a name that who follows finds it by."""

    def __init__(self, client: Client, events: EventPoster, enqueue: Callable[[Key], None]) -> None:
        self._client = client
        self._events = events
        self._enqueue = enqueue

    async def scheduled(self, obj: Obj, spec: PolicySpec, slot: datetime, *, again: int) -> None:
        """Given a policy as read, create the slot's Backup, or find that it exists: a slot has one
        Backup, ever, and one more for each time that it has run before its time (`again`).
        """
        namespace, name = objects.namespace(obj), objects.name(obj)
        zone = load_zone(spec.schedule.time_zone if spec.schedule else "UTC")
        # By the slot alone, so that a process that follows makes the same one.
        names = naming.backup_names(name, slot, zone)
        if again:
            names = naming.backup_names_again(name, slot, zone, again)
        for candidate in names:
            body: Obj = {
                "metadata": {
                    "name": candidate,
                    "namespace": namespace,
                    "labels": {labels.POLICY: naming.label_value(name)},
                },
                "spec": {
                    "policy": name,
                    "trigger": Trigger.SCHEDULED.value,
                    "scheduledFor": format_time(slot),
                },
            }
            try:
                await self._client.create(BACKUP, body)
            except AlreadyExists:
                # By a process that died, or for another slot of this local time: its spec says.
                found = await self._client.get(BACKUP, candidate, namespace)
                if (
                    policy_gather.run_seen(found).slot != slot
                    or dig(found, "spec", "policy") != name
                ):
                    continue  # Another slot with the same local time: take the other name.
            # Also where it was there: whoever made it may have died before anybody looked at it.
            self._enqueue(keys.backup(namespace, candidate))
            return
        raise DataError(f"both names of the Backup for slot {format_time(slot)} are taken")

    async def asked(self, obj: Obj, asked: ManualRun) -> None:
        """Given a policy as read, create the Backup that a person asked for, or find that this was
        done. An Event says so where somebody else has one of its name.
        """
        namespace, name = objects.namespace(obj), objects.name(obj)
        body: Obj = {
            "metadata": {
                "name": asked.backup,
                "namespace": namespace,
                "labels": {labels.POLICY: naming.label_value(name)},
                "annotations": {labels.RUN: asked.token},
            },
            "spec": {"policy": name, "trigger": Trigger.AD_HOC.value},
        }
        try:
            await self._client.create(BACKUP, body)
        except AlreadyExists:
            found = await self._client.get(BACKUP, asked.backup, namespace)
            if objects.annotations(found).get(labels.RUN) != asked.token:
                why = f"Backup {asked.backup} was made by somebody else; choose another value"
                field = f"metadata.annotations[{labels.RUN}]"
                await self._events.post(
                    obj, NOT_ASKED, f"{field}: {why}", type="Warning", attempt=asked.token
                )
                return
        self._enqueue(keys.backup(namespace, asked.backup))
