"""Find what a policy speaks of: its claims, their classes, the pods of its dumps."""

from __future__ import annotations

from collections.abc import Iterable

from backstay.api.backup import PlannedClaim, PlannedDump, RunPlan
from backstay.api.policy import CLAIMS_MAX, ClaimSource, Dump, PolicySpec, Target, TargetKind
from backstay.domain import objects, sourcing
from backstay.domain.errors import Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.sights import DumpPlace
from backstay.kube import resources
from backstay.kube.client import Client

WORKLOADS = {
    TargetKind.DEPLOYMENT: resources.DEPLOYMENT,
    TargetKind.STATEFUL_SET: resources.STATEFUL_SET,
}


async def make_plan(client: Client, namespace: str, spec: PolicySpec) -> RunPlan:
    """Given a policy's namespace and spec, return the plan of a run started now.

    Raise UserError, naming the field and the remedy, if the policy cannot be run as it stands.
    """
    claims = await find_claims(client, namespace, spec.source.claims or ClaimSource())
    classes = await client.list(resources.VOLUME_SNAPSHOT_CLASS)
    planned = []
    for claim in claims:
        volume_name = objects.dig(claim, "spec", "volumeName")
        volume = (
            await client.find(resources.PERSISTENT_VOLUME, volume_name) if volume_name else None
        )
        driver = sourcing.driver_of(claim, volume)
        name = objects.name(claim)
        chosen = sourcing.snapshot_class_for(name, driver, spec.snapshot.class_name, classes)
        planned.append(PlannedClaim(name=name, uid=objects.uid(claim), class_name=chosen))
    plan = RunPlan(
        zone=spec.schedule.time_zone if spec.schedule else "UTC",
        claims=tuple(planned),
        dumps=tuple(_planned_dump(d) for d in spec.dumps),
        cut_timeout=spec.snapshot.cut_timeout,
        ready_timeout=spec.snapshot.ready_timeout,
        retries=spec.retries,
    )
    await _check_dumps(client, namespace, plan)
    return plan


def _planned_dump(dump: Dump) -> PlannedDump:
    return PlannedDump(
        name=dump.name,
        engine="postgres",
        database=dump.postgres.databases[0],
        target=dump.target,
        file=dump.file,
        max_duration=dump.max_duration,
    )


async def find_claims(client: Client, namespace: str, wanted: ClaimSource) -> list[Obj]:
    """Given a namespace and a policy's source, return the union of names and selector, by name.

    Raise UserError if a claim does not exist, or if the selector finds none.
    """
    found: dict[str, Obj] = {}
    for name in wanted.names:
        claim = await client.find(resources.PERSISTENT_VOLUME_CLAIM, name, namespace)
        if claim is None:
            raise UserError(
                "ClaimNotFound",
                f"spec.source.claims.names: there is no PersistentVolumeClaim {name} in "
                f"namespace {namespace}",
            )
        found[name] = claim
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
    if len(found) > CLAIMS_MAX:
        raise UserError(
            "TooManyClaims",
            f"spec.source.claims: {len(found)} claims are more than one run can hold "
            f"({CLAIMS_MAX}); split the policy",
        )
    return [found[name] for name in sorted(found)]


async def _check_dumps(client: Client, namespace: str, plan: RunPlan) -> None:
    """Refuse dumps that could never run; a target without a running pod may just restart."""
    for dump in plan.dumps:
        pods = await target_pods(client, namespace, dump.target, dump=dump.name)
        if pods:
            choose_place(pods, dump, [c.name for c in plan.claims])


async def target_pods(client: Client, namespace: str, target: Target, *, dump: str) -> list[Obj]:
    """Given a dump's target, return its running pods. Raise UserError if the target is missing."""
    field = f"spec.dumps[{dump}].target"
    if target.kind is TargetKind.POD:
        pod = await client.find(resources.POD, target.name, namespace)
        if pod is None:
            raise UserError("TargetNotFound", f"{field}: there is no Pod {target.name}")
        return sourcing.running_pods([pod])
    workload = await client.find(WORKLOADS[target.kind], target.name, namespace)
    if workload is None:
        raise UserError("TargetNotFound", f"{field}: there is no {target.kind} {target.name}")
    selector = sourcing.workload_selector(workload)
    return sourcing.running_pods(await client.list(resources.POD, namespace, labels=selector))


def choose_place(
    pods: Iterable[Obj], dump: PlannedDump, claims: Iterable[str], *, prefer: str = ""
) -> DumpPlace:
    """Given running pods (at least one), return where the dump runs: the first whose file lies
    on one of the claims, the pod with uid `prefer` before all others. Raise the UserError of the
    first pod if there is none.
    """
    known = list(claims)
    refusal: UserError | None = None
    for pod in sorted(pods, key=lambda p: objects.uid(p) != prefer):
        try:
            place = sourcing.place_in(
                pod, dump=dump.name, container=dump.target.container, file=dump.file
            )
            sourcing.require_claim_of_run(place, known, dump=dump.name, file=dump.file)
        except UserError as error:
            refusal = refusal or error
            continue
        return place
    raise refusal or Transient(f"dump {dump.name} has no running pod")


async def find_place(
    client: Client,
    namespace: str,
    dump: PlannedDump,
    claims: Iterable[str],
    *,
    prefer: str = "",
) -> DumpPlace:
    """Given a dump of a frozen plan and the claims its file may lie on, return where it would run
    now: in the pod with uid `prefer`, where it was started, as long as that runs.

    Raise UserError if it never could; Transient if no pod of its target runs at the moment.
    """
    pods = await target_pods(client, namespace, dump.target, dump=dump.name)
    if not pods:
        raise Transient(f"{dump.target.kind} {dump.target.name} has no running pod")
    place = choose_place(pods, dump, claims, prefer=prefer)
    if not place.container_id:
        raise Transient(f"container {place.container} of pod {place.pod} is not running")
    return place
