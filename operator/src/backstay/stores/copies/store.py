"""Rolling copies as a store: see `stores.base.Store`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from backstay.api.plan import RunPlan
from backstay.api.store import ROLLING
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.values import Seen, StoreAction
from backstay.domain.stores.copies.actions import CancelCopy, StartCopy
from backstay.domain.stores.copies.plan import COPIES
from backstay.domain.stores.making import Making
from backstay.kube import resources
from backstay.steps.access import Right
from backstay.stores.base import Draft, Tools
from backstay.stores.copies import planning
from backstay.stores.copies.restore import CopyRestores
from backstay.stores.copies.take import Copying


class CopyStore:
    """Hard-link copies of directories, made by Jobs."""

    def __init__(self, tools: Tools) -> None:
        self.plan = COPIES
        self.keeper = None
        self._client = tools.client
        self._copying = Copying(tools.client, tools.jobs, tools.roots, tools.home)
        self.restores = CopyRestores(
            tools.client,
            tools.clock,
            jobs=tools.jobs,
            copying=self._copying,
            wake_pass=tools.wake_pass,
        )

    async def extend(self, draft: Draft) -> RunPlan:
        """Return the plan with a copy of each directory, if the policy asks for copies."""
        return await planning.extend(self._client, self._copying, draft)

    def rights(self, namespace: str, plan: RunPlan) -> Iterable[Right]:
        """Return the rights to make Jobs, and to read what they have said."""
        if plan.rolling is None:
            return
        on_node = any(copy.node is not None for copy in plan.rolling.copies)
        jobs_in = self._copying.home if on_node else namespace
        yield Right("create", resources.JOB, jobs_in)
        yield Right("get", resources.POD, jobs_in, "log")
        if plan.rolling.settings.reads_temporary:
            yield Right("create", resources.PERSISTENT_VOLUME_CLAIM, namespace)
            yield Right("delete", resources.PERSISTENT_VOLUME_CLAIM, namespace)
            yield Right("list", resources.STORAGE_CLASS)

    async def look(self, run: Run, _: datetime, /) -> object:
        """Return the Making of the copy that is next or under way."""
        return await self._copying.look(run.obj, run.spec, run.status)

    async def act(self, run: Run, seen: Seen, action: StoreAction, /) -> None:
        """Make the Job of a copy and the claim that it reads, or delete the Job."""
        match action:
            case StartCopy(series):
                sight = seen.sights.get(ROLLING)
                temporary = sight.temporary if isinstance(sight, Making) else None
                await self._copying.start(run.obj, run.spec, run.status, series, temporary)
            case CancelCopy(series):
                await self._copying.cancel(run.obj, run.spec, run.status, series)

    def forget(self, _: str, /) -> None:
        """Nothing is remembered of runs."""
