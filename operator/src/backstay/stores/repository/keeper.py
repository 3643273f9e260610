"""What a retention pass has decided on points in repositories: maintenance carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backstay.api.point import PointResult
from backstay.api.store import REPOSITORY
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.findings import Item
from backstay.domain.stores.repository.forgetting import Removal
from backstay.domain.stores.repository.kept import FORGOTTEN


class RepositoryKeeper:
    """Has the repository maintained in which something is to be forgotten."""

    def __init__(self, wake: Callable[[str, str], None]) -> None:
        self._wake = wake

    async def report(self, policy: Obj | None, items: Sequence[Item], /) -> None:
        """Nothing besides what conditions and Backups say."""

    async def carry_out(self, item: Item, /) -> bool:
        """Wake the repository: the announcement is written by now."""
        if isinstance(item, Removal):
            self._wake(item.namespace, item.repository)
        return False

    async def is_gone(self, run: Run, /) -> bool:
        """Return whether a list has shown none of its points, each of which was given up. No list
        is made for it: what retention removes is listed by the Job that removed it.
        """
        # Not in use any more is not enough: what no list has proved gone would have no Backup.
        return all(
            p.gone in FORGOTTEN and p.stored is not None and p.stored.missing
            for p in run.status.points
            if p.store == REPOSITORY and p.result is PointResult.GOOD
        )
