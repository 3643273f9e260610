"""Plan the rolling copies of a run: which directories, where to, on which node."""

from __future__ import annotations

from collections.abc import Iterable

from backstay.api.common import changed
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.policy import ClaimSource, PolicySpec
from backstay.api.rolling import CopyMethod, PlannedCopy, PlannedRolling
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.run import concurrency
from backstay.domain.stores.copies.locations import source_of
from backstay.kube.client import Client
from backstay.stores.base import Draft
from backstay.stores.claims import find_claims
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
    await check_claims(client, draft.namespace, draft.claims, rolling)
    copies = directories_of(draft.spec, draft.claims)
    for copy in copies:
        site = copying.site(copy, rolling, draft.namespace, draft.policy)
        source_of(site.series, copying.roots)
    pools = set(plan.pools)
    if (source := draft.spec.source.host_path) is not None:
        await copying.check_node(source.node)
        pools.add(concurrency.node_pool(source.node))
    made_of = SNAPSHOT if rolling.copy_method is CopyMethod.SNAPSHOT else None
    points = (
        PlannedPoint(source=c.series, store=ROLLING, claim=c.claim, made_of=made_of) for c in copies
    )
    return changed(
        plan,
        rolling=PlannedRolling(copies=copies, settings=rolling),
        pools=tuple(sorted(pools)),
        points=(*plan.points, *points),
    )


async def directories(client: Client, namespace: str, spec: PolicySpec) -> tuple[PlannedCopy, ...]:
    """Given a policy, return the directories that it names now, none if it keeps no copies.

    Raise UserError if a claim is missing.
    """
    if spec.rolling is None:
        return ()
    claims = await find_claims(client, namespace, spec.source.claims or ClaimSource())
    return directories_of(spec, sorted(claims))


def directories_of(spec: PolicySpec, claims: Iterable[str]) -> tuple[PlannedCopy, ...]:
    """Given a policy and the names of its claims, return the directories of its source."""
    if (source := spec.source.host_path) is not None:
        return tuple(PlannedCopy(node=source.node, path=p) for p in source.directories)
    path = (spec.source.claims or ClaimSource()).sub_path or ""
    return tuple(PlannedCopy(claim=name, path=path) for name in claims)
