"""Read what the next decision on a Backup rests on; nothing here writes.

Invariant: what cannot be reached now is UNREACHABLE, what is impossible is FAILED: the
plan of the run decides how long to wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from backstay.api.backup import BackupPhase, BackupSpec, Trigger
from backstay.api.common import changed
from backstay.api.plan import PlannedDump, RunPlan
from backstay.api.policy import PolicySpec
from backstay.api.target import Preference
from backstay.domain.calendar import load_zone
from backstay.domain.clock import Clock
from backstay.domain.errors import Transient, UserError
from backstay.domain.records.lifecycle import Run
from backstay.domain.run import hooks, machine
from backstay.domain.run.hooks import Turn
from backstay.domain.run.sights import DumpSeen, DumpSight, HookSeen, HookSight
from backstay.domain.run.status import current_dump, dump_entry, pending
from backstay.domain.run.values import Seen, with_seen
from backstay.domain.sources.mounts import Mount
from backstay.domain.sources.places import DumpPlace
from backstay.dumps.hooks import HookTask
from backstay.dumps.layout import Layout
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY
from backstay.reconcile.runs import is_leaving, parse_policy_spec, sighted
from backstay.steps import containers
from backstay.steps.consistency import Probe
from backstay.steps.dumps import Dumping
from backstay.steps.hooks import Hooking
from backstay.stores.base import errors_of
from backstay.stores.planning import Planner


class Looker:
    """Looks at the cluster for one Backup at a time."""

    def __init__(
        self, client: Client, dumping: Dumping, hooking: Hooking, planner: Planner, clock: Clock
    ) -> None:
        self._client = client
        self._dumping = dumping
        self._hooking = hooking
        self._planner = planner
        self._clock = clock

    async def gather(self, subject: Run) -> Seen:
        """Given a Backup as read, return all that its next decision rests on.

        Raise what the reads raise; an error of a store has its name.
        """
        seen = sighted(subject, self._clock.now(), self._planner.stores)
        match subject.status.phase:
            case BackupPhase.PENDING if not is_leaving(subject):
                return await self._see_policy(subject, seen)
            case BackupPhase.DUMPING if not is_leaving(subject):
                return with_seen(seen, dump=await self._see_dump(subject))
            case BackupPhase.SNAPSHOTTING:
                # The hook first: while one is started or released, nothing asks for snapshots.
                turn = hooks.turn(subject.status, deleting=is_leaving(subject))
                if turn is not None:
                    return with_seen(seen, hook=await self._see_hook(subject, turn))
                return await self._see_points(subject, seen)
            case BackupPhase.UPLOADING | BackupPhase.COPYING:
                return await self._see_points(subject, seen)
        return seen

    async def _see_points(self, subject: Run, seen: Seen) -> Seen:
        """Have each store look at the points of it that are not decided yet."""
        sights: dict[str, object] = {}
        for store in self._planner.stores:
            # What is decided is not looked at again: a verdict stays.
            if pending(subject.status, store.plan.name):
                with errors_of(store):
                    # Each by itself: only the points of a store that fails are given up.
                    sights[store.plan.name] = await store.look(subject, seen.now)
        return with_seen(seen, sights=sights)

    async def _see_policy(self, subject: Run, seen: Seen) -> Seen:
        """Make the plan from the policy; what is wrong with it ends the run."""
        name = subject.spec.policy
        # Read now: the plan is frozen from what the policy says when the run begins.
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
                # Once it is in the plan each later step would fail on a zone that nobody knows.
                load_zone(spec.schedule.time_zone)
            address = subject.namespace, name
            plan = await self._planner.make_plan(
                address,
                spec,
                ask=self._ask(subject),
                probe=self._probe(subject.namespace),
                begins=True,
            )
        except UserError as error:
            # Seen, not raised: how long it may last depends on what it is, which the plan knows.
            return with_seen(seen, problem=error)
        return with_seen(seen, plan=with_retention(plan, spec, subject.spec))

    async def _see_dump(self, subject: Run) -> DumpSeen | None:
        """Look at the dump that is next or under way, where it was started or would be."""
        status = subject.status
        dump = current_dump(status)
        if dump is None or status.plan is None:
            return None
        entry = dump_entry(status, dump.name)
        # What an earlier attempt wrote down is no dump of this one.
        started = entry if entry and entry.attempt == status.attempt else None
        try:
            place = await containers.find_place(
                self._client,
                subject.namespace,
                dump,
                [c.name for c in status.plan.claims],
                # Where it was started, though another pod would be chosen now.
                prefer=started.pod_uid if started else "",
                ask=self._ask(subject),
            )
        except UserError as error:
            return DumpSeen(DumpSight.FAILED, message=error.message)
        except Transient as error:
            # It may come back: the deadline ends this, not the look.
            return DumpSeen(DumpSight.UNREACHABLE, message=error.message)
        if started is None:
            return DumpSeen(DumpSight.NONE, place)
        # Not asked: a dump counts only in the container that it was started in.
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
                # Where it was started, else beside the dump: it holds what that one was taken from.
                prefer=(turn.entry.pod_uid if turn.entry else "") or dumped.get(target, ""),
            )
        except UserError as error:
            return HookSeen(HookSight.FAILED, message=error.message)
        except Transient as error:
            return HookSeen(HookSight.UNREACHABLE, message=error.message)
        # Not asked either: it is not started before its container is written down.
        if turn.entry is None or not turn.entry.container_id:
            return HookSeen(HookSight.NONE, place)
        task = HookTask(subject.uid, status.attempt, turn.stage, turn.hook)
        return await self._hooking.look(subject.namespace, task, place)


def with_retention(plan: RunPlan, policy: PolicySpec, spec: BackupSpec) -> RunPlan:
    """Given a plan, return it with how long each of its points is kept."""
    # Scheduled points are kept by the rules as they are then, not by the frozen plan.
    if spec.trigger is not Trigger.AD_HOC:
        return plan

    def days(store: str) -> int | None:
        kept = policy.retention_of(store)
        return spec.keep_days or (kept.adhoc_days if kept else None)

    return changed(plan, points=tuple(changed(p, keep_days=days(p.store)) for p in plan.points))
