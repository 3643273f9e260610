"""1,000 policies that are due in the same minute, on a real API server.

Policies in 200 namespaces, with the operator's own queue, policy and backup reconcilers; a run is
followed until it has asked for its snapshot, as there is no driver to cut one. The peers' figure
(snapscheduler, 1,000 schedules without jitter): snapshots asked for 7 s after the minute at p99.
The clock is moved to just before the slot, so nothing is waited for.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from tests.bench.figure import Figure
from tests.support.apiserver import running_api_server
from tests.support.schedules import (
    MovedClock,
    a_few_at_a_time,
    addresses,
    make_policies,
    make_snapshot_class,
    make_source,
    next_hour,
    policy_body,
)

from backstay.api.common import format_duration
from backstay.domain import objects
from backstay.domain.admission import Limits
from backstay.domain.objects import Obj
from backstay.domain.timing import offset_of
from backstay.engine.queue import Key, Queue
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import login
from backstay.kube.resources import BACKUP_POLICY, NAMESPACE, VOLUME_SNAPSHOT, Resource
from backstay.reconcile import keys
from backstay.reconcile.admission import Admitter
from backstay.reconcile.backup import BackupReconciler
from backstay.reconcile.policy import PolicyReconciler
from backstay.steps.streams import Streams

POLICIES: Final = 1000
NAMESPACES: Final = 200
WORKERS: Final = 8
JITTER: Final = timedelta(seconds=60)
AHEAD: Final = timedelta(seconds=60)
"""From the first look at 1,000 policies, which is not what is measured, to their slot."""
PATIENCE: Final = 600.0
WRITES: Final = frozenset({"create", "patch", "delete"})


@dataclass(slots=True)
class Seen:
    """What happened, on the operator's clock and on time.monotonic()."""

    started: dict[Key, datetime] = field(default_factory=dict)
    asked: dict[Key, datetime] = field(default_factory=dict)
    """When the snapshot of a Backup was asked for."""
    writes: list[float] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Watched(Client):
    """A client that notes when the snapshots of which Backups were asked for."""

    seen: Seen

    async def create(self, resource: Resource, body: Obj) -> Obj:
        made = await super().create(resource, body)
        if resource is VOLUME_SNAPSHOT:
            backup = objects.labels(body)["backstay.dev/backup"]
            key = keys.backup(objects.namespace(body), backup)
            self.seen.asked[key] = self._clock.now()
            if len(self.seen.asked) == POLICIES:
                self.seen.done.set()
        return made


def measure() -> list[Figure]:
    """Return lateness and peak writes with jitter, and lateness without, in one run each."""
    figures = []
    for jitter in (JITTER, None):
        with (
            tempfile.TemporaryDirectory() as folder,
            running_api_server(Path(folder)) as kubeconfig,
        ):
            figures += asyncio.run(_measure(kubeconfig, jitter))
    return figures


async def _measure(kubeconfig: Path, jitter: timedelta | None) -> list[Figure]:
    access, clock, seen = await login(kubeconfig), MovedClock(), Seen()

    def on_request(verb: str, _plural: str, _status: int, _seconds: float) -> None:
        if verb in WRITES:
            seen.writes.append(time.monotonic())

    streams = Streams(Exec(access))
    async with Watched(access, clock, on_request=on_request) as client:
        client.seen = seen
        names = [f"bench-{number}" for number in range(NAMESPACES)]
        await make_snapshot_class(client)
        await a_few_at_a_time(client.create(NAMESPACE, {"metadata": {"name": n}}) for n in names)
        homes = [(names[n % NAMESPACES], f"p-{n}") for n in range(POLICIES)]
        # A claim for each: one claim has one run at a time.
        await a_few_at_a_time(make_source(client, home, name) for home, name in homes)
        written = {"jitter": format_duration(jitter)} if jitter else {}
        bodies = [policy_body(home, name, name, **written) for home, name in homes]
        policies = addresses(await make_policies(client, bodies))
        slot = next_hour(clock.now())
        clock.move_to(slot - AHEAD)
        await _operate(client, streams, clock, policies, slot)
    await streams.close()
    return _figures(seen, policies, slot, jitter)


async def _operate(
    client: Watched,
    streams: Streams,
    clock: MovedClock,
    policies: Sequence[tuple[str, str]],
    slot: datetime,
) -> None:
    """Run an operator until every policy's run has asked for its snapshot."""
    seen = client.seen
    waiting: list[Queue] = []

    def enqueue(key: Key) -> None:
        if key.kind == keys.BACKUP:
            seen.started.setdefault(key, clock.now())
        waiting[0].add(key)

    events = EventPoster(client, clock, "bench")
    runs = BackupReconciler(client, streams, events, clock, enqueue)
    # No driver cuts here, so no slot is ever given back.
    admitter = Admitter(client, events, clock, Limits(POLICIES, POLICIES, POLICIES), enqueue)
    schedules = PolicyReconciler(client, events, clock, enqueue)

    async def reconcile(key: Key) -> timedelta | None:
        if key.kind == keys.POLICY:
            return await schedules.reconcile(key)
        if key == keys.ADMISSION:
            return await admitter.reconcile(key)
        after = await runs.reconcile(key)
        return None if key in seen.asked else after

    waiting.append(Queue(reconcile, clock, workers=WORKERS))
    working = asyncio.create_task(waiting[0].run())
    try:
        for address in policies:
            waiting[0].add(keys.policy(*address))
        if clock.now() > slot:
            raise RuntimeError(f"the slot was over before {BACKUP_POLICY.plural} were looked at")
        async with asyncio.timeout(PATIENCE):
            seen.writes.clear()
            await seen.done.wait()
    finally:
        waiting[0].stop()
        await working


def _figures(
    seen: Seen, policies: Sequence[tuple[str, str]], slot: datetime, jitter: timedelta | None
) -> list[Figure]:
    due = {(ns, name): slot + offset_of(ns, name, jitter) for ns, name in policies}
    stem = f"-{slot:%Y%m%d-%H%M}"

    def late(found: dict[Key, datetime]) -> list[float]:
        whose = {(k.namespace, k.name.removesuffix(stem)): at for k, at in found.items()}
        return sorted((whose[address] - at).total_seconds() for address, at in due.items())

    started, asked = late(seen.started), late(seen.asked)
    spread = f"jitter {format_duration(jitter)}" if jitter else "no jitter"
    method = (
        f"{POLICIES} policies in {NAMESPACES} namespaces, {spread}, {WORKERS} workers, real "
        "kube-apiserver and etcd on the same cores; against the slot plus each policy's offset"
    )
    ceiling = 1.0 if jitter else 60.0
    figures = [
        Figure(f"start, p99 late, {spread}", _at(started, 0.99), "s", f"< {ceiling:g}",
               _at(started, 0.99) < ceiling and started[0] >= 0, method),
        Figure(f"snapshot, p99 late, {spread}", _at(asked, 0.99), "s", f"< {2 * ceiling:g}",
               _at(asked, 0.99) < 2 * ceiling, method),
    ]  # fmt: skip
    peak = _peak(seen.writes)
    goal = 4 * len(seen.writes) / (seen.writes[-1] - seen.writes[0])
    if jitter:
        figures.append(
            Figure("peak writes in a second", peak, "1/s", f"< {goal:.0f}", peak < goal,
                   f"{method}; goal: four times the mean from the first write to the last")
        )  # fmt: skip
    return figures


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _peak(moments: Sequence[float]) -> float:
    """The most writes that any second holds."""
    ordered = sorted(moments)
    return max(bisect_right(ordered, at + 1.0) - n for n, at in enumerate(ordered))
