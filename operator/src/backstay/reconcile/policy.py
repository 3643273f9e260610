"""Reconcile a BackupPolicy: validate it, start the run that is due, describe what exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from backstay.api.common import changed, format_time, with_condition
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import MissedSlots, MissReason
from backstay.domain import labels, objects, policy
from backstay.domain.clock import Clock
from backstay.domain.clock_skew import clock_off, slots_now
from backstay.domain.errors import (
    BackstayError,
    DataError,
    NotFound,
    Refused,
    UserError,
)
from backstay.domain.objects import Obj, dig
from backstay.domain.run.machine import FORBIDDEN
from backstay.domain.schedule import manual
from backstay.domain.schedule.policy_seen import Seen
from backstay.domain.times import parse_time
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP, BACKUP_POLICY
from backstay.observe import metrics
from backstay.reconcile import policy_gather
from backstay.reconcile.run_maker import NOT_ASKED, RunMaker
from backstay.reconcile.runs import parse_policy_spec
from backstay.steps.conditions import policy_status
from backstay.steps.status import report_trouble, write_status
from backstay.stores.planning import Planner
from backstay.stores.snapshots.series import policy_snapshots

WHY: Final[Mapping[MissReason, str]] = MappingProxyType(
    {
        MissReason.DEADLINE_EXCEEDED: "nobody started it within startingDeadline",
        MissReason.COALESCED: "a newer slot was due as well, and its run stands for both",
        MissReason.BLACKOUT: "it fell into a blackout window",
        MissReason.OVERLAP: "an earlier run of this policy took too long",
        MissReason.CLOCK: "a clock that was wrong and was set passed over it, or gave its run to "
        "another slot; check the time of the nodes",
        MissReason.EDITED: "the schedule was edited, or the policy suspended, before it started",
    }
)

WANTED: Final = frozenset({MissReason.BLACKOUT, MissReason.COALESCED, MissReason.EDITED})
"""Reasons that somebody chose, or that cost nothing: no warning."""

RECHECK: Final = timedelta(minutes=4)
"""How long what Ready says of claims and classes may stand: shorter than the time between two
looks of the resync, so that each of them looks for them again."""


LONGEST_MESSAGE: Final = 1024


class PolicyReconciler:
    """Brings one BackupPolicy up to date at each call."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
        *,
        planner: Planner,
    ) -> None:
        self._client = client
        self._planner = planner
        self._events = events
        self._runs = RunMaker(client, events, enqueue)
        self._clock = clock
        self._enqueue = enqueue
        # In memory: the first look of each process is a whole one.
        self._checked: dict[Key, float] = {}
        """When the claims and classes of a policy were last looked for, and found."""

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's key, start what is due and write its status."""
        obj = await self._client.find(BACKUP_POLICY, key.name, key.namespace)
        if obj is None or dig(obj, "metadata", "deletionTimestamp"):
            # Else the figures of a policy that is gone would stand until the process ends.
            metrics.forget_policy(key.namespace, key.name)
            self._checked.pop(key, None)
            return None
        try:
            seen, decision = await self._decide(key, obj)
        except (Refused, NotFound, DataError) as error:
            # What Ready says would stand for ever: it is of a look that cannot be had any more.
            await self._report_blind(obj, error)
            raise
        # The Backup before lastSlot: who dies in between finds it by its name. The other way round
        # the slot would count as done and have no run.
        if decision.slot is not None and seen.spec is not None:
            await self._runs.scheduled(obj, seen.spec, decision.slot, again=decision.again)
        if decision.asked and decision.status.manual is not None:
            await self._runs.asked(obj, decision.status.manual)
        await self._report_missed(obj, decision.news)
        await self._report_ignored(obj, decision.ignored)
        if why := manual.refusal(seen):
            await self._events.post(obj, NOT_ASKED, why, type="Warning", attempt=why)
        await write_status(self._client, BACKUP_POLICY, obj, decision.status)
        # After the write: a status that loses its race counts nothing twice.
        for missed in decision.missed:
            metrics.on_missed(key.namespace, key.name, missed.reason, missed.count)
        status = decision.status
        metrics.on_policy(
            key.namespace,
            key.name,
            good=status.good,
            missing=seen.missing,
            last_success=status.last_success,
        )
        await self._report(obj, seen.status, status)
        return decision.after

    async def _report_blind(self, obj: Obj, error: BackstayError) -> None:
        """The policy cannot be looked at: say so in Ready, as far as its status can be read."""
        old = policy_status(obj)
        conditions = with_condition(
            old.conditions,
            type="Ready",
            ok=False,
            reason=FORBIDDEN if isinstance(error, Refused) else "CannotLook",
            message=error.message[:LONGEST_MESSAGE],
            generation=int(dig(obj, "metadata", "generation", default=0)),
            now=self._clock.now(),
        )
        new = changed(old, conditions=conditions)
        # Where that fails too, the error of the look is the one to be raised.
        await report_trouble(self._client, BACKUP_POLICY, obj, new)
        await self._report(obj, old, new)

    async def _decide(self, key: Key, obj: Obj) -> tuple[Seen, policy.Decision]:
        """Decide on what is cheap to see, and look for claims and classes where Ready needs it."""
        # Without claims and classes: a look that follows each run must be cheap.
        seen = await self._gather(obj)
        decision = policy.decide(seen)
        if seen.spec is None or self._stands(key, seen, decision):
            return seen, decision
        try:
            address = key.namespace, key.name
            await self._planner.make_plan(address, seen.spec)
        except UserError as error:
            self._checked.pop(key, None)
            seen = replace(seen, problem=error)
            # Decided again, so that Ready says it. A slot that is due starts all the same: its run
            # waits for what is missing, and reports it.
            return seen, policy.decide(seen)
        self._checked[key] = self._clock.monotonic()
        return seen, decision

    def _stands(self, key: Key, seen: Seen, decision: policy.Decision) -> bool:
        """Whether Ready=True needs no look at claims and classes: it was said of this spec, and
        either lately, or a run starts now, which looks for them itself.
        """
        ready = any(c.type == "Ready" and c.status == "True" for c in seen.status.conditions)
        # What is wrong, or was said of another spec, is looked at each time.
        if not ready or seen.status.observed_generation != seen.generation:
            return False
        age = self._clock.monotonic() - self._checked.get(key, float("-inf"))
        return decision.slot is not None or age < RECHECK.total_seconds()

    async def _gather(self, obj: Obj) -> Seen:
        namespace, name = objects.namespace(obj), objects.name(obj)
        spec, problem = None, None
        try:
            spec = parse_policy_spec(obj)
        except UserError as error:
            problem = error
        # All of them, finished ones too: the slots that they name have run.
        backups = await self._client.list(BACKUP, namespace, fields=f"spec.policy={name}")
        snapshots = await policy_snapshots(self._client, namespace, name)
        return Seen(
            namespace=namespace,
            name=name,
            token=objects.annotations(obj).get(labels.RUN, ""),
            edited=policy_gather.edited(obj),
            resumed=policy_gather.resumed(obj),
            ceilings=self._planner.ceilings,
            clock=clock_off(self._client.skew),
            stepped=self._client.clock_skipped(),
            # After the reads: how far our clock is off is known from their answers.
            now=slots_now(self._clock.now(), self._client.skew),
            created=parse_time(dig(obj, "metadata", "creationTimestamp")),
            generation=int(dig(obj, "metadata", "generation", default=0)),
            status=policy_status(obj),
            spec=spec,
            problem=problem,
            runs=[policy_gather.run_seen(backup) for backup in backups],
            slots=policy_gather.slots(snapshots),
            points=policy_gather.good_points(backups, snapshots),
            missing=policy_gather.missing(backups),
        )

    async def _report_missed(self, obj: Obj, news: Sequence[MissedSlots]) -> None:
        """One Event when slots begin to be missed, before the status says so: who dies between
        the two reports it again, under the same name.
        """
        for missed in news:
            wanted = missed.reason in WANTED
            slot = format_time(missed.first)
            await self._events.post(
                obj,
                f"Missed{missed.reason}",
                f"slot {slot} of the schedule has no run: {WHY[missed.reason]}",
                type="Normal" if wanted else "Warning",
                attempt=slot,
            )

    async def _report_ignored(self, obj: Obj, last_slot: datetime | None) -> None:
        """One Event when a lastSlot that is ahead of now is taken back, before it is."""
        if last_slot is None:
            return
        slot = format_time(last_slot)
        await self._events.post(
            obj,
            "LastSlotIgnored",
            f"status.lastSlot: {slot} is ahead of now, as a clock that was ahead leaves it: it "
            "is ignored, and the schedule goes on; check the time of the nodes",
            type="Warning",
            attempt=slot,
        )

    async def _report(self, obj: Obj, old: PolicyStatus, new: PolicyStatus) -> None:
        """One Event when Ready changes its reason."""
        before = next((c.reason for c in old.conditions if c.type == "Ready"), None)
        now = next(c for c in new.conditions if c.type == "Ready")
        if now.reason != before:
            await self._events.post(
                obj,
                now.reason,
                now.message,
                type="Normal" if now.status == "True" and now.reason == "Valid" else "Warning",
                attempt=format_time(now.last_transition_time),
            )
