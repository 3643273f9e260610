"""Make the plan of a run, of whatever kind, and find out whether the operator may carry it out."""

from __future__ import annotations

from backstay.api.plan import RunPlan
from backstay.api.policy import PolicySpec
from backstay.domain.ceilings import limited_plan
from backstay.domain.errors import Refused, UserError
from backstay.domain.run.machine import FORBIDDEN
from backstay.kube.client import Client
from backstay.steps import access
from backstay.steps.consistency import Probe
from backstay.steps.containers import Ask
from backstay.stores.copies.take import Copying
from backstay.stores.snapshots import resolve


async def make_plan(
    client: Client,
    copying: Copying,
    address: tuple[str, str],
    spec: PolicySpec,
    *,
    ask: Ask | None = None,
    probe: Probe | None = None,
) -> RunPlan:
    """Given a policy's address and spec, and ways to ask databases for their role and containers
    for what they keep where, return the plan of a run started now.

    Raise UserError, naming the field and the remedy, if the policy cannot be run as it stands, or
    if the operator lacks a right that it takes.
    """
    namespace, policy = address
    jobs_in = copying.home if spec.source.host_path is not None else namespace
    try:
        plan = None
        if spec.snapshots is not None:
            plan = await resolve.make_plan(client, namespace, spec, ask=ask, probe=probe)
        if spec.rolling is not None or plan is None:
            plan = await copying.make_plan(namespace, policy, spec, plan)
        await access.require(client, namespace, plan, jobs_in=jobs_in)
    except Refused as error:
        raise UserError(FORBIDDEN, f"the operator may not look: {error.message}") from error
    return limited_plan(plan, copying.ceilings)
