"""The composition root: signals, probes, metrics, the Lease, and all that runs behind it.

Order of life: the ports are served from the first second; then the Lease is waited for; only
then are the queue, kopf and the resync started. Whatever must not go on ends the process: a
lost Lease, a Fatal error, kopf's end. The next process reads the world and carries on.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, NoReturn, TypeAlias

from backstay.domain.clock import Clock
from backstay.domain.run.concurrency import Limits
from backstay.engine.group import run_together
from backstay.engine.patience import Patience
from backstay.engine.queue import Key, Queue
from backstay.engine.resync import Resync
from backstay.engine.system_clock import SystemClock
from backstay.handlers import Host
from backstay.handlers.watching import Watching
from backstay.kube.client import Client
from backstay.kube.definitions import Definitions
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.lease import Elector, identity
from backstay.kube.login import Login, login
from backstay.observe import metrics, ports
from backstay.reconcile import keys
from backstay.reconcile.backup import RIGHTS_WAIT, BackupReconciler
from backstay.reconcile.concurrency import Admitter
from backstay.reconcile.copies import CopiesReconciler
from backstay.reconcile.leftovers import LeftoverReconciler
from backstay.reconcile.policy import PolicyReconciler
from backstay.reconcile.rebuild import RebuildReconciler
from backstay.reconcile.repository import RepositoryReconciler
from backstay.reconcile.restore import RestoreReconciler
from backstay.reconcile.resync import Everything
from backstay.reconcile.retention import RetentionReconciler
from backstay.reconcile.sweeps import SweepReconciler
from backstay.settings import Settings
from backstay.steps.agent_jobs import AgentImage, AgentJobs
from backstay.steps.dumps import Dumping
from backstay.steps.exec_streams import Streams
from backstay.stores.base import Tools
from backstay.stores.copies.take import Copying
from backstay.stores.copies.upkeep_jobs import UpkeepJobs
from backstay.stores.planning import Planner
from backstay.stores.registry import Registry, stores_of
from backstay.targets.registry import targets_of
from backstay.targets.turns import RestoreTurns

log = logging.getLogger(__name__)

Reconcile: TypeAlias = Callable[[Key], Awaitable[timedelta | None]]

RESYNC_JITTER: Final = 0.1
SWITCH_SECONDS: Final = 0.0005


class Operator:
    """All parts, wired. `settings` and `clock` as in the tests or in the pod."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._ready = False
        self._watching: Watching | None = None

    async def run(self) -> None:
        """Serve the ports, wait for the Lease, lead until a signal. Raise Fatal at once."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        serving = await self._serve()
        try:
            await self._work(await login(), stop)
        finally:
            for runner in serving:
                await runner.cleanup()

    async def _serve(self) -> list[ports.Runner]:
        address = self._settings.bind_address

        def ready() -> str | None:
            # A standby is ready too: it serves its purpose, and a rollout must not wait for it.
            if self._watching is not None:
                return self._watching.blind
            return None if self._ready else "not logged in yet"

        return [
            await ports.serve(
                ports.probes(lambda: None, ready), address, self._settings.probe_port
            ),
            await ports.serve(ports.metrics_page(), address, self._settings.metrics_port),
        ]

    async def _work(self, access: Login, stop: asyncio.Event) -> None:
        """Lead until `stop`, then give the Lease back when nothing writes any more."""
        async with Client(access, self._clock) as unfenced:
            elector = Elector(
                unfenced,
                self._clock,
                namespace=self._settings.namespace,
                name=self._settings.lease_name,
                identity=identity(self._settings.identity, self._clock),
            )
            self._ready = True
            leading = asyncio.create_task(self._lead(access, elector))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            leading.cancel()
            try:
                await leading
            except asyncio.CancelledError:
                log.info("stopped")
            await elector.release()
            metrics.LEADER.set(0)

    async def _lead(self, access: Login, elector: Elector) -> None:
        await elector.acquire()
        metrics.LEADER.set(1)
        async with Client(
            access,
            self._clock,
            fence=elector.fence,
            on_request=metrics.on_request,
            memory=elector.memory,
        ) as client:
            await self._work_on(client, access, elector)

    async def _work_on(self, client: Client, access: Login, elector: Elector) -> None:
        """Run the queue, the resync and the watches, until one of them ends."""
        events = EventPoster(client, self._clock, self._settings.identity)
        streams = Streams(Exec(access, fence=elector.fence))
        router = Router(self._settings, self._clock, client, events, streams)
        queue = Queue(
            router.reconcile,
            self._clock,
            workers=self._settings.workers,
            longest=keys.LONGEST,
            on_done=lambda key, seconds, outcome: metrics.on_reconciled(key.kind, seconds, outcome),
        )
        router.wire(queue.add)
        everything = Everything(client, self._clock, queue.add, stores=router.stores)
        resync = Resync(self._clock, self._settings.resync_interval, RESYNC_JITTER, everything.look)

        def host(on_end: Callable[[str], None]) -> Host:
            identity = self._settings.identity
            return Host(access, queue.add_threadsafe, client.echoes.has, on_end, identity)

        self._watching = Watching(
            Definitions(client), self._clock, host, on_back=resync.wake, on_end=_die
        )
        try:
            await run_together(
                queue.run(),
                resync.run(),
                self._watching.run(),
                elector.run(lambda: _die("the Lease is lost")),
            )
        finally:
            await streams.close()


class Router:
    """Hands each key to the reconciler of its kind. `registry` makes the stores that there are."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        client: Client,
        events: EventPoster,
        streams: Streams,
        *,
        registry: Registry = stores_of,
    ) -> None:
        self._add: Callable[[Key], None] | None = None
        self._context = client, events, clock, self._enqueue
        self._refusals = Patience(clock, RIGHTS_WAIT)
        self._dumping = Dumping(client, streams, self._refusals)
        image = AgentImage(settings.agent_image, settings.agent_pull_policy)
        jobs = AgentJobs(client, image)
        roots, home = settings.rolling, settings.namespace
        wakes = self._wake_copies, self._wake_repository
        self.stores = registry(
            Tools(client, clock, events, self._dumping, jobs, roots, home, *wakes)
        )
        self._planner = Planner(client, self.stores, settings.ceilings)
        turns = RestoreTurns(client, settings.namespace)
        self._reconcilers = {
            **self._of_runs(settings, streams, turns),
            **self._of_points(UpkeepJobs(jobs, Copying(client, jobs, roots, home))),
            keys.RESTORE: RestoreReconciler(
                *self._context[:3],
                self._enqueue,
                stores={store.plan.name: store.restores for store in self.stores},
                targets=targets_of(client, roots),
                turns=turns,
            ).reconcile,
            keys.REPOSITORY: RepositoryReconciler(*self._context, jobs=jobs).reconcile,
            keys.LEFTOVERS: LeftoverReconciler(client).reconcile,
        }

    def _of_runs(
        self, settings: Settings, streams: Streams, turns: RestoreTurns
    ) -> dict[str, Reconcile]:
        limits = Limits(settings.pool_global, settings.pool_node, settings.pool_driver)
        policies = PolicyReconciler(*self._context, planner=self._planner)
        backups = BackupReconciler(
            *self._context,
            streams=streams,
            dumping=self._dumping,
            refusals=self._refusals,
            planner=self._planner,
        )
        client, events, clock, enqueue = self._context
        admitter = Admitter(client, events, clock, limits, enqueue, stores=self.stores, turns=turns)
        return {
            keys.POLICY: policies.reconcile,
            keys.BACKUP: backups.reconcile,
            keys.ADMISSION.kind: admitter.reconcile,
        }

    def _of_points(self, jobs: UpkeepJobs) -> dict[str, Reconcile]:
        client, events, clock, enqueue = self._context
        retention = RetentionReconciler(client, clock, enqueue, events, stores=self.stores)
        return {
            keys.RETENTION: retention.reconcile,
            keys.COPIES: CopiesReconciler(*self._context, jobs=jobs).reconcile,
            keys.SWEEPS: SweepReconciler(client, clock).reconcile,
            keys.REBUILD: RebuildReconciler(*self._context).reconcile,
        }

    def wire(self, add: Callable[[Key], None]) -> None:
        """Given the queue's `add`, let reconcilers ask for looks."""
        self._add = add

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a key, have its reconciler work on it."""
        return await self._reconcilers[key.kind](key)

    def _wake_copies(self, namespace: str, policy: str) -> None:
        self._enqueue(keys.copies(namespace, policy))

    def _wake_repository(self, namespace: str, name: str) -> None:
        self._enqueue(keys.repository(namespace, name))

    def _enqueue(self, key: Key) -> None:
        if self._add is not None:
            self._add(key)


def _die(why: str) -> NoReturn:
    """End the process without any further write; used where going on could do harm."""
    log.critical("exiting: %s", why)
    logging.shutdown()
    os._exit(1)


def keep_turns_short() -> None:
    """Keep what else this process does from holding the loop up for tenths of a second."""
    # A thread that plans has the interpreter for so long each time, and the loop gives it up at
    # each request that it sends: with Python's 5 ms a turn with many requests takes long.
    sys.setswitchinterval(SWITCH_SECONDS)
    # A full collection would walk everything that was imported, time and again.
    gc.collect()
    gc.freeze()


def run() -> None:
    """Run the operator with settings from the environment."""
    settings = Settings()
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns at each start that signals do not reach its thread, which is what we want; and when
    # a watch cannot go on it logs many lines, besides ending, which we report.
    for part in ("_core.reactor.running", "_core.reactor.orchestration", "_cogs.clients.watching"):
        logging.getLogger(f"kopf.{part}").setLevel(logging.CRITICAL)
    keep_turns_short()
    asyncio.run(Operator(settings, SystemClock()).run())
