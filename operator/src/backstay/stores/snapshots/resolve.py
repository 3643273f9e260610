"""Make the plan of a run from its policy: its claims and their classes, its dumps, hooks, pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from backstay.api.common import changed
from backstay.api.dumps import Dump
from backstay.api.hooks import (
    AfterHook,
    BeforeHook,
    Hooks,
    OnError,
    PlannedHook,
    PlannedHooks,
    Stage,
)
from backstay.api.plan import POOLS_MAX, ClaimGroup, PlannedClaim, PlannedDump, RunPlan
from backstay.api.policy import PolicySpec
from backstay.api.snapshot import Consistency, Snapshot
from backstay.api.source import CLAIMS_MAX, ClaimSource
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.run import concurrency
from backstay.domain.run.machine import TARGET_NOT_RUNNING
from backstay.domain.sources import claims as sourcing
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.steps import containers
from backstay.steps.consistency import Probe, asked_containers, claims_together
from backstay.steps.containers import Ask

CLASSES: Final = timedelta(seconds=10)
"""How long a look at the snapshot classes serves others. A stale one costs a run's attempt."""
CONSTANT: Final = timedelta(days=1)
"""How long what cannot change is remembered."""


async def make_plan(
    client: Client,
    namespace: str,
    spec: PolicySpec,
    *,
    ask: Ask | None = None,
    probe: Probe | None = None,
) -> RunPlan:
    """Given a policy's namespace and spec, and ways to ask databases for their role and containers
    for what they keep where, return the plan of a run started now.

    Raise UserError, naming the field and the remedy, if the policy cannot be run as it stands.
    """
    snapshots = spec.snapshots or Snapshot()
    dumps = tuple(_planned_dump(d) for d in spec.dumps)
    pods = {
        d.name: await containers.target_pods(
            client, namespace, d.target, field=containers.dump_field(d.name)
        )
        for d in dumps
    }
    wanted, of_dumps = spec.source.claims or ClaimSource(), dict[str, str]()
    if wanted.of_dumps:
        of_dumps = {d.name: await _claim_of(d, pods[d.name], ask) for d in dumps}
    claims = await _claims(client, namespace, wanted, of_dumps)
    planned, drivers = await _planned_claims(client, claims, snapshots)
    pools = {concurrency.GLOBAL, *map(concurrency.driver_pool, drivers)}
    for dump in dumps:
        # Refuses dumps that could never run; a target without a running pod may just restart.
        if found := pods[dump.name]:
            place = await containers.choose_by_asking(found, dump, claims, ask=ask)
            pools.add(concurrency.node_pool(_node(found, place.pod_uid)))
    plan = RunPlan(
        zone=spec.schedule.time_zone if spec.schedule else "UTC",
        claims=planned,
        dumps=dumps,
        hooks=planned_hooks(spec.hooks) if spec.hooks else None,
        pools=tuple(sorted(pools)[:POOLS_MAX]),
        take_timeout=snapshots.take_timeout,
        ready_timeout=snapshots.ready_timeout,
        retries=spec.retries,
        consistency=snapshots.consistency,
    )
    held = await _check_hooks(client, namespace, plan)
    if snapshots.consistency is Consistency.PER_CLAIM:
        return plan
    asked = asked_containers(dumps, pods)
    groups = await claims_together(
        client, namespace, list(claims), frozen=held, asked=asked, probe=probe
    )
    return changed(plan, together=tuple(ClaimGroup(claims=group) for group in groups))


async def _claims(
    client: Client, namespace: str, wanted: ClaimSource, of_dumps: Mapping[str, str]
) -> dict[str, Obj]:
    """The claims of the source by name, with those that dumps (by name) are written to."""
    claims = await find_claims(client, namespace, wanted)
    for dump, name in of_dumps.items():
        claims[name] = claims.get(name) or await find_claim(
            client, namespace, name, f"spec.dumps[{dump}].file"
        )
    if len(claims) > CLAIMS_MAX:
        raise UserError(
            "TooManyClaims",
            f"spec.source.claims: {len(claims)} claims are more than one run can hold "
            f"({CLAIMS_MAX}); split the policy",
        )
    return claims


async def _planned_claims(
    client: Client, claims: Mapping[str, Obj], snapshots: Snapshot
) -> tuple[tuple[PlannedClaim, ...], set[str]]:
    """Each claim with the class of its snapshot, and the drivers of all."""
    planned, drivers = [], set[str]()
    for name, claim in sorted(claims.items()):
        driver = await _driver(client, claim)
        chosen = await _class(client, name, driver, snapshots.class_name)
        planned.append(PlannedClaim(name=name, uid=objects.uid(claim), class_name=chosen))
        drivers.add(driver)
    return tuple(planned), drivers


def _planned_dump(dump: Dump) -> PlannedDump:
    return PlannedDump(**{name: getattr(dump, name) for name in PlannedDump.model_fields})


def planned_hooks(hooks: Hooks) -> PlannedHooks:
    """Given the hooks of a policy, return them planned: what undoes a before hook with it."""
    after = {hook.name: hook for hook in hooks.after}
    before = tuple(_planned_before(hook, after.get(hook.name)) for hook in hooks.before)
    alone = [hook for hook in hooks.after if hook.target is not None]
    return PlannedHooks(
        before=before,
        after=tuple(_planned_after(hook) for hook in alone),
        max_freeze=hooks.max_freeze,
    )


def _planned_before(hook: BeforeHook, undo: AfterHook | None) -> PlannedHook:
    return PlannedHook(
        name=hook.name,
        target=hook.target,
        command=hook.session.command if hook.session else hook.command or (),
        session=hook.session,
        undo=undo.command if undo else None,
        timeout=hook.timeout,
        undo_timeout=undo.timeout if undo else hook.timeout,
        on_error=hook.on_error,
        undo_on_error=undo.on_error if undo else hook.on_error,
        freezes=hook.freezes,
    )


def _planned_after(hook: AfterHook) -> PlannedHook:
    if hook.target is None:
        raise ValueError(f"hook {hook.name} has no target")
    return PlannedHook(
        name=hook.name,
        target=hook.target,
        command=hook.command,
        timeout=hook.timeout,
        undo_timeout=timedelta(seconds=1),
        on_error=hook.on_error,
        undo_on_error=OnError.FAIL,
    )


async def find_claims(client: Client, namespace: str, wanted: ClaimSource) -> dict[str, Obj]:
    """Given a namespace and a policy's source, return the union of names and selector, by name.

    Raise UserError if a claim does not exist, or if the selector finds none.
    """
    found = {
        name: await find_claim(client, namespace, name, "spec.source.claims.names")
        for name in wanted.names
    }
    if wanted.selector is not None:
        text = sourcing.selector_text(wanted.selector)
        for claim in await client.list(resources.PERSISTENT_VOLUME_CLAIM, namespace, labels=text):
            found[objects.name(claim)] = claim
        if not found:
            raise UserError(
                "NoClaims",
                f"spec.source.claims.selector: no PersistentVolumeClaim in namespace {namespace} "
                f"matches {text}",
            )
    return found


async def find_claim(client: Client, namespace: str, name: str, field: str) -> Obj:
    """Given a namespace, a claim's name and the field that names it, return the claim.

    Raise UserError if it does not exist.
    """
    claim = await client.find(resources.PERSISTENT_VOLUME_CLAIM, name, namespace)
    if claim is None:
        raise UserError(
            "ClaimNotFound",
            f"{field}: there is no PersistentVolumeClaim {name} in namespace {namespace}",
        )
    return claim


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
    return (await containers.choose_by_asking(running, dump, None, ask=ask)).claim


async def _driver(client: Client, claim: Obj) -> str:
    """The claim's CSI driver. Neither a claim's volume nor a volume's driver ever changes."""
    volume = objects.dig(claim, "spec", "volumeName")
    if not volume:
        return sourcing.driver_of(claim, None)

    async def read() -> str:
        return sourcing.driver_of(claim, await client.find(resources.PERSISTENT_VOLUME, volume))

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
            if not pods:
                continue
            place = containers.choose_hook_place(pods, hook, claims, field=field)
            if hook.freezes:
                held.append(place.claims)
    return held
