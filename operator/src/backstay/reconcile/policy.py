"""Reconcile a BackupPolicy: validate it, start the run that is due, describe what exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from backstay.api.backup import BackupPhase, Trigger
from backstay.api.common import changed, format_time, with_condition
from backstay.api.point import PointGone, PointResult
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import MissedSlots, MissReason
from backstay.api.store import StoreKind
from backstay.domain import labels, naming, objects, policy
from backstay.domain.calendar import load_zone
from backstay.domain.clock import Clock
from backstay.domain.clock_skew import clock_off, slots_now
from backstay.domain.errors import (
    AlreadyExists,
    BackstayError,
    DataError,
    NotFound,
    Refused,
    UserError,
)
from backstay.domain.objects import Obj, dig
from backstay.domain.run.machine import FORBIDDEN
from backstay.domain.schedule import policy_seen
from backstay.domain.schedule.early import Named
from backstay.domain.stores.snapshots.carriers import (
    identity,
    is_adopted,
    is_good,
    point_of,
    record_of,
)
from backstay.domain.times import parse_time
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP, BACKUP_POLICY
from backstay.observe import metrics
from backstay.reconcile import keys
from backstay.reconcile.runs import parse, parse_policy_spec
from backstay.steps.conditions import policy_status
from backstay.steps.status import report_trouble, write_status
from backstay.stores.copies.take import Copying
from backstay.stores.planning import make_plan
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
_NOT_THERE: Final = frozenset({PointGone.MISSING, PointGone.ACCEPTED})
"""Points of which a snapshot may be there, but none that can be restored from."""

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
        copying: Copying,
    ) -> None:
        self._client = client
        self._copying = copying
        self._events = events
        self._clock = clock
        self._enqueue = enqueue
        self._checked: dict[Key, float] = {}
        """When the claims and classes of a policy were last looked for, and found."""

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's key, start what is due and write its status."""
        obj = await self._client.find(BACKUP_POLICY, key.name, key.namespace)
        if obj is None or dig(obj, "metadata", "deletionTimestamp"):
            metrics.forget_policy(key.namespace, key.name)
            self._checked.pop(key, None)
            return None
        try:
            seen, decision = await self._decide(key, obj)
        except (Refused, NotFound, DataError) as error:
            # What Ready says would stand for ever: it is of a look that cannot be had any more.
            await self._report_blind(obj, error)
            raise
        if decision.slot is not None and seen.spec is not None:
            await self._create_run(obj, seen.spec, decision.slot, again=decision.again)
        await self._report_missed(obj, decision.news)
        await self._report_ignored(obj, decision.ignored)
        await write_status(self._client, BACKUP_POLICY, obj, decision.status)
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
        await report_trouble(self._client, BACKUP_POLICY, obj, new)
        await self._report(obj, old, new)

    async def _decide(self, key: Key, obj: Obj) -> tuple[policy_seen.Seen, policy.Decision]:
        """Decide on what is cheap to see, and look for claims and classes where Ready needs it."""
        seen = await self._gather(obj)
        decision = policy.decide(seen)
        if seen.spec is None or self._stands(key, seen, decision):
            return seen, decision
        try:
            address = key.namespace, key.name
            await make_plan(self._client, self._copying, address, seen.spec)
        except UserError as error:
            self._checked.pop(key, None)
            seen = replace(seen, problem=error)
            return seen, policy.decide(seen)
        self._checked[key] = self._clock.monotonic()
        return seen, decision

    def _stands(self, key: Key, seen: policy_seen.Seen, decision: policy.Decision) -> bool:
        """Whether Ready=True needs no look at claims and classes: it was said of this spec, and
        either lately, or a run starts now, which looks for them itself.
        """
        ready = any(c.type == "Ready" and c.status == "True" for c in seen.status.conditions)
        if not ready or seen.status.observed_generation != seen.generation:
            return False
        age = self._clock.monotonic() - self._checked.get(key, float("-inf"))
        return decision.slot is not None or age < RECHECK.total_seconds()

    async def _gather(self, obj: Obj) -> policy_seen.Seen:
        namespace, name = objects.namespace(obj), objects.name(obj)
        spec, problem = None, None
        try:
            spec = parse_policy_spec(obj)
        except UserError as error:
            problem = error
        backups = await self._client.list(BACKUP, namespace, fields=f"spec.policy={name}")
        snapshots = await policy_snapshots(self._client, namespace, name)
        reported = [p for b in backups for p in dig(b, "status", "points", default=())]
        gone = {p.get("ref") for p in reported if p.get("gone") in _NOT_THERE}
        return policy_seen.Seen(
            namespace=namespace,
            name=name,
            edited=_edited(obj),
            resumed=_resumed(obj),
            ceilings=self._copying.ceilings,
            clock=clock_off(self._client.skew),
            stepped=self._client.clock_skipped(),
            now=slots_now(self._clock.now(), self._client.skew),
            created=parse_time(dig(obj, "metadata", "creationTimestamp")),
            generation=int(dig(obj, "metadata", "generation", default=0)),
            status=policy_status(obj),
            spec=spec,
            problem=problem,
            runs=[_run_seen(backup) for backup in backups],
            slots=_slots(snapshots),
            points=[
                policy_seen.GoodPoint(
                    p.claim, StoreKind.SNAPSHOT, p.taken, identity(snapshot, labels.BACKUP)
                )
                for snapshot, p in zip(snapshots, map(point_of, snapshots), strict=True)
                if is_good(p) and p.name not in gone
            ]
            + [point for backup in backups for point in _copies(backup)],
            missing=sum(1 for point in reported if _is_missing(point)),
        )

    async def _create_run(self, obj: Obj, spec: PolicySpec, slot: datetime, *, again: bool) -> None:
        """Create the slot's Backup, or find that it exists: a slot has one Backup, ever, and one
        more if it has run before its time.
        """
        namespace, name = objects.namespace(obj), objects.name(obj)
        zone = load_zone(spec.schedule.time_zone if spec.schedule else "UTC")
        names = naming.backup_names_again if again else naming.backup_names
        for candidate in names(name, slot, zone):
            body: Obj = {
                "metadata": {
                    "name": candidate,
                    "namespace": namespace,
                    "labels": {labels.POLICY: naming.label_value(name)},
                },
                "spec": {
                    "policy": name,
                    "trigger": Trigger.SCHEDULED.value,
                    "scheduledFor": format_time(slot),
                },
            }
            try:
                await self._client.create(BACKUP, body)
            except AlreadyExists:
                found = await self._client.get(BACKUP, candidate, namespace)
                if _run_seen(found).slot != slot or dig(found, "spec", "policy") != name:
                    continue  # Another slot with the same local time: take the other name.
            self._enqueue(keys.backup(namespace, candidate))
            return
        raise DataError(f"both names of the Backup for slot {format_time(slot)} are taken")

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


def _run_seen(obj: Obj) -> policy_seen.RunSeen:
    subject = parse(obj)
    return policy_seen.RunSeen(
        name=objects.name(obj),
        slot=subject.spec.scheduled_for,
        finished=subject.status.phase.final or subject.spec.trigger is Trigger.IMPORTED,
        started=subject.status.started_at,
        complete=subject.status.phase is BackupPhase.COMPLETED,
    )


def _edited(obj: Obj) -> datetime | None:
    """When the policy's spec was last written, by the API server's word: an annotation that we
    take off ourselves is no edit.
    """
    entries = dig(obj, "metadata", "managedFields", default=[])
    times = [e["time"] for e in entries if e.get("time") and "f:spec" in e.get("fieldsV1", {})]
    return max(map(parse_time, times), default=None)


def _resumed(obj: Obj) -> datetime | None:
    """When suspend was last written by somebody who wrote nothing else of the spec, by the API
    server's word: as the time moves only with the value, it was another one before.
    """
    alone = [
        entry["time"]
        for entry in dig(obj, "metadata", "managedFields", default=[])
        if entry.get("time")
        and entry.get("operation") == "Update"
        and not entry.get("subresource")
        and set(dig(entry, "fieldsV1", "f:spec", default={})) == {"f:suspend"}
    ]
    return max(map(parse_time, alone), default=None)


def _copies(obj: Obj) -> list[policy_seen.GoodPoint]:
    """The rolling copies that a Backup shows as good and there. What a restore kept of what was
    there before it is no backup.
    """
    return [
        policy_seen.GoodPoint(p.source, p.store, p.taken_at, objects.name(obj))
        for p in parse(obj).status.points
        if p.result is PointResult.GOOD and p.taken_at and p.rolling
        if not (p.rolling.gone or p.rolling.missing)
        if labels.RESTORE_REQUEST not in p.rolling.annotations
    ]


def _is_missing(point: Obj) -> bool:
    """Whether a point as a Backup shows it is missing, be it a snapshot or a rolling copy."""
    return point.get("gone") == PointGone.MISSING or bool(dig(point, "rolling", "missing"))


def _slots(snapshots: Sequence[Obj]) -> list[Named]:
    """Slots of the schedule that the artifacts name; an ad-hoc run or another tool fills none."""
    ours = [s for s in snapshots if not is_adopted(s)]
    scheduled = [s for s in ours if point_of(s).run_type is labels.RunType.CRONJOB]
    records = [(record_of(s), identity(s, labels.BACKUP)) for s in scheduled]
    return [Named(record.slot, run) for record, run in records if record]
