"""Points in a repository as a store: see `stores.base.Store`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from backstay.api.plan import RunPlan
from backstay.api.store import REPOSITORY
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.values import Seen, StoreAction
from backstay.domain.stores.making import Making
from backstay.domain.stores.repository.actions import CancelUpload, StartUpload
from backstay.domain.stores.repository.plan import UPLOADS
from backstay.kube import resources
from backstay.steps.access import Right
from backstay.stores.base import Draft, Tools
from backstay.stores.repository import planning
from backstay.stores.repository.keeper import RepositoryKeeper
from backstay.stores.repository.restore import RepositoryRestores
from backstay.stores.repository.take import Uploading


class RepositoryStore:
    """Copies of claims in a restic repository, uploaded by Jobs."""

    def __init__(self, tools: Tools) -> None:
        self.plan = UPLOADS
        self.keeper = RepositoryKeeper(tools.wake_repository)
        self.restores = RepositoryRestores(tools.client, tools.jobs)
        self._client = tools.client
        self._uploading = Uploading(tools.client, tools.jobs, tools.roots)

    async def extend(self, draft: Draft) -> RunPlan:
        """Return the plan with an upload of each claim, if the policy names a repository."""
        return await planning.extend(self._client, draft, self._uploading.roots)

    def rights(self, namespace: str, plan: RunPlan) -> Iterable[Right]:
        """Return the rights to make Jobs, to read what they have said, and to make what they
        read.
        """
        if plan.repository is None:
            return
        # All in the policy's namespace, also for a directory of a node: there the Secret is.
        yield Right("create", resources.JOB, namespace)
        yield Right("get", resources.POD, namespace, "log")
        if plan.repository.settings.reads_temporary:
            yield Right("create", resources.PERSISTENT_VOLUME_CLAIM, namespace)
            yield Right("delete", resources.PERSISTENT_VOLUME_CLAIM, namespace)
            yield Right("list", resources.STORAGE_CLASS)

    async def look(self, run: Run, now: datetime, /) -> object:
        """Return the Making of the upload that is next or under way."""
        return await self._uploading.look(run, now)

    async def act(self, run: Run, seen: Seen, action: StoreAction, /) -> None:
        """Make the Job of an upload and the claim that it reads, or delete the Job."""
        match action:
            case StartUpload(source):
                sight = seen.sights.get(REPOSITORY)
                temporary = sight.temporary if isinstance(sight, Making) else None
                await self._uploading.start(run, source, temporary)
            case CancelUpload(source):
                await self._uploading.cancel(run, source)

    def forget(self, _: str, /) -> None:
        """Nothing is remembered of runs."""
