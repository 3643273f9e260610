"""Plan the snapshots of a run: the class of each claim's, and which claims belong together."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.plan import ClaimGroup, PlannedPoint, RunPlan
from backstay.api.snapshot import Consistency
from backstay.api.store import SNAPSHOT
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.run import concurrency
from backstay.domain.sources import claims as sourcing
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.steps.consistency import asked_containers, claims_together
from backstay.stores.base import Draft

CLASSES: Final = timedelta(seconds=10)
"""How long a look at the snapshot classes serves others. A stale one costs a run's attempt."""
CONSTANT: Final = timedelta(days=1)
"""How long what cannot change is remembered."""


async def extend(client: Client, draft: Draft) -> RunPlan:
    """Given a plan in the making, return it with a snapshot of each claim, if the policy asks for
    snapshots.

    Raise UserError, naming the field and the remedy, if one of them could not be taken, or if
    claims belong together and nothing freezes them.
    """
    snapshots, plan = draft.spec.snapshots, draft.plan
    if snapshots is None:
        return plan
    planned, pools = [], set(plan.pools)
    for claim in plan.claims:
        driver = await _driver(client, draft.source.claims[claim.name])
        chosen = await _class(client, claim.name, driver, snapshots.class_name)
        # In the plan, which is frozen: a default class that changes later is not that of this run.
        planned.append(changed(claim, class_name=chosen))
        pools.add(concurrency.driver_pool(driver))
    points = (PlannedPoint(source=c.name, store=SNAPSHOT, claim=c.name) for c in planned)
    plan = changed(
        plan,
        claims=tuple(planned),
        pools=tuple(sorted(pools)),
        points=(*plan.points, *points),
    )
    # A person says that the claims have nothing to do with each other: nobody is asked.
    if snapshots.consistency is Consistency.PER_CLAIM:
        return plan
    # Before any snapshot: several of data that is written to meanwhile are several moments.
    asked = asked_containers(plan.dumps, draft.pods)
    groups = await claims_together(
        client,
        draft.namespace,
        list(draft.source.claims),
        frozen=draft.held,
        asked=asked,
        probe=draft.probe,
    )
    return changed(plan, together=tuple(ClaimGroup(claims=group) for group in groups))


async def _driver(client: Client, claim: Obj) -> str:
    """The claim's CSI driver. Neither a claim's volume nor a volume's driver ever changes."""
    volume = objects.dig(claim, "spec", "volumeName")
    # Not remembered: it may be bound a moment later.
    if not volume:
        return sourcing.driver_of(claim, None)

    async def read() -> str:
        return sourcing.driver_of(claim, await client.find(resources.PERSISTENT_VOLUME, volume))

    # By both: a volume of this name that is made again has another claim.
    return await client.shared.read(("driver", objects.uid(claim), volume), read, keep=CONSTANT)


async def _class(client: Client, claim: str, driver: str, wanted: str | None) -> str:
    """The class to use. No refusal rests on a shared read: it may have come a moment too soon."""

    async def read(keep: timedelta) -> str:
        classes = await client.shared.read(
            resources.VOLUME_SNAPSHOT_CLASS,
            lambda: client.list(resources.VOLUME_SNAPSHOT_CLASS),
            keep=keep,
        )
        return sourcing.snapshot_class_for(claim, driver, wanted, classes)

    try:
        return await read(CLASSES)
    except UserError:
        return await read(timedelta(0))
