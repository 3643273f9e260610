"""Read what the next decision on a Backup rests on; nothing here writes.

Invariant: what cannot be reached now is UNREACHABLE, what is impossible is FAILED: the
plan of the run decides how long to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupPhase, BackupSpec, Trigger
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.plan import PlannedDump, RunPlan
from backstay.api.point import PointStatus
from backstay.api.policy import PolicySpec
from backstay.api.store import StoreKind
from backstay.api.target import Preference
from backstay.domain import objects
from backstay.domain.calendar import load_zone
from backstay.domain.clock import Clock
from backstay.domain.errors import Transient, UserError
from backstay.domain.records.lifecycle import Run
from backstay.domain.run import hooks, machine
from backstay.domain.run.hooks import Turn
from backstay.domain.run.sights import (
    DumpPlace,
    DumpSeen,
    DumpSight,
    HookSeen,
    HookSight,
    PointSeen,
)
from backstay.domain.run.status import current_dump, dump_entry, dumps_on
from backstay.domain.run.values import Seen, with_seen
from backstay.domain.sources.mounts import Mount
from backstay.dumps.hooks import HookTask
from backstay.dumps.layout import Layout
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, PERSISTENT_VOLUME_CLAIM
from backstay.reconcile.runs import is_leaving, parse_policy_spec, sighted
from backstay.steps import containers
from backstay.steps.consistency import Probe, torn
from backstay.steps.dumps import Dumping
from backstay.steps.hooks import Hooking
from backstay.stores.copies.take import Copying
from backstay.stores.planning import make_plan
from backstay.stores.snapshots import objects as snapshots
from backstay.stores.snapshots.objects import Pair

JUST_NOW: Final = timedelta(seconds=10)


class Looker:
    """Looks at the cluster for one Backup at a time."""

    def __init__(
        self, client: Client, dumping: Dumping, hooking: Hooking, copying: Copying, clock: Clock
    ) -> None:
        self._client = client
        self._dumping = dumping
        self._hooking = hooking
        self._copying = copying
        self._clock = clock
        self._asked: set[tuple[str, int, str]] = set()
        """By uid, attempt and claim: the snapshots that this process asked for."""

    async def gather(self, subject: Run) -> tuple[Seen, Mapping[str, Pair]]:
        """Given a Backup as read, return all that its next decision rests on, and by claim the
        snapshots and contents as read.
        """
        pairs: dict[str, Pair] = {}
        return await self._see(subject, pairs), pairs

    def forget(self, uid: str) -> None:
        """Given the uid of a run that is over, forget it."""
        self._asked = {known for known in self._asked if known[0] != uid}

    async def _see(self, subject: Run, pairs: dict[str, Pair]) -> Seen:
        seen = sighted(subject, self._clock.now())
        match subject.status.phase:
            case BackupPhase.PENDING if not is_leaving(subject):
                return await self._see_policy(subject, seen)
            case BackupPhase.DUMPING if not is_leaving(subject):
                return with_seen(seen, dump=await self._see_dump(subject))
            case BackupPhase.SNAPSHOTTING:
                turn = hooks.turn(subject.status, deleting=is_leaving(subject))
                if turn is not None:
                    return with_seen(seen, hook=await self._see_hook(subject, turn))
                return await self._see_points(subject, seen, pairs, recheck=True)
            case BackupPhase.UPLOADING | BackupPhase.COPYING:
                seen = await self._see_points(subject, seen, pairs, recheck=False)
                copy = await self._copying.look(subject.obj, subject.spec, subject.status)
                return with_seen(seen, copy=copy)
        return seen

    async def _see_policy(self, subject: Run, seen: Seen) -> Seen:
        """Make the plan from the policy; what is wrong with it ends the run."""
        name = subject.spec.policy
        obj = await self._client.find(BACKUP_POLICY, name, subject.namespace)
        try:
            if obj is None:
                raise UserError(
                    machine.POLICY_NOT_FOUND,
                    f"spec.policy: there is no BackupPolicy {name} in namespace "
                    f"{subject.namespace}",
                )
            spec = parse_policy_spec(obj)
            if spec.schedule:
                load_zone(spec.schedule.time_zone)
            address = subject.namespace, name
            plan = await make_plan(
                self._client,
                self._copying,
                address,
                spec,
                ask=self._ask(subject),
                probe=self._probe(subject.namespace),
            )
        except UserError as error:
            return with_seen(seen, problem=error)
        return with_seen(seen, plan=with_retention(plan, spec, subject.spec))

    async def _see_dump(self, subject: Run) -> DumpSeen | None:
        """Look at the dump that is next or under way, where it was started or would be."""
        status = subject.status
        dump = current_dump(status)
        if dump is None or status.plan is None:
            return None
        entry = dump_entry(status, dump.name)
        started = entry if entry and entry.attempt == status.attempt else None
        try:
            place = await containers.find_place(
                self._client,
                subject.namespace,
                dump,
                [c.name for c in status.plan.claims],
                prefer=started.pod_uid if started else "",
                ask=self._ask(subject),
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

    def _ask(self, subject: Run) -> containers.Ask:
        async def ask(dump: PlannedDump, place: DumpPlace) -> Preference | None:
            return await self._dumping.role(subject.namespace, dump, place)

        return ask

    def _probe(self, namespace: str) -> Probe:
        async def probe(pod: str, container: str, mounts: Sequence[Mount]) -> Layout | None:
            return await self._dumping.layout(namespace, pod, container, mounts)

        return probe

    async def _see_hook(self, subject: Run, turn: Turn) -> HookSeen:
        """Look at the hook whose turn it is, where it was started or would be: in the pod of a
        dump of the same target, if there is one.
        """
        status = subject.status
        claims = [c.name for c in status.plan.claims] if status.plan else []
        dumped = {
            (d.target.kind, d.target.name): entry.pod_uid
            for d in (status.plan.dumps if status.plan else ())
            if (entry := dump_entry(status, d.name))
        }
        target = turn.hook.target.kind, turn.hook.target.name
        try:
            place = await containers.find_hook_place(
                self._client,
                subject.namespace,
                turn.hook,
                turn.stage,
                claims,
                prefer=(turn.entry.pod_uid if turn.entry else "") or dumped.get(target, ""),
            )
        except UserError as error:
            return HookSeen(HookSight.FAILED, message=error.message)
        except Transient as error:
            return HookSeen(HookSight.UNREACHABLE, message=error.message)
        if turn.entry is None or not turn.entry.container_id:
            return HookSeen(HookSight.NONE, place)
        task = HookTask(subject.uid, status.attempt, turn.stage, turn.hook)
        return await self._hooking.look(subject.namespace, task, place)

    async def _see_points(
        self, subject: Run, seen: Seen, pairs: dict[str, Pair], *, recheck: bool
    ) -> Seen:
        """Look at this attempt's snapshots and, once one is taken, at its dumps again."""
        points: dict[str, PointSeen] = {}
        rechecks: dict[str, DumpSeen] = {}
        for entry in subject.status.points:
            if entry.store is not StoreKind.SNAPSHOT or not entry.pending or not entry.ref:
                continue
            if recheck and self._is_first(subject, entry, seen.now):
                points[entry.source] = PointSeen()
                continue
            pair = pairs[entry.source] = await snapshots.read_pair(
                self._client, subject.namespace, entry.ref
            )
            point = snapshots.seen(pair, run=subject.uid)
            if not point.exists and await self._claim_gone(subject, entry.source):
                point = PointSeen(claim_gone=True)
            points[entry.source] = point
            if recheck and point.taken and entry.taken_at is None:
                rechecks |= await self._recheck(subject, entry.source)
        plan, why = subject.status.plan, ""
        if recheck and plan is not None and any(p.taken for p in points.values()):
            why = await torn(self._client, subject.namespace, plan)
        return with_seen(seen, points=points, rechecks=rechecks, torn=why)

    def _is_first(self, subject: Run, entry: PointStatus, now: datetime) -> bool:
        """Whether a snapshot was written down just now, so there can be none but by a process
        that died since: to ask for it finds that as well, and is to be done anyway.
        """
        asked, plan = (subject.uid, entry.attempt, entry.source), subject.status.plan
        if plan is None or plan.hooks or asked in self._asked:
            return False
        self._asked.add(asked)
        return now - (entry.requested_at or now) < min(JUST_NOW, plan.take_timeout)

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
                place = await containers.find_place(
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


def with_retention(plan: RunPlan, policy: PolicySpec, spec: BackupSpec) -> RunPlan:
    """Given a plan, return it with how long its points are kept."""
    if spec.trigger is not Trigger.AD_HOC:
        return plan

    def days(store: StoreKind) -> int | None:
        kept = policy.retention_of(store)
        return spec.keep_days or (kept.adhoc_days if kept else None)

    rolling = plan.rolling
    return changed(
        plan,
        keep_days=days(StoreKind.SNAPSHOT),
        rolling=changed(rolling, keep_days=days(StoreKind.ROLLING)) if rolling else None,
    )
