"""Rolling copies as a store: see `domain.stores.base.StorePlan`."""

from __future__ import annotations

from datetime import datetime

from backstay.api.backup import BackupStatus
from backstay.api.store import ROLLING
from backstay.domain.retention.findings import Looked
from backstay.domain.run.values import Action, Decision, Seen
from backstay.domain.stores.copies import take, upkeep
from backstay.domain.stores.copies.conditions import CONDITIONS
from backstay.domain.stores.copies.seen import concerns, seen_of
from backstay.domain.upkeep import Seen as PassSeen


class CopyPlan:
    """What a run and a retention pass do for rolling copies."""

    name = ROLLING
    instant = False
    conditions = CONDITIONS

    def begin(self, _: Seen, status: BackupStatus, /) -> BackupStatus:
        """Write down each copy whose dumps and hooks have passed."""
        return take.begin(status)

    def judge(self, status: BackupStatus) -> BackupStatus:
        """Leave all as it is: copies are begun when the hooks are over."""
        return status

    def follow(self, seen: Seen) -> Decision:
        """Take the copy of now a step further: one Job after the other."""
        return take.follow(seen)

    def give_up(self, status: BackupStatus, why: str) -> BackupStatus:
        """Fail the copy of now; the next one is tried."""
        return take.give_up(status, why)

    def deadlines(self, status: BackupStatus) -> tuple[datetime, ...]:
        """Return when the copy of now is given up: not started, or not ended."""
        return take.copy_deadlines(status)

    def clean_up(self, _: BackupStatus, /) -> tuple[Action, ...]:
        """Nothing: the agent leaves nothing of a copy that failed, and temporary claims are removed
        by the pass over what is left (reconcile/leftovers.py).
        """
        return ()

    def look(self, seen: PassSeen) -> Looked | None:
        """Judge each copy. What is to be done with them is done by Jobs (reconcile/copies.py)."""
        if not concerns(seen):
            return None
        mine = seen_of(seen)
        return Looked(upkeep.look(mine).findings, mine.rules)
