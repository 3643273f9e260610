"""Make the points of a run: the snapshot at its birth, and the verdict at its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from backstay.api.backup import BackupSpec, BackupStatus, Trigger
from backstay.api.common import format_time
from backstay.api.plan import RunPlan
from backstay.api.policy import PolicySpec
from backstay.api.store import SNAPSHOT
from backstay.builders.snapshot import volume_snapshot
from backstay.domain import labels, naming, objects
from backstay.domain.calendar import load_zone
from backstay.domain.clock_skew import slots_now
from backstay.domain.errors import Conflict, DataError, UserError
from backstay.domain.objects import Obj, dig, with_annotations
from backstay.domain.records.annotation import build_record
from backstay.domain.records.dumps import recorded_dump
from backstay.domain.records.record import Record
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.judge import tiers_for_new
from backstay.domain.retention.points import Rules
from backstay.domain.retention.replaced import accepted_ids, split
from backstay.domain.run.status import spread_of
from backstay.domain.stores.snapshots.actions import CreateSnapshot
from backstay.domain.stores.snapshots.carriers import point_of, record_of
from backstay.domain.stores.snapshots.moments import created
from backstay.domain.stores.snapshots.sights import Pair
from backstay.domain.times import parse_time
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY, NAMESPACE, PERSISTENT_VOLUME_CLAIM
from backstay.sources.claims import recorded_claim
from backstay.stores.snapshots import objects as snapshots
from backstay.stores.snapshots.series import policy_snapshots


class PointWriter:
    """Writes the points of runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # Kept, as each snapshot would read it: see design note 0013 for when that can be believed.
        self._namespaces: dict[str, tuple[str, datetime | None]] = {}
        """By name: the uid, and from what moment of the server's clock on it is known."""

    async def create(
        self, backup: Obj, spec: BackupSpec, status: BackupStatus, wanted: CreateSnapshot
    ) -> None:
        """Given a run and the snapshot that it wants, ask for it, or find that this was done.

        Raise Conflict if the claim went away since it was looked at.
        """
        plan = status.plan
        if plan is None:
            raise DataError(f"Backup {objects.name(backup)} has no plan")
        namespace = objects.namespace(backup)
        planned = next(c for c in plan.claims if c.name == wanted.claim)
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, wanted.claim, namespace)
        if claim is None or objects.uid(claim) != planned.uid:
            raise Conflict(f"claim {namespace}/{wanted.claim} went away")  # looked at again
        record = Record(
            policy=spec.policy,
            backup=objects.name(backup),
            slot=spec.scheduled_for or wanted.requested_at,  # a run by hand has no slot
            zone=plan.zone,
            attempt=status.attempt,
            namespace=namespace,
            namespace_uid=await self._namespace_uid(claim),
            claim=recorded_claim(claim),
            dumps=tuple(recorded_dump(d) for d in wanted.dumps),
        )
        values, notes = _identity(spec, objects.name(backup), wanted.claim)
        values |= _born(plan, wanted.claim)
        notes |= {labels.RUN: objects.uid(backup), labels.RECORD: build_record(record)}
        await snapshots.create(
            self._client,
            volume_snapshot(
                name=wanted.name,
                namespace=namespace,
                claim=wanted.claim,
                class_name=planned.class_name,
                labels=values,
                annotations=notes,
            ),
        )

    async def _namespace_uid(self, claim: Obj) -> str:
        """The uid of the namespace that a claim, as read just now, lives in. A claim ends with
        its namespace: one that was there before a namespace was read is in that same one still.
        """
        namespace = objects.namespace(claim)
        uid, since = self._namespaces.get(namespace, ("", None))
        if since is None or parse_time(dig(claim, "metadata", "creationTimestamp")) >= since:
            since = self._client.server_date  # of before the read
            uid = objects.uid(await self._client.get(NAMESPACE, namespace))
            self._namespaces[namespace] = uid, since
        return uid

    async def mark_good(
        self, spec: BackupSpec, status: BackupStatus, pair: Pair, now: datetime
    ) -> None:
        """Given a run and its point that is ready, as read, write the verdict good with its tiers.

        Raise Conflict if anything changed meanwhile: the caller reads and decides again.
        """
        if pair.snapshot is None:
            raise Conflict("the snapshot went away")
        namespace, name = objects.namespace(pair.snapshot), objects.name(pair.snapshot)
        policy = await self._client.find(BACKUP_POLICY, spec.policy, namespace)
        rules = _rules(policy, status)
        record = record_of(pair.snapshot)
        if record is None:
            raise DataError(f"VolumeSnapshot {namespace}/{name} has no readable record")
        frozen = status.plan.together if status.plan else ()
        claim = record.claim.name
        record = replace(
            record,
            together=next((g.claims for g in frozen if claim in g.claims), ()),
            spread=spread_of(status),
        )
        skew = now - slots_now(now, self._client.skew)  # the verdict goes by the server's clock
        verdict = {
            labels.TAKEN_AT: format_time(_taken(pair.snapshot, status, now, skew)),
            # Rounded up: the grace must not lose a part of a second.
            labels.GOOD_SINCE: format_time(now - skew + timedelta(microseconds=999_999)),
            labels.MADE_FOR: objects.uid(pair.snapshot),  # a copy of it is not good
            labels.RECORD: build_record(record),
        }
        new = point_of(with_annotations(pair.snapshot, verdict), rules.zone)
        others = [
            point
            for snapshot in await policy_snapshots(self._client, namespace, spec.policy)
            if (point := point_of(snapshot, rules.zone)).claim == new.claim and point.uid != new.uid
        ]
        accepted = accepted_ids(policy, new.claim)  # what a person says is the same source
        mine = next(part for part in split([*others, new], accepted) if new in part)
        tiers = tiers_for_new(mine, new, rules, now)
        await snapshots.mark_good(self._client, pair, tiers=tiers, verdict=verdict)

    async def mark_failed(self, namespace: str, name: str, run: str) -> None:
        """Given a snapshot of a run that failed, label it so if it is there and still pending, and
        its content as well if there is a disk snapshot behind it.
        """
        pair = await snapshots.read_pair(self._client, namespace, name)
        # By its run: that the name is ours does not say that the snapshot is.
        if pair.snapshot is None or objects.annotations(pair.snapshot).get(labels.RUN) != run:
            return
        if objects.labels(pair.snapshot).get(labels.RESULT) != labels.Result.PENDING.value:
            return
        # The content first: once the snapshot says failed, nobody comes back to its content here.
        if snapshots.is_taken(pair):
            await snapshots.label_content(self._client, pair, labels.Result.FAILED)
        await snapshots.mark_failed(self._client, pair.snapshot)


def _rules(policy: Obj | None, status: BackupStatus) -> Rules:
    """Retention as it stands now: tiers are a function of the set, not of the run's start.

    A policy that is gone or broken meanwhile must not keep a good point from being good: it
    gets every tier, and the next pass that can read the policy corrects that.
    """
    zone = load_zone(status.plan.zone if status.plan else "UTC")
    if policy is None:
        return Rules.keep_everything(zone)
    try:
        return rules_of(PolicySpec.model_validate(policy.get("spec") or {}), SNAPSHOT)
    except (UserError, ValidationError):
        return Rules.keep_everything(zone)


def _taken(snapshot: Obj, status: BackupStatus, now: datetime, skew: timedelta) -> datetime:
    """The moment of the snapshot by the API server's clock: not before the snapshot was created
    there, and not after now.
    """
    # What the run noted when it saw it taken: by now a driver may say something else.
    moments = [p.taken_at for p in status.points if p.ref == objects.name(snapshot)]
    taken = next((c for c in moments if c is not None), now) - skew
    return min(max(taken, created(snapshot) or taken), max(now - skew, created(snapshot) or taken))


def _identity(spec: BackupSpec, backup: str, claim: str) -> tuple[dict[str, str], dict[str, str]]:
    """Labels that say what a snapshot is of, and annotations where a name is too long."""
    full = {labels.PVC: claim, labels.POLICY: spec.policy, labels.BACKUP: backup}
    values, notes = naming.identity_labels(full)
    adhoc = spec.trigger is Trigger.AD_HOC
    values[labels.TYPE] = (labels.RunType.ADHOC if adhoc else labels.RunType.CRONJOB).value
    return values, notes


def _born(plan: RunPlan, claim: str) -> dict[str, str]:
    """Labels of a snapshot that is not taken yet: a verdict and tiers come later."""
    values = {
        labels.RESULT: labels.Result.PENDING.value,
        labels.RETAIN: labels.Retain.DAILY_WEEKLY_MONTHLY.value,
    }
    days = next(p.keep_days for p in plan.points if p.key == (claim, SNAPSHOT))
    if days is not None:
        values |= {labels.RETAIN: labels.Retain.DAYS.value, labels.RETAIN_DAYS: str(days)}
    return values
