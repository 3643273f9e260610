"""Restores from rolling copies: find the copy, see that it is held, run the agent.

Invariants: what a request comes to is found out again for every Job (`restore_plan`); a pass over
the copies holds the point and releases it, as it alone changes what lies at the destination.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from backstay.api.common import changed, size_text
from backstay.api.policy import PolicySpec
from backstay.api.restore_from import RestoreFrom
from backstay.api.restore_status import RestoreTarget
from backstay.api.rolling_status import CopiesStatus
from backstay.api.store import ROLLING
from backstay.domain import labels, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Found, Rest, StoreSeen, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.stores.copies.chores import Verb
from backstay.domain.stores.copies.locations import Opened
from backstay.domain.stores.copies.points import Series
from backstay.domain.stores.copies.series import copying
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, BACKUP_POLICY, PERSISTENT_VOLUME_CLAIM
from backstay.steps.agent_jobs import AgentJobs
from backstay.steps.conditions import policy_status
from backstay.steps.status import write_status
from backstay.stores.copies.restore_jobs import CopyRestoreJobs, node_of
from backstay.stores.copies.restore_plan import Plan, make_plan
from backstay.stores.copies.take import Copying


class CopyRestores:
    """The restore side of rolling copies. `wake_pass` has a policy's copies looked at, by its
    namespace and name.
    """

    name: Final = ROLLING
    fills: Final = frozenset(
        {RestoreTarget.NEW_CLAIM, RestoreTarget.DIRECTORY, RestoreTarget.IN_PLACE}
    )
    chooses_paths: Final = True

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        jobs: AgentJobs,
        copying: Copying,
        wake_pass: Callable[[str, str], None],
    ) -> None:
        self._client = client
        self._restoring = CopyRestoreJobs(clock, jobs, copying)
        self._copying = copying
        self._wake_pass = wake_pass

    def is_named(self, wanted: RestoreFrom) -> bool:  # noqa: ARG002
        """A copy is named by its Backup only."""
        return False

    async def find(self, request: Request, wish: Wish, said: Acknowledged) -> Found:
        """Find the copy. Raise UserError if there is none, or its node is gone."""
        plan = await self._plan(request, wish, said)
        await self._node_trouble(plan, None)
        if wish.new_claim is not None:
            # Refused now, and not when the claim is about to be made and the point is held.
            await self._volume(plan, request, wish)
        copy = plan.chosen.copy
        return Found(
            source=plan.chosen.entry.source,
            ref=plan.chosen.entry.ref or "",
            backup=request.spec.from_.backup,
            node=plan.node,
            claim=copy.claim,
            path=copy.path,
        )

    async def see(
        self,
        part: Part,
        target: TargetSeen,  # noqa: ARG002 - a Job says all
        said: Acknowledged,
    ) -> StoreSeen:
        """Look at the Job of an item; until there is one, at the point and what has to be waited
        for.
        """
        # The Job first: of one that was made only its end is asked for, whatever changed since.
        fill = await self._restoring.look(part)
        if fill.rest is not None and not fill.rest.asked:
            fill = replace(fill, rest=await self._rest(part))
        if fill.begun:
            return StoreSeen(fill=fill)
        try:
            plan = await self._plan(part.request, part.wish, said)
            waits = await self._node_trouble(plan, part.item.claim)
        except UserError as error:
            return StoreSeen(refusal=error)
        return await self._point(part, plan, waits)

    async def hold(self, part: Part) -> None:
        """The next pass over the copies does it, by what the request's status says."""

    async def wake(self, part: Part) -> None:
        """Have that pass made. Without its Backup nobody knows of what policy a point is: the pass
        comes by itself then.
        """
        if (policy := await self._policy(part)) is not None:
            self._wake_pass(part.request.namespace, policy)

    async def volume(self, part: Part) -> Volume:
        """A claim as the one of that name is now. Raise UserError if its size is unknown."""
        return await self._volume(await self._plan_of(part), part.request, part.wish)

    async def fill(self, part: Part, target: Opened) -> None:
        """Make the Job that restores. Raise UserError if that became wrong."""
        await self._restoring.start(part, await self._plan_of(part), target)

    async def stop(self, part: Part) -> None:
        """End a Job that still works, as where another item of the request failed."""
        await self._restoring.stop(part)

    async def discard(self, part: Part, target: Opened) -> None:
        """Make the Job that removes what a killed one left. Raise UserError if the disk of the
        copies is not to be had any more.
        """
        await self._restoring.discard(part, await self._plan_of(part), target)

    async def release(self, part: Part) -> None:
        """The pass does it once the request is over. What it made of what was there is listed by
        the same pass, which gives that point a record. Raise Conflict if the policy changed.
        """
        policy = await self._policy(part) if part.item.safety is not None else None
        obj = await self._policy_obj(part.request.namespace, policy) if policy else None
        if obj is None:
            return
        status = policy_status(obj)
        copies = tuple(
            changed(look, listed_at=None) if look.source == part.item.source else look
            for look in status.copies
        )
        await write_status(self._client, BACKUP_POLICY, obj, changed(status, copies=copies))

    async def _plan(self, request: Request, wish: Wish, said: Acknowledged) -> Plan:
        return await make_plan(self._client, self._copying, request, wish, said)

    async def _plan_of(self, part: Part) -> Plan:
        said = Acknowledged(part.request.spec.acknowledge)
        return await self._plan(part.request, part.wish, said)

    async def _volume(self, plan: Plan, request: Request, wish: Wish) -> Volume:
        new, name = wish.new_claim, plan.chosen.copy.claim or ""
        now = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, request.namespace)
        asked = new.size if new is not None else None
        size = size_text(asked) if asked is not None else dig(now, "status", "capacity", "storage")
        if not size:
            raise UserError(
                "SizeUnknown",
                f"no copy says how large claim {name} was, and it does not say so now: set "
                "spec.claims[].to.newClaim.size",
            )
        wanted_class = new.storage_class_name if new is not None else None
        return Volume(
            storage_class=wanted_class or dig(now, "spec", "storageClassName"),
            access_modes=tuple(dig(now, "spec", "accessModes", default=["ReadWriteOnce"])),
            volume_mode=None,
            size=size,
            continues=plan.claim_uid,
        )

    async def _point(self, part: Part, plan: Plan, waits: str) -> StoreSeen:
        """What is seen of a point that no Job reads yet."""
        # The record mirrors the copy's own annotation as the last pass saw it, so it lags behind a
        # pass, and is never ahead of one.
        holders = plan.chosen.point.annotations.get(labels.IN_USE, "").split(",")
        held, series = part.request.uid in holders, plan.site.series
        obj = await self._policy_obj(series.namespace, series.policy)
        looks = policy_status(obj).copies if obj is not None else ()
        look = next((one for one in looks if one.source == part.item.source), None)
        return StoreSeen(
            held=held,
            hold_needed=plan.hold_needed and not (look is not None and _cannot_be_held(look)),
            hold_trouble="" if held else _hold_trouble(obj, look),
            busy=await self._copies_now(series),
            waits=waits,
        )

    async def _rest(self, part: Part) -> Rest:
        """What a killed Job left, whose removal is not asked for yet: it cannot be where nothing
        is to be had any more.
        """
        try:
            await self._plan_of(part)
        except UserError as error:
            return Rest(over=True, trouble=error.message)
        return Rest()

    async def _node_trouble(self, plan: Plan, claim: str | None) -> str:
        """What keeps a Job from its node for now. Raise UserError if it is for good."""
        node = await node_of(self._copying, plan, claim)
        trouble, for_good = await self._copying.trouble(node)
        if for_good:
            raise UserError(
                "NodeNotFound",
                f"{trouble}; if the disk with the copies is on another node now, create a request "
                "with that as spec.directory.node, and CopiesMoved in spec.acknowledge",
            )
        return trouble

    async def _copies_now(self, series: Series) -> str:
        """The run that copies the series now, in words, "" if none does."""
        address = series.namespace, series.policy
        found = copying(*address, await self._copying.runs(*address)).get(series.key)
        return f"waits for the copy under way (Backup {found})" if found else ""

    async def _policy(self, part: Part) -> str | None:
        name, at = part.request.spec.from_.backup or "", part.request.namespace
        backup = await self._client.find(BACKUP, name, at)
        return str(dig(backup, "spec", "policy")) if backup is not None else None

    async def _policy_obj(self, namespace: str, policy: str) -> Obj | None:
        return await self._client.find(BACKUP_POLICY, policy, namespace)


def _cannot_be_held(look: CopiesStatus) -> bool:
    """Whether copies lie on a disk that takes no change: read-only, or so full that not even a
    label has room. No pass of ours removes a point that a request names, and one that somebody
    removes by hand ends the restore before anything is touched.
    """
    return look.read_only or (look.message or "").startswith(f"{Verb.RELABEL}: ")


def _hold_trouble(policy: Obj | None, look: CopiesStatus | None) -> str:
    """What the last look at the destination said, "" if nothing failed."""
    if policy is None:
        return ""
    try:
        PolicySpec.model_validate(policy.get("spec") or {})
    except ValueError:
        return f"nothing is changed, as BackupPolicy {objects.name(policy)} is not valid"
    return (look.message or "") if look is not None else ""
