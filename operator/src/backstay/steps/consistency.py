"""See what the claims of a run have to do with each other, in the pods that write to them.

Invariant: a refusal rests on pods read just now; who only looks whether a database's data is all
here may use what another look read moments ago.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from backstay.api.plan import PlannedDump, RunPlan
from backstay.api.snapshot import Consistency
from backstay.domain import objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.sources import claims as sourcing
from backstay.domain.sources import together
from backstay.domain.sources.mounts import Mount
from backstay.domain.sources.server_data import ASKED, data_trouble
from backstay.domain.sources.together import Writer
from backstay.dumps.layout import Layout
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.steps import containers

PODS: Final = timedelta(seconds=10)
"""How long a look at a namespace's pods serves others."""

Probe: TypeAlias = Callable[[str, str, Sequence[Mount]], Awaitable[Layout | None]]
"""Asks a container (pod, container, mounts) what databases keep there; None: it does not say."""


async def claims_together(
    client: Client,
    namespace: str,
    claims: Collection[str],
    *,
    frozen: Sequence[Collection[str]],
    asked: Collection[tuple[str, str]],
    probe: Probe | None,
) -> tuple[tuple[str, ...], ...]:
    """Given the claims of a run, those that each of its freezing hooks holds, the containers whose
    databases its dumps ask, and a way to look into the others, return the groups of claims whose
    points are good together or not at all.

    Raise UserError if some of them belong together and nothing freezes them, or if they hold only a
    part of a database.
    """
    if len(claims) < 2 and probe is None:
        return ()
    # A run of several claims may be refused on the strength of this list, so it is read again. One
    # claim belongs together with nothing: then a list of seconds ago will do.
    pods = await client.shared.read(
        ("pods", namespace),
        lambda: client.list(resources.POD, namespace),
        keep=PODS if len(claims) < 2 else timedelta(0),
    )
    found = together.writers(pods)
    groups = together.groups(found, claims, frozen, asked)
    if probe is not None:
        by_uid = {objects.uid(pod): pod for pod in pods}
        for writer in found:
            if writer.claims & set(claims) and (writer.pod_uid, writer.container) not in asked:
                await _look(by_uid[writer.pod_uid], writer, claims, groups, probe)
    return groups


async def torn(client: Client, namespace: str, plan: RunPlan) -> str:
    """Given the plan of a run whose snapshots are being taken, return why its claims belong
    together now though the plan did not see it, "" if they do not: a pod may have been started
    since.
    """
    claims = [c.name for c in plan.claims]
    if plan.consistency is Consistency.PER_CLAIM or len(claims) < 2:
        return ""
    # Never a shared list: it is asked for what has been started since the plan.
    found = together.writers(await client.list(resources.POD, namespace))
    pods: dict[str, Sequence[Obj]] = {}
    for dump in plan.dumps:
        field = containers.dump_field(dump.name)
        with contextlib.suppress(UserError):  # it is gone: then it writes to nothing either
            pods[dump.name] = await containers.target_pods(
                client, namespace, dump.target, field=field
            )
    asked = asked_containers((d for d in plan.dumps if d.name in pods), pods)
    try:
        together.groups(found, claims, [g.claims for g in plan.together], asked)
    except UserError as error:
        return error.message
    return ""


async def _look(
    pod: Obj,
    writer: Writer,
    claims: Collection[str],
    groups: Sequence[Collection[str]],
    probe: Probe,
) -> None:
    """Refuse a container whose database has a part of its data on the claims of the run only."""
    # What does not run cannot be looked into.
    if not sourcing.container_id(pod, writer.container):
        return
    mounts = sourcing.mounts_of(pod, writer.container)
    # Whatever it keeps is in the run then: that takes no exec to know.
    if all(m.claim in claims for m in mounts if sourcing.may_hold_data(pod, m)):
        return
    layout = await probe(writer.pod, writer.container, mounts)
    if layout is None or not any(d.at.real for d in layout.data):
        return
    if why := data_trouble(layout.data, mounts, layout.mounts, claims, groups):
        raise UserError("DataElsewhere", f"container {writer.container} of pod {writer.pod}: {why}")


def asked_containers(
    dumps: Iterable[PlannedDump], pods: Mapping[str, Sequence[Obj]]
) -> set[tuple[str, str]]:
    """Given the dumps of a run and the running pods of each by its name, return the containers
    whose database is asked by its dump where its data lies: all of the target, as they are made
    from one template.
    """
    return {
        (objects.uid(pod), sourcing.container_of(pod, field="", wanted=dump.target.container))
        for dump in dumps
        if dump.engine in ASKED
        for pod in pods[dump.name]
    }
