"""Make the plan of a run, and find out whether the operator may carry it out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from backstay.api.hooks import Stage
from backstay.api.plan import POINTS_MAX, PlannedClaim, PlannedDump, RunPlan
from backstay.api.policy import PolicySpec
from backstay.api.snapshot import Snapshot
from backstay.domain import objects
from backstay.domain.ceilings import limited_plan
from backstay.domain.errors import Refused, UserError
from backstay.domain.objects import Obj
from backstay.domain.run import concurrency
from backstay.domain.run.machine import FORBIDDEN, TARGET_NOT_RUNNING
from backstay.domain.run.planned_dumps import planned_dump
from backstay.domain.run.planned_hooks import planned_hooks
from backstay.kube.client import Client
from backstay.settings import Ceilings
from backstay.sources.registry import resolve
from backstay.steps import access, containers
from backstay.steps.consistency import Probe
from backstay.steps.containers import Ask
from backstay.stores.base import Draft, Store


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes the plans of runs, with the points of these stores and within the ceilings."""

    client: Client
    stores: Sequence[Store]
    ceilings: Ceilings

    async def make_plan(
        self,
        address: tuple[str, str],
        spec: PolicySpec,
        *,
        ask: Ask | None = None,
        probe: Probe | None = None,
        begins: bool = False,
    ) -> RunPlan:
        """Given a policy's address and spec, ways to ask databases for their role and containers
        for what they keep where, and whether a run begins by it, return the plan of a run now.

        Raise UserError, naming the field and the remedy, if the policy cannot be run as it stands,
        or if the operator lacks a right that it takes.
        """
        namespace = address[0]
        try:
            drawn = await draw_up(self.client, address, spec, ask=ask, probe=probe)
            plan = await self._with_points(replace(drawn, begins=begins))
            # After the stores, as the rights depend on the points; before the run, which would find
            # that one is missing while it holds permits.
            rights = [r for store in self.stores for r in store.rights(namespace, plan)]
            await access.require(self.client, namespace, plan, rights)
        except Refused as error:
            # As a problem of the policy: Ready names it, and the run waits in Pending, which holds
            # nothing.
            raise UserError(FORBIDDEN, f"the operator may not look: {error.message}") from error
        # Last, so that nothing that a store adds exceeds a ceiling. Once more at each read of a
        # frozen plan (reconcile/backup.py): the ceiling may be lowered meanwhile.
        return limited_plan(plan, self.ceilings)

    async def _with_points(self, draft: Draft) -> RunPlan:
        # One after the other: a store may build on the points of those before it.
        for store in self.stores:
            draft = replace(draft, plan=await store.extend(draft))
        # Only now, as each store has added its own. Refused and not shortened: a claim would be
        # left out without a word.
        if (made := len(draft.plan.points)) > POINTS_MAX:
            raise UserError(
                "TooManyPoints",
                f"spec.source: {made} points are more than one run can make ({POINTS_MAX}); split "
                "the policy",
            )
        return draft.plan


async def draw_up(
    client: Client,
    address: tuple[str, str],
    spec: PolicySpec,
    *,
    ask: Ask | None = None,
    probe: Probe | None = None,
) -> Draft:
    """Given a policy, return the plan of a run of it without any points, which stores add.

    Raise UserError, naming the field and the remedy, if the policy cannot be run as it stands.
    """
    namespace, policy = address
    # Of what is compressed a repository finds nothing again that it has.
    in_repository = spec.repository is not None
    dumps = tuple(planned_dump(dump, repository=in_repository) for dump in spec.dumps)
    pods = {
        d.name: await containers.target_pods(
            client, namespace, d.target, field=containers.dump_field(d.name)
        )
        for d in dumps
    }
    # The pods before the claims: which claim a dump is written to depends on its pod.
    of_dumps: dict[str, str] = {}
    if spec.source.claims is not None and spec.source.claims.of_dumps:
        of_dumps = {d.name: await _claim_of(d, pods[d.name], ask) for d in dumps}
    source = await resolve(client, namespace, spec.source, of_dumps)
    nodes = await _nodes(dumps, pods, source.claims, ask) | ({source.node} - {""})
    pools = {concurrency.GLOBAL, *map(concurrency.node_pool, nodes)}
    plan = _without_points(spec, source.claims, dumps, pools)
    # After the claims: what a hook holds is seen by which of them its pod has.
    held = await _check_hooks(client, namespace, plan)
    return Draft(namespace, policy, spec, plan, source, pods, held, probe)


def _without_points(
    spec: PolicySpec,
    claims: Mapping[str, Obj],
    dumps: tuple[PlannedDump, ...],
    pools: Collection[str],
) -> RunPlan:
    snapshots = spec.snapshots or Snapshot()
    return RunPlan(
        zone=spec.schedule.time_zone if spec.schedule else "UTC",
        claims=tuple(
            PlannedClaim(name=name, uid=objects.uid(claim)) for name, claim in claims.items()
        ),
        dumps=dumps,
        hooks=planned_hooks(spec.hooks) if spec.hooks else None,
        # Sorted: two looks make the same plan, and `global` comes before the nodes and stays.
        pools=tuple(sorted(pools)),
        take_timeout=snapshots.take_timeout,
        ready_timeout=snapshots.ready_timeout,
        retries=spec.retries,
        consistency=snapshots.consistency,
    )


async def _nodes(
    dumps: Sequence[PlannedDump],
    pods: Mapping[str, Sequence[Obj]],
    claims: Mapping[str, Obj],
    ask: Ask | None,
) -> set[str]:
    """The nodes that the dumps would run on now. Raise UserError if one could never run."""
    nodes = set()
    for dump in dumps:
        # A target without a running pod may just restart.
        if found := pods[dump.name]:
            place = await containers.choose_by_asking(found, dump, claims, ask=ask)
            nodes.add(_node(found, place.pod_uid))
    return nodes


async def _claim_of(dump: PlannedDump, pods: Iterable[Obj], ask: Ask | None) -> str:
    """The claim that the dump's file lies on, in the pod that is taken now."""
    running = list(pods)
    if not running:
        raise UserError(
            TARGET_NOT_RUNNING,
            f"{containers.dump_field(dump.name)}: {dump.target.kind} {dump.target.name} has no "
            "running pod, so source.claims.ofDumps cannot find its claim; start it, or name the "
            "claim",
        )
    # None: which claims the run has is only found out by this.
    return (await containers.choose_by_asking(running, dump, None, ask=ask)).claim


def _node(pods: Iterable[Obj], uid: str) -> str:
    pod = next(p for p in pods if objects.uid(p) == uid)
    return str(objects.dig(pod, "spec", "nodeName", default=""))


async def _check_hooks(client: Client, namespace: str, plan: RunPlan) -> list[tuple[str, ...]]:
    """Refuse hooks that could never run; a target without a running pod may just restart. Return
    of each that freezes the claims of the run that its pod has now.
    """
    held: list[tuple[str, ...]] = []
    if plan.hooks is None:
        return held
    claims = [c.name for c in plan.claims]
    for stage, hooks in ((Stage.BEFORE, plan.hooks.before), (Stage.AFTER, plan.hooks.after)):
        for hook in hooks:
            field = containers.hook_field(stage, hook.name)
            pods = await containers.target_pods(client, namespace, hook.target, field=field)
            # Nobody knows what it will hold, so it freezes nothing in this plan: claims that need
            # that are refused until its pod runs.
            if not pods:
                continue
            place = containers.choose_hook_place(pods, hook, claims, field=field)
            if hook.freezes:
                held.append(place.claims)
    return held
