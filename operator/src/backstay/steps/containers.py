"""Find the pod and container that a dump or a hook runs in.

Invariants: what was started stays in its pod as long as that runs; of several pods one that has a
claim of the run comes first, then the preferred role, then the lowest name. Nothing but the API
server is asked, unless labels do not show the roles and the caller gives a way to ask the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from backstay.api.hooks import PlannedHook, Stage
from backstay.api.plan import PlannedDump
from backstay.api.target import Preference, Target, TargetKind
from backstay.domain import objects
from backstay.domain.errors import Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.run.sights import DumpPlace, HookPlace
from backstay.domain.sources import claims as sourcing
from backstay.domain.sources.roles import role_of
from backstay.kube import resources
from backstay.kube.client import Client

WORKLOADS = {
    TargetKind.DEPLOYMENT: resources.DEPLOYMENT,
    TargetKind.STATEFUL_SET: resources.STATEFUL_SET,
}

Ask: TypeAlias = Callable[[PlannedDump, DumpPlace], Awaitable[Preference | None]]
"""Asks the database in a place for its role; None: it does not say."""


async def target_pods(client: Client, namespace: str, target: Target, *, field: str) -> list[Obj]:
    """Given a target and the field that names it, return its running pods.

    Raise UserError if the target is missing or scaled to zero.
    """
    if target.kind is TargetKind.POD:
        pod = await client.find(resources.POD, target.name, namespace)
        if pod is None:
            raise UserError("TargetNotFound", f"{field}: there is no Pod {target.name}")
        return sourcing.running_pods([pod])
    workload = await client.find(WORKLOADS[target.kind], target.name, namespace)
    if workload is None:
        raise UserError("TargetNotFound", f"{field}: there is no {target.kind} {target.name}")
    # Scaled to zero is a person's word, so it is refused. No running pod may pass in a moment: what
    # that means is up to the caller.
    if sourcing.replicas_of(workload) == 0:
        raise UserError(
            "TargetScaledToZero",
            f"{field}: {target.kind} {target.name} is scaled to zero, so nothing can run in it; "
            "scale it up, or suspend the policy meanwhile",
        )
    selector = sourcing.workload_selector(workload)
    return sourcing.running_pods(await client.list(resources.POD, namespace, labels=selector))


def dump_field(dump: str) -> str:
    """Given a dump's name, return the field that names its target."""
    return f"spec.dumps[{dump}].target"


def places_of(
    pods: Iterable[Obj], dump: PlannedDump, claims: Iterable[str] | None
) -> list[tuple[Obj, DumpPlace]]:
    """Given running pods and the claims that the dump's file may lie on (None: any), return the
    pods where it does, and where. Raise the UserError of the first pod if there is none.
    """
    known = None if claims is None else list(claims)
    refusal: UserError | None = None
    found = []
    for pod in pods:
        try:
            place = sourcing.place_in(
                pod, dump=dump.name, container=dump.target.container, file=dump.file
            )
            if known is not None:
                sourcing.require_claim_of_run(place, known, dump=dump.name, file=dump.file)
        except UserError as error:
            # Pods of one target may differ while it is rolled out: one that fits is enough.
            refusal = refusal or error
            continue
        found.append((pod, place))
    if not found:
        raise refusal or Transient(f"dump {dump.name} has no running pod")
    return found


def choose_place(
    pods: Iterable[Obj],
    dump: PlannedDump,
    claims: Iterable[str] | None,
    *,
    prefer: str = "",
    roles: Mapping[str, Preference | None] | None = None,
) -> DumpPlace:
    """Given running pods (at least one) and what is known of their roles by uid, return where the
    dump runs: where its file lies on one of the claims; in the pod with uid `prefer` before all
    others, then by the role that its target prefers. Raise the UserError of the first pod if
    there is none.
    """
    wanted = dump.target.prefer

    def rank(found: tuple[Obj, DumpPlace]) -> tuple[bool, int]:
        pod, place = found
        # Where it was started comes before its role: a primary that moves while the dump runs must
        # not have a second one started beside it.
        return place.pod_uid != prefer, _rank(
            (roles or {}).get(place.pod_uid) or role_of(pod), wanted
        )

    return min(places_of(pods, dump, claims), key=rank)[1]


def _rank(role: Preference | None, wanted: Preference) -> int:
    return 0 if role is wanted else 1 if role is None else 2


async def choose_by_asking(
    pods: Iterable[Obj],
    dump: PlannedDump,
    claims: Iterable[str] | None,
    *,
    prefer: str = "",
    ask: Ask | None = None,
) -> DumpPlace:
    """As choose_place, and the databases are asked where their pods' labels do not show them
    apart.
    """
    found = places_of(pods, dump, claims)
    roles: dict[str, Preference | None] = {}
    settled = any(place.pod_uid == prefer for _, place in found)
    # Each answer is an exec into a pod: only where it decides something.
    if ask and not settled and len(found) > 1 and not any(role_of(pod) for pod, _ in found):
        roles = {place.pod_uid: await ask(dump, place) for _, place in found}
    # None: that the file lies on one of the claims was looked at above.
    return choose_place([pod for pod, _ in found], dump, None, prefer=prefer, roles=roles)


async def find_place(
    client: Client,
    namespace: str,
    dump: PlannedDump,
    claims: Iterable[str],
    *,
    prefer: str = "",
    ask: Ask | None = None,
) -> DumpPlace:
    """Given a dump of a frozen plan and the claims its file may lie on, return where it would run
    now: in the pod with uid `prefer`, where it was started, as long as that runs.

    Raise UserError if it never could; Transient if no pod of its target runs at the moment.
    """
    pods = await target_pods(client, namespace, dump.target, field=dump_field(dump.name))
    if not pods:
        raise Transient(f"{dump.target.kind} {dump.target.name} has no running pod")
    place = await choose_by_asking(pods, dump, claims, prefer=prefer, ask=ask)
    if not place.container_id:
        raise Transient(f"container {place.container} of pod {place.pod} is not running")
    return place


def hook_field(stage: Stage, hook: str) -> str:
    """Given a hook's stage and name, return the field that names its target."""
    return f"spec.hooks.{stage.value.lower()}[{hook}].target"


async def find_hook_place(
    client: Client,
    namespace: str,
    hook: PlannedHook,
    stage: Stage,
    claims: Iterable[str],
    *,
    prefer: str = "",
) -> HookPlace:
    """Given a hook of a frozen plan and the claims of its run, return where it would run now: in
    the pod with uid `prefer`, where it or a dump of its target was started, as long as that runs.

    Raise UserError if it never could; Transient if no pod of its target runs at the moment.
    """
    field = hook_field(stage, hook.name)
    pods = await target_pods(client, namespace, hook.target, field=field)
    if not pods:
        raise Transient(f"{hook.target.kind} {hook.target.name} has no running pod")
    place = choose_hook_place(pods, hook, claims, field=field, prefer=prefer)
    if not place.container_id:
        raise Transient(f"container {place.container} of pod {place.pod} is not running")
    return place


def choose_hook_place(
    pods: Iterable[Obj], hook: PlannedHook, claims: Iterable[str], *, field: str, prefer: str = ""
) -> HookPlace:
    """Given running pods (at least one), return where the hook runs. Raise UserError if the pod
    lacks its container.
    """
    known = frozenset(claims)

    def rank(pod: Obj) -> tuple[bool, bool, int]:
        misses = not known & sourcing.claims_of(pod)
        # Claims before roles: a hook holds over the snapshot of what its own pod writes to.
        return objects.uid(pod) != prefer, misses, _rank(role_of(pod), hook.target.prefer)

    pod = min(pods, key=rank)
    container = sourcing.container_of(pod, field=field, wanted=hook.target.container)
    return HookPlace(
        pod=objects.name(pod),
        pod_uid=objects.uid(pod),
        container=container,
        container_id=sourcing.container_id(pod, container),
        claims=tuple(sorted(known & sourcing.claims_of(pod))),
    )
