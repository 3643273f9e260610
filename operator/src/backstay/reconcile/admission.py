"""Let queued runs start: one complete list of unfinished Backups, then one decision over all.

Invariants: this is the only place that starts runs, and one key of the queue, so one pass at a
time; what a run takes is written with the phase that takes it, so the next pass, of this or of
another process, counts it. A run whose write lost a race keeps its slot until the next pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.api.backup import FINAL_PHASES, BackupPhase
from backstay.domain import admission, run
from backstay.domain.admission import Limits
from backstay.domain.clock import Clock
from backstay.domain.errors import Conflict, DataError, NotFound
from backstay.domain.records import Run
from backstay.domain.run_values import with_seen
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP
from backstay.reconcile import keys
from backstay.reconcile.runs import is_leaving, parse, sighted, tell
from backstay.steps.status import write_status
from backstay.steps.work import each

log = logging.getLogger(__name__)

SHARE: Final = 4
"""A pass is followed by a pause of so many times its length: lists of thousands cost seconds."""
LONGEST_PAUSE: Final = 10.0


class Admitter:
    """Starts the queued runs that may start; `limits` are those of the pools."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        limits: Limits,
        enqueue: Callable[[Key], None],
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._limits = limits
        self._enqueue = enqueue
        self._not_before = 0.0

    async def reconcile(self, _: Key) -> timedelta | None:
        """Make one pass; return when to make the next, if somebody waits for a time."""
        began = self._clock.monotonic()
        if began < self._not_before:
            return timedelta(seconds=self._not_before - began)
        subjects = await self._unfinished()
        now = self._clock.now()
        verdicts = admission.admit(
            (
                admission.Run(
                    s.namespace, s.name, run.due_order(s.spec, s.created, s.name), s.status
                )
                for s in subjects.values()
                if not (is_leaving(s) and s.status.phase is BackupPhase.QUEUED)
            ),
            self._limits,
            now,
        )
        await each(
            self._client,
            (partial(self._decide, subjects[at], waits_for) for at, waits_for in verdicts.items()),
        )
        pause = min(LONGEST_PAUSE, SHARE * (self._clock.monotonic() - began))
        self._not_before = self._clock.monotonic() + pause
        times = [s.status.retry_at for s in subjects.values() if s.status.retry_at is not None]
        return min((t - now for t in times if t > now), default=None)

    async def _unfinished(self) -> dict[tuple[str, str], Run]:
        found = {}
        async for page in self._client.pages(BACKUP, fields=keys.not_in(FINAL_PHASES)):
            for obj in page:
                try:
                    subject = parse(obj)
                except DataError as error:
                    log.warning("not admitted: %s", error.message)
                    continue
                found[subject.namespace, subject.name] = subject
        return found

    async def _decide(self, subject: Run, waits_for: str) -> None:
        decision = run.decide(with_seen(sighted(subject, self._clock.now()), waits_for=waits_for))
        key = keys.backup(subject.namespace, subject.name)
        try:
            await write_status(self._client, BACKUP, subject.obj, decision.status)
        except (Conflict, NotFound) as error:
            log.info("%s is looked at again: %s", key, error.message)
            self._enqueue(key)
            return
        if decision.status.phase is not subject.status.phase:
            await tell(self._events, subject, decision.status)
            self._enqueue(key)
