"""Reconcile a Backup: read what the next decision rests on, decide, carry it out.

Invariants: a Backup in a final phase is never touched here; the plan is frozen before the first
side effect; admission is one at a time per process, so two runs of one claim never both start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

from pydantic import ValidationError

from backstay.api.backup import (
    FINAL_PHASES,
    BackupPhase,
    BackupSpec,
    BackupStatus,
    DumpState,
    PointResult,
    RunPlan,
    Trigger,
)
from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.domain import objects, run
from backstay.domain.calendar import load_zone
from backstay.domain.clock import Clock
from backstay.domain.errors import Transient, UserError
from backstay.domain.objects import Obj
from backstay.domain.run_status import current_dump, dump_entry, dumps_on
from backstay.domain.run_values import (
    Action,
    CancelDump,
    CreateSnapshot,
    MarkFailed,
    MarkGood,
    Seen,
    StartDump,
    with_seen,
)
from backstay.domain.sights import DumpSeen, DumpSight, PointSeen
from backstay.domain.subject import Subject, parse_subject
from backstay.domain.times import parse_time
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP, BACKUP_POLICY, PERSISTENT_VOLUME_CLAIM
from backstay.reconcile import keys
from backstay.steps import resolve, snapshots
from backstay.steps.dumping import Dumping
from backstay.steps.points import PointWriter
from backstay.steps.status import telling, write_status

HOLDING = frozenset({BackupPhase.DUMPING, BackupPhase.SNAPSHOTTING})
"""Phases that hold the run's claims and targets; Uploading only waits for the driver."""


Run: TypeAlias = Subject[BackupSpec, BackupStatus]


def parse(obj: Obj) -> Run:
    """Given a Backup as read, return it parsed. Raise DataError if it cannot be understood."""
    return parse_subject("Backup", obj, BackupSpec, BackupStatus)


class BackupReconciler:
    """Brings one Backup a step further at each call."""

    def __init__(
        self,
        client: Client,
        dumping: Dumping,
        events: EventPoster,
        clock: Clock,
        enqueue: Callable[[Key], None],
    ) -> None:
        self._client = client
        self._dumping = dumping
        self._events = events
        self._clock = clock
        self._enqueue = enqueue
        self._points = PointWriter(client)
        self._admission = asyncio.Lock()

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a Backup's key, take its next step; return when to look again."""
        obj = await self._client.find(BACKUP, key.name, key.namespace)
        if obj is None or objects.dig(obj, "metadata", "deletionTimestamp"):
            return None
        subject = parse(obj)
        if subject.status.phase.final or subject.spec.trigger is Trigger.IMPORTED:
            return None
        if subject.status.phase is BackupPhase.QUEUED:
            async with self._admission:
                return await self._step(key, subject)
        return await self._step(key, subject)

    async def _step(self, key: Key, subject: Run) -> timedelta | None:
        seen = await self._gather(subject)
        decision = run.decide(seen)
        async with telling(self._client, BACKUP, subject.obj, subject.status):
            for action in decision.actions:
                await self._act(key, subject, seen, action)
        status = decision.status
        await write_status(self._client, BACKUP, subject.obj, status)
        await self._tell(subject, status)
        if status.phase.final:
            self._enqueue(keys.policy(key.namespace, subject.spec.policy))
            self._enqueue(keys.retention(key.namespace, subject.spec.policy))
        return decision.after

    async def _gather(self, subject: Run) -> Seen:
        status = subject.status
        seen = Seen(
            name=objects.name(subject.obj),
            uid=subject.uid,
            created=parse_time(objects.dig(subject.obj, "metadata", "creationTimestamp")),
            now=self._clock.now(),
            spec=subject.spec,
            status=status,
        )
        match status.phase:
            case BackupPhase.PENDING:
                return await self._see_policy(subject, seen)
            case BackupPhase.QUEUED:
                return with_seen(seen, blockers=await self._blockers(subject))
            case BackupPhase.DUMPING:
                return with_seen(seen, dump=await self._see_dump(subject))
            case BackupPhase.SNAPSHOTTING:
                return await self._see_points(subject, seen, recheck=True)
            case BackupPhase.UPLOADING:
                return await self._see_points(subject, seen, recheck=False)
        return seen

    async def _see_policy(self, subject: Run, seen: Seen) -> Seen:
        """Make the plan from the policy; what is wrong with it ends the run."""
        name = subject.spec.policy
        obj = await self._client.find(BACKUP_POLICY, name, subject.namespace)
        try:
            if obj is None:
                raise UserError(
                    run.POLICY_NOT_FOUND,
                    f"spec.policy: there is no BackupPolicy {name} in namespace "
                    f"{subject.namespace}",
                )
            spec = parse_policy_spec(obj)
            if spec.schedule:
                load_zone(spec.schedule.time_zone)
            plan = await resolve.make_plan(self._client, subject.namespace, spec)
        except UserError as error:
            return with_seen(seen, problem=error)
        return with_seen(seen, plan=with_retention(plan, spec, subject.spec))

    async def _blockers(self, subject: Run) -> tuple[str, ...]:
        """Runs of the namespace that share a claim or target and hold it or wait longer."""
        now = self._clock.now()
        found = []
        unfinished = keys.not_in(FINAL_PHASES)
        for obj in await self._client.list(BACKUP, subject.namespace, fields=unfinished):
            if objects.uid(obj) == subject.uid:
                continue
            other = parse(obj)
            waits = (
                other.status.phase is BackupPhase.QUEUED
                and (other.status.retry_at is None or other.status.retry_at <= now)
                and run.due_order(other.spec, other.status, objects.name(other.obj))
                < run.due_order(subject.spec, subject.status, objects.name(subject.obj))
            )
            holds = other.status.phase in HOLDING
            if (waits or holds) and run.overlap(other.status.plan, subject.status.plan):
                found.append(objects.name(obj))
        return tuple(sorted(found))

    async def _see_dump(self, subject: Run) -> DumpSeen | None:
        """Look at the dump that is next or under way, where it was started or would be."""
        status = subject.status
        dump = current_dump(status)
        if dump is None or status.plan is None:
            return None
        entry = dump_entry(status, dump.name)
        started = entry if entry and entry.attempt == status.attempt else None
        try:
            place = await resolve.find_place(
                self._client,
                subject.namespace,
                dump,
                [c.name for c in status.plan.claims],
                prefer=started.pod_uid if started else "",
            )
        except UserError as error:
            return DumpSeen(DumpSight.FAILED, message=error.message)
        except Transient as error:
            return DumpSeen(DumpSight.UNREACHABLE, message=error.message)
        if started is None:
            return DumpSeen(DumpSight.NONE, place)
        if started.container_id != place.container_id:
            return DumpSeen(DumpSight.UNREACHABLE, place)
        return await self._dumping.look(subject.namespace, subject.uid, dump, place, status.attempt)

    async def _see_points(self, subject: Run, seen: Seen, *, recheck: bool) -> Seen:
        """Look at this attempt's snapshots and, once one is cut, at its dumps again."""
        points: dict[str, PointSeen] = {}
        rechecks: dict[str, DumpSeen] = {}
        for entry in subject.status.points:
            if entry.result is not PointResult.PENDING or not entry.snapshot:
                continue
            pair = await snapshots.read_pair(self._client, subject.namespace, entry.snapshot)
            point = snapshots.seen(pair, run=subject.uid)
            if not point.exists and await self._claim_gone(subject, entry.claim):
                point = PointSeen(claim_gone=True)
            points[entry.claim] = point
            if recheck and point.cut and entry.cut_at is None:
                rechecks |= await self._recheck(subject, entry.claim)
        return with_seen(seen, points=points, rechecks=rechecks)

    async def _claim_gone(self, subject: Run, name: str) -> bool:
        """Whether the claim of the plan is not there any more, or is another of that name."""
        plan = subject.status.plan
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, subject.namespace)
        planned = {c.name: c.uid for c in plan.claims} if plan else {}
        return claim is None or objects.uid(claim) != planned.get(name)

    async def _recheck(self, subject: Run, claim: str) -> dict[str, DumpSeen]:
        """Read the results of a claim's dumps once more, where they ran or in whatever pod has
        the claim now. A pod with another claim, such as a replica's, says nothing about them.
        """
        status = subject.status
        plan = status.plan
        found: dict[str, DumpSeen] = {}
        for entry in dumps_on(status, claim):
            dump = next(d for d in plan.dumps if d.name == entry.name) if plan else None
            if dump is None or plan is None or entry.state is not DumpState.DONE:
                continue
            try:
                place = await resolve.find_place(
                    self._client,
                    subject.namespace,
                    dump,
                    [entry.claim],
                    prefer=entry.pod_uid,
                )
            except (UserError, Transient) as error:
                found[dump.name] = DumpSeen(DumpSight.UNREACHABLE, message=error.message)
                continue
            found[dump.name] = await self._dumping.look(
                subject.namespace, subject.uid, dump, place, status.attempt
            )
        return found

    async def _act(self, key: Key, subject: Run, seen: Seen, action: Action) -> None:
        namespace = subject.namespace
        match action:
            case StartDump(dump, place, attempt):
                self._dumping.start(
                    namespace,
                    subject.uid,
                    dump,
                    place,
                    attempt=attempt,
                    wake=lambda: self._enqueue(key),
                )
            case CancelDump(dump, place, attempt):
                await self._dumping.cancel(namespace, subject.uid, dump, place, attempt)
            case CreateSnapshot():
                await self._points.create(subject.obj, subject.spec, subject.status, action)
            case MarkGood(claim):
                await self._points.mark_good(
                    subject.obj, subject.spec, subject.status, claim, seen.now
                )
            case MarkFailed(snapshot):
                await self._points.mark_failed(namespace, snapshot, subject.uid)

    async def _tell(self, subject: Run, status: BackupStatus) -> None:
        """One Event for each change of phase; the attempt tells repeated phases apart."""
        if status.phase is subject.status.phase:
            return
        failed = status.phase in (BackupPhase.FAILED, BackupPhase.PARTIALLY_FAILED)
        await self._events.tell(
            subject.obj,
            status.phase.value,
            status.message or f"run of policy {subject.spec.policy} is {status.phase}",
            type="Warning" if failed else "Normal",
            attempt=status.attempt,
        )


def parse_policy_spec(obj: Obj) -> PolicySpec:
    """Given a BackupPolicy as read, return its spec. Raise UserError if it is not valid."""
    try:
        return PolicySpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError("InvalidSpec", f"spec.{where}: {first['msg']}") from error


def with_retention(plan: RunPlan, policy: PolicySpec, spec: BackupSpec) -> RunPlan:
    """Given a plan, return it with how long its points are kept."""
    if spec.trigger is not Trigger.AD_HOC:
        return plan
    days = spec.keep_days or (policy.retention.adhoc_days if policy.retention else None)
    return changed(plan, keep_days=days)
