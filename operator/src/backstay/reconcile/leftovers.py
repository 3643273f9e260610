"""Remove what restores have left whose request was deleted on its way, and the temporary claims of
runs that are over.

Invariants: claims are read before the requests that they name, so one that is being made is never
taken for left; each is deleted by uid and resourceVersion, so what changed meanwhile stays. A Pod
that verifies has its request for owner, and needs none of this. One failure does not keep the
others.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.restore.leftovers import Fate, fate
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM, POD, RESTORE_REQUEST
from backstay.reconcile import keys
from backstay.steps.batch import Work
from backstay.stores.temporary import TemporaryClaims
from backstay.targets.new_claim import delete, hand_over

log = logging.getLogger(__name__)

STILL_READ: Final = timedelta(seconds=30)
"""Until the Pods of a Job that was given up have ended."""


class LeftoverReconciler:
    """Looks through the claims of all restores under way; few at any time."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def reconcile(self, _: Key) -> timedelta | None:
        """Make one pass; return when to look again, as something is in use for now.

        Raise Transient if something could not be removed.
        """
        work = Work(self._client)
        await TemporaryClaims(self._client).sweep(work)
        await self._remove_of_restores(work)
        work.raise_failures(keys.leftovers())
        return STILL_READ if work.follows else None

    async def _remove_of_restores(self, work: Work) -> None:
        claims = await self._client.list(PERSISTENT_VOLUME_CLAIM, labels=labels.RESTORING)
        if not claims:
            return
        requests = {objects.uid(r) for r in await self._client.list(RESTORE_REQUEST)}
        pods: dict[str, list[Obj]] = {}
        for claim in claims:
            namespace, name = objects.namespace(claim), objects.name(claim)
            if fate(claim, requests, ()) is Fate.KEEP:
                continue
            if namespace not in pods:
                pods[namespace] = await self._client.list(POD, namespace)
            what = fate(claim, requests, pods[namespace])
            await work.do((f"claim {namespace}/{name}", partial(self._carry_out, claim, what)))

    async def _carry_out(self, claim: Obj, what: Fate) -> bool:
        place = f"{objects.namespace(claim)}/{objects.name(claim)}"
        if what is Fate.DELETE:
            log.info("claim %s goes: its RestoreRequest was deleted before it was verified", place)
            await delete(self._client, claim)
        else:
            log.info("claim %s stays: its RestoreRequest is gone, but it is in use", place)
            await hand_over(self._client, claim)
        return False
