"""Plan the rolling copies of a run: which directories, where to, on which node."""

from __future__ import annotations

from backstay.api.common import changed
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.rolling import CopyMethod, PlannedRolling
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.stores.copies.locations import source_of
from backstay.kube.client import Client
from backstay.stores.base import Draft
from backstay.stores.copies.claims import check_claims
from backstay.stores.copies.take import Copying


async def extend(client: Client, copying: Copying, draft: Draft) -> RunPlan:
    """Given a plan in the making, return it with a copy of each directory of the source, if the
    policy asks for rolling copies.

    Raise UserError, naming the field and the remedy, if one of them could not be made.
    """
    rolling, plan = draft.spec.rolling, draft.plan
    if rolling is None:
        return plan
    copies = draft.source.directories
    if draft.source.claims:
        await check_claims(client, draft.namespace, draft.source.claims, rolling)
    for copy in copies:
        site = copying.site(copy, rolling, draft.namespace, draft.policy)
        source_of(site.series, copying.roots)
    made_of = SNAPSHOT if rolling.copy_method is CopyMethod.SNAPSHOT else None
    points = (
        PlannedPoint(source=c.series, store=ROLLING, claim=c.claim, made_of=made_of) for c in copies
    )
    return changed(
        plan,
        rolling=PlannedRolling(copies=copies, settings=rolling),
        points=(*plan.points, *points),
    )
