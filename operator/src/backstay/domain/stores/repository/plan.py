"""Points in a repository as a store: see `domain.stores.base.StorePlan`."""

from __future__ import annotations

from backstay.api.plan import RunPlan
from backstay.api.repository_store import Repository
from backstay.api.store import REPOSITORY
from backstay.domain.retention.findings import Looked
from backstay.domain.run.values import StoreAction
from backstay.domain.stores.made_by_jobs import MadeByJobs
from backstay.domain.stores.repository import upkeep
from backstay.domain.stores.repository.actions import CancelUpload, StartUpload
from backstay.domain.stores.repository.conditions import CONDITIONS
from backstay.domain.stores.repository.seen import concerns, seen_of
from backstay.domain.upkeep import Seen as PassSeen


class RepositoryPlan(MadeByJobs):
    """What a run and a retention pass do for points in a repository."""

    name = REPOSITORY
    conditions = CONDITIONS

    def settings(self, plan: RunPlan) -> Repository | None:
        """Return how the uploads of a plan are made."""
        return plan.repository.settings if plan.repository else None

    def start(self, source: str) -> StoreAction:
        """Return what uploads a source."""
        return StartUpload(source)

    def cancel(self, source: str) -> StoreAction:
        """Return what ends the upload of a source."""
        return CancelUpload(source)

    def look(self, seen: PassSeen) -> Looked | None:
        """Judge each point, and have what goes shown as Swept: maintenance forgets it."""
        if not concerns(seen):
            return None
        mine = seen_of(seen)
        looked = upkeep.look(mine)
        return Looked(looked.findings, mine.rules, looked.items)


UPLOADS = RepositoryPlan()
"""It remembers nothing: there is no need for a second one."""
