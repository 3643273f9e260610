"""Carry out what a retention pass has decided on snapshots: see `stores.base.Keeper`.

Invariant: every write is tested against what was read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from backstay.api.store import SNAPSHOT
from backstay.builders.snapshot import metadata_patch
from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.findings import Item
from backstay.domain.stores.snapshots.content import Patch
from backstay.domain.stores.snapshots.upkeep import Item as SnapshotItem
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Resource
from backstay.stores.snapshots.deletion import carry_on

log = logging.getLogger(__name__)

_SHOWN: Final = 3
"""Names in a message: it has to stay readable."""


class SnapshotKeeper:
    """Labels and sweeps snapshots."""

    def __init__(self, client: Client, clock: Clock, events: EventPoster) -> None:
        self._client = client
        self._clock = clock
        self._events = events

    async def report(self, policy: Obj | None, items: Sequence[Item], /) -> None:
        """Report good points whose content somebody made Delete: they are made Retain again."""
        mine = (i for i in items if isinstance(i, SnapshotItem))
        contents = [i.content.obj for i in mine if i.content is not None and i.resets]
        exposed = sorted(map(objects.name, contents))
        if not exposed:
            return
        more = f" and {len(exposed) - _SHOWN} more" if len(exposed) > _SHOWN else ""
        message = (
            f"VolumeSnapshotContent {', '.join(exposed[:_SHOWN])}{more} of good points had "
            "deletionPolicy Delete, which is made Retain again: look for what sets it, such as "
            "another pruner"
        )
        log.warning("%s", message)
        if policy is not None:
            # Named after the versions that were read: a pass that is repeated posts the same Event,
            # and a content that is made Delete once more another one.
            versions = sorted(map(objects.version, contents))
            await self._events.post(
                policy, "DeletionPolicyReset", message, type="Warning", attempt=f"{versions}"
            )

    async def carry_out(self, item: Item, /) -> bool:
        """Write one item; return whether a sweep goes on."""
        if not isinstance(item, SnapshotItem):
            raise TypeError(f"{item.name} is no snapshot")
        if item.snapshot is not None:
            # The snapshot first: where it was edited meanwhile, the mirror must not be written.
            await self._patch(VOLUME_SNAPSHOT, item.snapshot)
        if item.content is not None:
            await self._patch(VOLUME_SNAPSHOT_CONTENT, item.content)
        if item.snapshot is not None or item.content is not None:
            log.info("%s: %s", item.point.name, "; ".join(item.reasons) or "mirrored")
        elif item.sweep is not None:
            # Never after a patch: its DELETE tests the version that was read, which is old by then.
            await carry_on(self._client, self._clock, item.sweep, item.point)
        return item.due

    async def _patch(self, resource: Resource, patch: Patch) -> None:
        await self._client.patch(
            resource,
            objects.name(patch.obj),
            objects.namespace(patch.obj) or None,
            metadata_patch(
                patch.obj, labels=patch.labels, annotations=patch.annotations, spec=patch.spec
            ),
        )

    async def is_gone(self, run: Run, /) -> bool:
        """Ask for each artifact that a record names by its name: a label taken off by hand must
        not look like a loss.
        """
        for point in run.status.points:
            if (
                point.store == SNAPSHOT
                and point.ref
                and await self._client.find(VOLUME_SNAPSHOT, point.ref, run.namespace)
            ):
                return False
            if point.content and await self._client.find(VOLUME_SNAPSHOT_CONTENT, point.content):
                return False
        return True
