"""1,000 policies that are due in the same minute, on a real API server.

Policies in 200 namespaces, with the operator's own reconcilers, admission and queue; each run is
followed to its end. In the driver's place a client of its own takes each snapshot as it comes, and
wakes the run as the watch would. The peers' figure (snapscheduler, 1,000 schedules without jitter):
snapshots asked for 7 s after the minute at p99. The clock is moved to just before the slot.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from tests.bench.figure import Figure
from tests.support.apiserver import running_api_server
from tests.support.dumping_cluster import take
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

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.schedule.slots import offset_of
from backstay.durations import format_duration
from backstay.engine.queue import Key, Queue
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import login
from backstay.kube.resources import BACKUP_POLICY, NAMESPACE, VOLUME_SNAPSHOT, Resource
from backstay.main import Router
from backstay.reconcile import keys
from backstay.settings import Settings
from backstay.steps.exec_streams import Streams

POLICIES: Final = 1000
NAMESPACES: Final = 200
WORKERS: Final = 8
JITTER: Final = timedelta(seconds=60)
AHEAD: Final = timedelta(seconds=60)
"""From the first look at 1,000 policies, which is not what is measured, to their slot."""
PATIENCE: Final = 600.0
DRIVERS: Final = 4
"""Snapshots that are taken side by side."""
MOST_REQUESTS: Final = 32
WRITES: Final = frozenset({"create", "patch", "delete"})


@dataclass(slots=True)
class Seen:
    """What happened, on the operator's clock and on time.monotonic()."""

    clock: MovedClock
    looked: set[Key] = field(default_factory=set)
    """Policies that were looked at."""
    started: dict[Key, datetime] = field(default_factory=dict)
    asked: dict[Key, datetime] = field(default_factory=dict)
    """When the snapshot of a Backup was asked for."""
    ended: set[Key] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)
    writes: list[float] = field(default_factory=list)
    all_looked: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def on_request(self, verb: str, plural: str, _status: int, _seconds: float) -> None:
        self.requests[f"{verb} {plural}"] += 1
        if verb in WRITES:
            self.writes.append(time.monotonic())


class Watched(Client):
    """A client that notes when the snapshots of which Backups were asked for, and hands each to
    who stands in for the driver.
    """

    seen: Seen
    asked_for: asyncio.Queue[tuple[Key, Obj]]

    async def create(self, resource: Resource, body: Obj) -> Obj:
        made = await super().create(resource, body)
        if resource is VOLUME_SNAPSHOT:
            key = keys.backup(objects.namespace(body), objects.labels(body)[labels.BACKUP])
            self.seen.asked[key] = self.seen.clock.now()
            self.asked_for.put_nowait((key, made))
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
    access, clock = await login(kubeconfig), MovedClock()
    seen = Seen(clock)
    async with (
        # As if the API server's clock were moved as well: its client sees no skew.
        Watched(access, SystemClock(), on_request=seen.on_request) as client,
        Client(access, clock) as others,
    ):
        client.seen, client.asked_for = seen, asyncio.Queue()
        names = [f"bench-{number}" for number in range(NAMESPACES)]
        await make_snapshot_class(others)
        await a_few_at_a_time(others.create(NAMESPACE, {"metadata": {"name": n}}) for n in names)
        homes = [(names[n % NAMESPACES], f"p-{n}") for n in range(POLICIES)]
        # A claim for each: one claim has one run at a time.
        await a_few_at_a_time(make_source(others, home, name) for home, name in homes)
        written = {"jitter": format_duration(jitter)} if jitter else {}
        bodies = [policy_body(home, name, name, **written) for home, name in homes]
        policies = addresses(await make_policies(others, bodies))
        slot = next_hour(clock.now())
        streams = Streams(Exec(access))
        router = Router(Settings(), clock, client, EventPoster(client, clock, "bench"), streams)
        await _operate(client, others, router, policies, slot)
        await streams.close()
    return _figures(seen, policies, slot, jitter)


async def _operate(
    client: Watched,
    others: Client,
    router: Router,
    policies: Sequence[tuple[str, str]],
    slot: datetime,
) -> None:
    """Run an operator, and a driver, until the run of every policy is over."""
    seen, clock = client.seen, client.seen.clock

    def enqueue(key: Key) -> None:
        if key.kind == keys.BACKUP:
            seen.started.setdefault(key, clock.now())
        if key.kind == keys.RETENTION:
            seen.ended.add(key)
            if len(seen.ended) == POLICIES:
                seen.done.set()
            return  # it has a bench of its own
        queue.add(key)

    async def reconcile(key: Key) -> timedelta | None:
        after = await router.reconcile(key)
        seen.looked.add(key)
        if len(seen.looked) == POLICIES:
            seen.all_looked.set()
        return after

    async def drive() -> None:
        while True:
            key, snapshot = await client.asked_for.get()
            await take(others, clock, snapshot)
            queue.add(key)

    queue = Queue(reconcile, clock, workers=WORKERS)
    router.wire(enqueue)
    clock.move_to(slot - AHEAD)
    tasks = [asyncio.create_task(queue.run())]
    tasks += [asyncio.create_task(drive()) for _ in range(DRIVERS)]
    try:
        for address in policies:
            queue.add(keys.policy(*address))
        await seen.all_looked.wait()
        if clock.now() > slot:
            raise RuntimeError(f"the slot was over before {BACKUP_POLICY.plural} were looked at")
        seen.writes.clear()
        seen.requests.clear()
        async with asyncio.timeout(PATIENCE):
            await seen.done.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
    ceiling = 5.0 if jitter else 60.0
    figures = [
        Figure(f"start, p99 late, {spread}", _at(started, 0.99), "s", f"< {ceiling:g}",
               _at(started, 0.99) < ceiling and started[0] >= 0, method),
        Figure(f"snapshot, p99 late, {spread}", _at(asked, 0.99), "s", f"< {2 * ceiling:g}",
               _at(asked, 0.99) < 2 * ceiling, method),
    ]  # fmt: skip
    cost = seen.requests.total() / POLICIES
    mine = ", ".join(f"{what} {n / POLICIES:.2f}" for what, n in seen.requests.most_common())
    figures.append(
        Figure(f"requests per run, {spread}", cost, "", f"< {MOST_REQUESTS}",
               cost < MOST_REQUESTS, f"from the policy's look at its slot to Completed: {mine}")
    )  # fmt: skip
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
