"""Rolling copies as a store of runs: see `values.RunStore`."""

from __future__ import annotations

from datetime import datetime

from backstay.api.backup import BackupStatus
from backstay.api.store import ROLLING
from backstay.domain.run.values import Action, Decision, Seen
from backstay.domain.stores.copies import take


class CopyPlan:
    """What a run does for its rolling copies."""

    name = ROLLING
    instant = False

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
