"""Plan the items of a RestoreRequest: from which store, which point, and where to."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.backup import BackupStatus
from backstay.api.point import PointStatus
from backstay.api.restore_status import RestoreItem, RestoreTarget
from backstay.domain.clock import Clock
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.choice import choose_store
from backstay.domain.restore.protocols import RestoreStore, Target
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.kube.client import Client
from backstay.steps.restores import backup_of


class ItemPlanner:
    """Finds out what the wishes of a request come to. Stores are in the order of preference."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        stores: Mapping[str, RestoreStore],
        targets: Mapping[RestoreTarget, Target],
    ) -> None:
        self._client = client
        self._clock = clock
        self._stores = stores
        self._targets = targets

    async def plan(
        self, request: Request, wish: Wish, said: Acknowledged
    ) -> tuple[RestoreItem, str | None]:
        """Given a wish, return its item and the Backup that its point is of, if that is known.

        Raise UserError, naming field and remedy, if it cannot be restored.
        """
        name = await self._store_for(request, wish)
        target = self._targets[wish.target]
        found = await self._stores[name].find(request, wish, said)
        spot = target.locate(wish, found)
        item = RestoreItem(
            source=found.source,
            store=name,
            ref=found.ref,
            uid=found.uid,
            target=wish.target,
            node=spot.node,
            claim=spot.claim,
            path=spot.path,
            into=spot.into,
            claimed_at=self._clock.now(),
        )
        # Last: what is asked of the target needs the item, and nothing is written yet.
        await target.check(Part(request, wish, item), said)
        return item, found.backup

    async def _store_for(self, request: Request, wish: Wish) -> str:
        wanted = request.spec.from_
        named = next((n for n, store in self._stores.items() if store.is_named(wanted)), None)
        points: tuple[PointStatus, ...] = ()
        if named is None:
            backup = await backup_of(self._client, request)
            points = BackupStatus.model_validate(backup.get("status") or {}).points
        fills = {
            n: store.fills if store.chooses_paths or not wish.paths else ()
            for n, store in self._stores.items()
        }
        return choose_store(wish, points, named or wanted.store, fills)
