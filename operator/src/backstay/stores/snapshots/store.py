"""Snapshots as a store: see `stores.base.Store`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from backstay.api.plan import RunPlan
from backstay.domain import labels
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.values import Seen, StoreAction
from backstay.domain.stores.snapshots.actions import (
    CreateSnapshot,
    LabelContent,
    MarkFailed,
    MarkGood,
)
from backstay.domain.stores.snapshots.plan import SnapshotPlan
from backstay.domain.stores.snapshots.sights import sight_of
from backstay.kube import resources
from backstay.steps.access import Right
from backstay.stores.base import Draft, Tools
from backstay.stores.snapshots import planning
from backstay.stores.snapshots.look import SnapshotLooker
from backstay.stores.snapshots.objects import label_content
from backstay.stores.snapshots.restore import SnapshotRestores
from backstay.stores.snapshots.take import PointWriter
from backstay.stores.snapshots.upkeep import SnapshotKeeper


class SnapshotStore:
    """CSI snapshots of claims."""

    def __init__(self, tools: Tools) -> None:
        self.plan = SnapshotPlan()
        self.keeper = SnapshotKeeper(tools.client, tools.clock, tools.events)
        self.restores = SnapshotRestores(tools.client, tools.clock, tools.jobs.image)
        self._client = tools.client
        self._looker = SnapshotLooker(tools.client, tools.dumping)
        self._points = PointWriter(tools.client)

    async def extend(self, draft: Draft) -> RunPlan:
        """Return the plan with a snapshot of each claim, if the policy asks for snapshots."""
        return await planning.extend(self._client, draft)

    def rights(self, namespace: str, plan: RunPlan) -> Iterable[Right]:
        """Return the rights to take snapshots and to label their contents."""
        # Only planned snapshots need rights: a policy of copies must not ask for them.
        if any(claim.class_name for claim in plan.claims):
            yield Right("create", resources.VOLUME_SNAPSHOT, namespace)
            yield Right("patch", resources.VOLUME_SNAPSHOT, namespace)
            yield Right("patch", resources.VOLUME_SNAPSHOT_CONTENT)

    async def look(self, run: Run, now: datetime) -> object:
        """Return the Sight of the snapshots of a run."""
        return await self._looker.look(run, now)

    async def act(self, run: Run, seen: Seen, action: StoreAction) -> None:
        """Ask for a snapshot, or write onto it and its content; raise Conflict if they changed."""
        # What the decision rests on, and no look of its own: each patch tests that version.
        pairs = sight_of(seen).pairs
        match action:
            case CreateSnapshot():
                await self._points.create(run.obj, run.spec, run.status, action)
            case LabelContent(claim):
                await label_content(self._client, pairs[claim], labels.Result.PENDING)
            case MarkGood(claim):
                await self._points.mark_good(run.spec, run.status, pairs[claim], seen.now)
            case MarkFailed(snapshot):
                # By name: an attempt may end without a look at what it has made.
                await self._points.mark_failed(run.namespace, snapshot, run.uid)

    def forget(self, uid: str) -> None:
        """Forget the run of this uid, which is over."""
        self._looker.forget(uid)
