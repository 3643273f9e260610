"""Let queued runs start: one complete list of unfinished Backups, then one decision over all.

Invariants: this is the only place that starts runs, and one key of the queue, so one pass at a
time; what a run takes is written with the phase that takes it, so the next pass, of this or of
another process, counts it. A run whose write lost a race keeps its permits until the next pass.
What fails for one run is that run's alone: the others start.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.api.backup import FINAL_PHASES, BackupPhase, BackupStatus
from backstay.domain.clock import Clock
from backstay.domain.errors import (
    BackstayError,
    Conflict,
    DataError,
    Fatal,
    NotFound,
    Transient,
)
from backstay.domain.records.lifecycle import Run
from backstay.domain.run import concurrency, machine
from backstay.domain.run.concurrency import Limits
from backstay.domain.run.values import with_seen
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP
from backstay.observe import metrics
from backstay.reconcile import keys
from backstay.reconcile.runs import is_leaving, parse, report, sighted
from backstay.steps.batch import Work
from backstay.steps.status import write_status
from backstay.stores.base import Store
from backstay.targets.turns import RestoreTurns

log = logging.getLogger(__name__)

SHARE: Final = 4
"""A list is followed by a pause of so many times its length: those of thousands cost seconds."""
LONGEST_PAUSE: Final = 10.0


def show_permits(runs: Iterable[concurrency.Run], verdicts: Mapping[tuple[str, str], str]) -> None:
    """Given all unfinished runs and what each waits for, show who holds permits and who waits."""
    held: dict[tuple[str, str], list[float]] = {}
    for found in runs:
        if found.holds and found.status.attempted_at is not None:
            since = found.status.attempted_at.timestamp()
            for pool in found.pools:
                held.setdefault((pool, found.namespace), []).append(since)
    metrics.on_permits(held, Counter(at[0] for at, why in verdicts.items() if why))


class Admitter:
    """Starts the queued runs that may start; `limits` are those of the pools."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        limits: Limits,
        enqueue: Callable[[Key], None],
        *,
        stores: Sequence[Store],
        turns: RestoreTurns,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._limits = limits
        self._enqueue = enqueue
        self._stores = stores
        self._turns = turns
        self._not_before = 0.0
        self._served: Mapping[str, int] = {}

    async def reconcile(self, _: Key) -> timedelta | None:
        """Make one pass; return when to make the next, if somebody waits for a time."""
        began = self._clock.monotonic()
        # However many runs end in a second, each of which asks for a pass: the list is what costs.
        if began < self._not_before:
            return timedelta(seconds=self._not_before - began)
        # Restores take their turns under it too: none begins between the look at where they write
        # and the start of a run that reads there.
        async with self._turns.lock:
            return await self._pass(began)

    async def _pass(self, began: float) -> timedelta | None:
        subjects = await self._unfinished()
        # Not by the whole pass: a slow API server would let the fewer start the more there wait.
        pause = min(LONGEST_PAUSE, SHARE * (self._clock.monotonic() - began))
        taken = await self._turns.taken()
        # After the reads, which may take seconds: what is due by then starts in this pass.
        now = self._clock.now()
        runs = [
            concurrency.Run(
                s.namespace, s.name, machine.due_order(s.spec, s.created, s.name), s.status
            )
            for s in subjects.values()
            # One that is deleted while it waits takes no turn. One that works counts until it is
            # gone: its permits are in use.
            if not (is_leaving(s) and s.status.phase is BackupPhase.QUEUED)
        ]
        verdicts = concurrency.admit(runs, self._limits, now, self._served, taken)
        # In memory only: without it the order is that of being due, and nothing else changes.
        self._served = concurrency.serve(self._served, verdicts)
        show_permits(runs, verdicts)
        work = Work(self._client)
        await work.do(
            *(
                (f"Backup {namespace}/{name}", partial(self._decide, subjects[at], waits_for))
                for at, waits_for in verdicts.items()
                for namespace, name in (at,)
            )
        )
        # From the end of the pass on, and before what failed is raised: the retry waits as well.
        self._not_before = self._clock.monotonic() + pause
        # Last: what fails for one run keeps no other from its start.
        work.raise_failures(keys.ADMISSION)
        return concurrency.next_look(runs, verdicts, now)

    async def _unfinished(self) -> dict[tuple[str, str], Run]:
        found = {}
        async for page in self._client.pages(BACKUP, fields=keys.not_in(FINAL_PHASES)):
            for obj in page:
                try:
                    subject = parse(obj)
                except DataError as error:
                    # Raised, it would keep every run of the cluster waiting.
                    log.warning("not admitted: %s", error.message)
                    continue
                found[subject.namespace, subject.name] = subject
        return found

    async def _decide(self, subject: Run, waits_for: str) -> bool:
        key = keys.backup(subject.namespace, subject.name)
        try:
            status = await self._carry_out(key, subject, waits_for)
        except (Conflict, NotFound) as error:
            log.info("%s is looked at again: %s", key, error.message)
            self._enqueue(key)
            return False
        # Only started here: its next step is one of its own, with a key of its own.
        if status.phase is not subject.status.phase:
            await report(self._events, subject, status)
            self._enqueue(key)
        # A slot may wait for the end of this run.
        if status.phase.final:
            self._enqueue(keys.policy(subject.namespace, subject.spec.policy))
        return False

    async def _carry_out(self, key: Key, subject: Run, waits_for: str) -> BackupStatus:
        """Start the run or have it wait, and end it where that is refused; return its status."""
        seen = with_seen(sighted(subject, self._clock.now(), self._stores), waits_for=waits_for)
        try:
            status = machine.decide(seen).status
            await write_status(self._client, BACKUP, subject.obj, status)
        except (Conflict, NotFound, Transient, Fatal):
            # These pass, or are read again: the run waits on, for the next pass.
            raise
        except Exception as error:
            # It is refused in every pass, and would wait for ever without a word.
            log.exception("%s can never start", key)
            name = "" if isinstance(error, BackstayError) else f"{type(error).__name__}: "
            status = machine.fail(seen, f"it cannot be started: {name}{error}").status
            await write_status(self._client, BACKUP, subject.obj, status)
        return status
