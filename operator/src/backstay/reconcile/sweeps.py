"""Finish sweeps: contents whose snapshot our sweep took, with the disks behind them.

One key for the whole cluster, because whether another content has the same disk can only be seen
by looking at all contents: one paged LIST does for however many sweeps are under way.

Invariants: a content is finished only if it carries the proof that a sweep deleted the very
snapshot that it refers to, and that snapshot was asked for by name and is gone; every write is
tested against what was read; one content that fails never blocks the next.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias

from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.content import content_of
from backstay.domain.stores.snapshots.deletion import Content, plan_sweep
from backstay.domain.stores.snapshots.upkeep import is_leaving, poll_after
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from backstay.steps.batch import Work
from backstay.stores.snapshots.deletion import write_step

AT_ONCE: Final = 256
"""Contents that are finished on one look at all, so that the look does not get old."""


Disks: TypeAlias = defaultdict[str, list[Content]]


class SweepReconciler:
    """Carries the sweeps of the whole cluster to their end."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given the key of all sweeps, finish what has lost its snapshot to a sweep."""
        leaving, disks = await self._look()
        # After the look: whether our clock is right is known from its answers.
        if self._client.clock_brake() is not None:
            return None  # The resync comes back to it.
        work = Work(self._client)
        waits: list[timedelta] = []
        for start in range(0, len(leaving), AT_ONCE):
            if start > 0:
                # Read again: a person may have bound another content to a disk meanwhile.
                _, disks = await self._look()
            await work.do(
                *(
                    (objects.name(c), partial(self._finish, c, disks, waits))
                    for c in leaving[start : start + AT_ONCE]
                )
            )
        work.raise_failures(key)
        return min(waits, default=None)

    async def _look(self) -> tuple[list[Obj], Disks]:
        """Contents that a sweep left, and all contents by the handle of their disk."""
        leaving: list[Obj] = []
        disks: Disks = defaultdict(list)
        async for page in self._client.pages(VOLUME_SNAPSHOT_CONTENT):
            for content in page:
                mine = content_of(content)
                # All of the cluster's, ours or not: what anybody refers to is not deleted.
                disks[mine.handle or ""].append(mine)
                if is_leaving(content):
                    leaving.append(content)
        return leaving, disks

    async def _finish(self, content: Obj, disks: Disks, waits: list[timedelta]) -> bool:
        ref = dig(content, "spec", "volumeSnapshotRef", default={})
        # By name, whatever a list has shown: a content is finished on this answer.
        snapshot = await self._client.find(VOLUME_SNAPSHOT, ref.get("name"), ref.get("namespace"))
        if snapshot is not None and objects.uid(snapshot) == ref.get("uid"):
            # Its policy's pass has it deleted; nobody else would see that it is gone at last.
            if deleted := dig(snapshot, "metadata", "deletionTimestamp"):
                waits.append(poll_after(deleted, self._clock.now()))
            return False
        left: Obj | None = content
        while left is not None:
            mine = content_of(left)
            action = plan_sweep(None, mine, disks[mine.handle or ""])
            # To Delete and the deletion in one go: the answer to a patch is as fresh as a read.
            left = await write_step(self._client, action, None)
        return False
