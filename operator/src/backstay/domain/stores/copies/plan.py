"""Rolling copies as a store: see `domain.stores.base.StorePlan`."""

from __future__ import annotations

from backstay.api.plan import RunPlan
from backstay.api.rolling import Rolling
from backstay.api.store import ROLLING
from backstay.domain.retention.findings import Looked
from backstay.domain.run.values import StoreAction
from backstay.domain.stores.copies import upkeep
from backstay.domain.stores.copies.actions import CancelCopy, StartCopy
from backstay.domain.stores.copies.conditions import CONDITIONS
from backstay.domain.stores.copies.seen import concerns, seen_of
from backstay.domain.stores.made_by_jobs import MadeByJobs
from backstay.domain.upkeep import Seen as PassSeen


class CopyPlan(MadeByJobs):
    """What a run and a retention pass do for rolling copies."""

    name = ROLLING
    conditions = CONDITIONS

    def settings(self, plan: RunPlan) -> Rolling | None:
        """Return how the copies of a plan are made."""
        return plan.rolling.settings if plan.rolling else None

    def start(self, source: str) -> StoreAction:
        """Return what makes the copy of a series."""
        return StartCopy(source)

    def cancel(self, source: str) -> StoreAction:
        """Return what ends the copy of a series."""
        return CancelCopy(source)

    def look(self, seen: PassSeen) -> Looked | None:
        """Judge each copy. What is to be done with them is done by Jobs (reconcile/copies.py)."""
        if not concerns(seen):
            return None
        mine = seen_of(seen)
        return Looked(upkeep.look(mine).findings, mine.rules)


COPIES = CopyPlan()
"""It remembers nothing: there is no need for a second one."""
