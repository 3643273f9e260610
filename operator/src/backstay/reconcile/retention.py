"""The retention pass of one policy: tiers, marks and sweeps, and the records that mirror them.

Invariants: snapshots are read before the Backups and RestoreRequests that they point at, so a
run or request that is under way is never taken for gone; every write is tested against what was
read; one item that fails is told and never blocks the next.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from backstay.api.backup import BackupStatus, PointResult
from backstay.api.common import changed
from backstay.api.restore import RestorePhase
from backstay.builders.snapshot import metadata_patch
from backstay.domain import brakes, labels, objects, upkeep
from backstay.domain.carriers import rules_of
from backstay.domain.clock import Clock
from backstay.domain.errors import BackstayError, Conflict, Fatal, Transient, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.points import Point
from backstay.domain.sweep import Action, Step, plan_sweep
from backstay.domain.until import tiers_of
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    RESTORE_REQUEST,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)
from backstay.reconcile import keys
from backstay.reconcile.runs import Subject, parse, parse_policy_spec
from backstay.steps.held import tell_held
from backstay.steps.series import contents_of_handle, policy_contents, policy_snapshots
from backstay.steps.status import write_status

log = logging.getLogger(__name__)

SWEEP_POLL: Final = timedelta(seconds=2)
IDLE_STEPS: Final = frozenset({Step.NOTHING, Step.FROZEN})
KEEP_FAILED_RECORDS: Final = 10
"""Records of failed runs without any artifact, where the policy names no number."""


class RetentionReconciler:
    """Carries the retention of one policy a step further at each call."""

    def __init__(self, client: Client, clock: Clock, enqueue: Callable[[Key], None]) -> None:
        self._client = client
        self._clock = clock
        self._enqueue = enqueue
        self._clock_was_off = False

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a policy's retention key, take the next step for each of its artifacts."""
        namespace, name = key.namespace, key.name
        try:
            policy = await self._client.find(BACKUP_POLICY, name, namespace)
            rules = rules_of(parse_policy_spec(policy)) if policy is not None else None
        except UserError as error:
            log.warning("%s: nothing is changed: %s", key, error.message)
            return None
        snapshots = await policy_snapshots(self._client, namespace, name)
        contents = await policy_contents(self._client, namespace, name)
        bound = await self._bound(snapshots, contents)
        backups = [
            parse(b)
            for b in await self._client.list(BACKUP, namespace, fields=f"spec.policy={name}")
        ]
        seen = upkeep.Seen(
            now=self._clock.now(),
            rules=rules,
            snapshots=snapshots,
            contents=bound,
            running=frozenset(b.uid for b in backups if not b.status.phase.final),
            requests=await self._requests(namespace, snapshots),
            released=_released(policy),
            clock=self._check_clock(),
        )
        work = _Work()
        plan = upkeep.plan(seen)
        if policy is not None:
            brake = seen.clock or brakes.mass_mark(plan.held, namespace, name)
            # First: a series that is held is told even where an item fails.
            await work.attempt(name, partial(self._tell, policy, brake, seen))
        for item in plan.items:
            await work.attempt(item.point.name, partial(self._carry_out, item))
        for content in upkeep.unbound(contents, snapshots) if seen.clock is None else ():
            await work.attempt(objects.name(content), partial(self._finish, content))
        shown = {item.point.name: item for item in plan.items}
        for backup in backups:
            if backup.status.phase.final:
                await work.attempt(
                    objects.name(backup.obj), partial(self._mirror_record, backup, shown)
                )
        await work.attempt("records", partial(self._remove_records, backups, contents, seen))
        if work.changed:
            self._enqueue(keys.policy(namespace, name))
        work.raise_failures(key)
        return SWEEP_POLL if work.changed else None

    def _check_clock(self) -> brakes.Brake | None:
        """Compare clocks, after the reads: each answer tells the server's time."""
        skew = self._client.skew
        brake = brakes.clock(skew)
        if (brake is not None) is not self._clock_was_off:
            self._clock_was_off = brake is not None
            if brake is not None:
                log.warning("%s (ahead by %s)", brake.message, skew)
            else:
                log.info("clocks agree again: retention goes on")
        return brake

    async def _tell(self, policy: Obj, brake: brakes.Brake | None, seen: upkeep.Seen) -> bool:
        await tell_held(self._client, policy, brake, seen.now)
        return False

    async def _bound(self, snapshots: list[Obj], contents: list[Obj]) -> dict[str, Obj]:
        """Contents by name: those listed by label, and those bound but not labelled yet."""
        found = {objects.name(c): c for c in contents}
        for snapshot in snapshots:
            name = dig(snapshot, "status", "boundVolumeSnapshotContentName")
            if name and name not in found:
                content = await self._client.find(VOLUME_SNAPSHOT_CONTENT, name)
                if content is not None:
                    found[name] = content
        return found

    async def _requests(self, namespace: str, snapshots: list[Obj]) -> frozenset[str]:
        """Uids of the requests under way; asked for only if any snapshot is in use."""
        if not any(labels.IN_USE in objects.annotations(s) for s in snapshots):
            return frozenset()
        final = {phase.value for phase in RestorePhase if phase.final}
        return frozenset(
            objects.uid(r)
            for r in await self._client.list(RESTORE_REQUEST, namespace)
            if dig(r, "status", "phase") not in final
        )

    async def _carry_out(self, item: upkeep.Item) -> bool:
        """Write one item; return whether anything was written or is awaited."""
        wrote = False
        if item.snapshot is not None:
            await self._patch(VOLUME_SNAPSHOT, item.snapshot)
            wrote = True
        if item.content is not None:
            await self._patch(VOLUME_SNAPSHOT_CONTENT, item.content)
            wrote = True
        if wrote:
            log.info("%s: %s", item.point.name, "; ".join(item.reasons) or "mirrored")
            return True
        return item.sweep is not None and await self._sweep(item.sweep, item.point)

    async def _patch(self, resource: Resource, patch: upkeep.Patch) -> None:
        await self._client.patch(
            resource,
            objects.name(patch.obj),
            objects.namespace(patch.obj) or None,
            metadata_patch(
                patch.obj, labels=patch.labels, annotations=patch.annotations, spec=patch.spec
            ),
        )

    async def _sweep(self, action: Action, point: Point | None) -> bool:
        """Take one step of a sweep; return whether another pass has to follow soon."""
        if action.step in IDLE_STEPS:
            return point is not None and point.deleting
        log.info("sweep: %s %s: %s", action.step, action.name, action.why)
        if action.step is Step.DELETE_SNAPSHOT:
            assert point is not None  # noqa: S101 - only a snapshot that is there is deleted
            await self._client.delete(
                VOLUME_SNAPSHOT,
                action.name,
                point.namespace,
                uid=action.uid,
                resource_version=action.resource_version,
            )
            return True
        if action.step is Step.DELETE_CONTENT:
            await self._client.delete(
                VOLUME_SNAPSHOT_CONTENT,
                action.name,
                None,
                uid=action.uid,
                resource_version=action.resource_version,
            )
            return True
        policy = "Delete" if action.step is Step.SET_DELETE else "Retain"
        patch: Obj = {
            "metadata": {"resourceVersion": action.resource_version},
            "spec": {"deletionPolicy": policy},
        }
        if action.step in (Step.WRITE_INTENT, Step.DROP_INTENT):
            patch["metadata"]["annotations"] = {labels.SWEEP: action.intent}
        await self._client.patch(VOLUME_SNAPSHOT_CONTENT, action.name, None, patch)
        return True

    async def _finish(self, content: Obj) -> bool:
        """Go on with a content whose snapshot is not among the policy's, if it is truly gone."""
        if dig(content, "metadata", "deletionTimestamp"):
            return True  # Its driver is removing the disk; the record waits for that.
        ref = dig(content, "spec", "volumeSnapshotRef", default={})
        snapshot = await self._client.find(VOLUME_SNAPSHOT, ref.get("name"), ref.get("namespace"))
        if snapshot is not None and objects.uid(snapshot) == ref.get("uid"):
            return False  # It only lost our label.
        mine = upkeep.content_of(content)
        if mine.sweep_intent is None:
            return False
        others = [upkeep.content_of(c) for c in await contents_of_handle(self._client, content)]
        return await self._sweep(plan_sweep(None, mine, others, due=False), None)

    async def _mirror_record(self, backup: Subject, items: dict[str, upkeep.Item]) -> bool:
        """Show on a finished Backup what its points say now."""
        shown = []
        for entry in backup.status.points:
            item = items.get(entry.snapshot or "")
            if item is None:
                shown.append(changed(entry, tiers=(), until="gone" if entry.snapshot else None))
            else:
                shown.append(changed(entry, tiers=tiers_of(item.point), until=item.until or None))
        if tuple(shown) == backup.status.points:
            return False
        tiers = list(dict.fromkeys(t for p in shown for t in p.tiers))
        untils = list(dict.fromkeys(p.until for p in shown if p.until))
        status: BackupStatus = changed(
            backup.status,
            points=tuple(shown),
            tiers=",".join(tiers) or None,
            until=untils[0] if len(untils) == 1 else ("mixed" if untils else None),
        )
        await write_status(self._client, BACKUP, backup.obj, status)
        return False

    async def _remove_records(
        self, backups: list[Subject], contents: list[Obj], seen: upkeep.Seen
    ) -> bool:
        """Remove the records whose last point is confirmed gone, and old empty ones."""
        alive = {objects.annotations(obj).get(labels.RUN) for obj in (*seen.snapshots, *contents)}
        records = [
            upkeep.RecordSeen(
                name=objects.name(b.obj),
                finished_at=b.status.completed_at or seen.now,
                promised=any(p.result is PointResult.GOOD for p in b.status.points),
                artifacts=b.uid in alive,
            )
            for b in backups
            if b.status.phase.final
        ]
        keep = KEEP_FAILED_RECORDS
        if seen.rules is not None and not seen.rules.keeps_all:
            keep = seen.rules.failed
        removable = frozenset(upkeep.records_to_remove(records, keep))
        for backup in backups:
            name = objects.name(backup.obj)
            if name not in removable:
                continue
            if await self._confirmed_gone(backup):
                await self._client.delete(
                    BACKUP,
                    name,
                    objects.namespace(backup.obj),
                    uid=backup.uid,
                    resource_version=objects.version(backup.obj),
                )
                log.info("record %s removed: its last point is gone", name)
        return False

    async def _confirmed_gone(self, backup: Subject) -> bool:
        """Ask for each artifact by name: a label taken off by hand must not look like a loss."""
        for point in backup.status.points:
            if point.snapshot and await self._client.find(
                VOLUME_SNAPSHOT, point.snapshot, backup.namespace
            ):
                return False
            if point.content and await self._client.find(VOLUME_SNAPSHOT_CONTENT, point.content):
                return False
        return True


def _released(policy: Obj | None) -> frozenset[str]:
    notes = objects.annotations(policy) if policy is not None else {}
    return brakes.released_plans(notes.get(labels.RELEASE_RETENTION))


class _Work:
    """Items done one after the other, whatever becomes of each."""

    def __init__(self) -> None:
        self.changed = False
        self._failures: list[str] = []
        self._lost_race = False

    async def attempt(self, what: str, work: Callable[[], Awaitable[bool]]) -> None:
        """Given an item's work, do it; keep its failure for later."""
        try:
            self.changed = await work() or self.changed
        except Fatal:
            raise
        except Conflict as error:
            # Somebody edited it meanwhile, which is a supported way to act: read again soon.
            log.info("%s changed meanwhile: %s", what, error.message)
            self._lost_race = True
        except BackstayError as error:
            self._failures.append(f"{what}: {error.message}")

    def raise_failures(self, key: Key) -> None:
        """Raise Transient if any item failed, Conflict if one lost a race only."""
        if self._failures:
            raise Transient(f"{key}: {'; '.join(self._failures)}")
        if self._lost_race:
            raise Conflict(f"{key}: objects changed during the pass")
