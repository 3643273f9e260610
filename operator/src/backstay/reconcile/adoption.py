"""Adopt the snapshots of another tool for one policy, before its retention pass.

Invariants: while that tool's pruner may run, nothing is copied; a snapshot becomes ours in one
tested patch, after its Backup was made; the pass that follows sees a series whole or not at all:
what is left undone here is raised.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import tzinfo

from backstay.api.common import changed, with_condition
from backstay.api.policy import PolicySpec
from backstay.api.source import ClaimSource
from backstay.api.store import SNAPSHOT
from backstay.builders.snapshot import metadata_patch
from backstay.domain import labels, naming, objects
from backstay.domain.adoption import other_labels, other_pruner, takeover
from backstay.domain.adoption.other_retention import to_hold
from backstay.domain.clock import Clock
from backstay.domain.errors import BackstayError, Conflict, DataError, Fatal, Transient, UserError
from backstay.domain.objects import Obj, dig
from backstay.domain.records import rebuild
from backstay.domain.records.annotation import build_record
from backstay.domain.records.record import ClaimRecord, Record
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.sources.claims import selector_text
from backstay.domain.stores.snapshots.moments import created
from backstay.kube.client import Client
from backstay.kube.resources import (
    BACKUP_POLICY,
    CRON_JOB,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.reconcile.runs import parse_policy_spec
from backstay.sources.claims import recorded_claim
from backstay.steps.conditions import policy_status
from backstay.steps.record_import import import_record, size_of
from backstay.steps.status import write_status

log = logging.getLogger(__name__)


class Adopter:
    """Takes over what `spec.adopt` of a policy speaks of."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def adopt(self, policy: Obj, zone: tzinfo) -> Obj:
        """Given a policy as read and its zone, adopt what is to be adopted, report it, and
        return the policy as it is now.

        Raise UserError if the policy is not valid, Conflict or Transient if anything is left.
        """
        spec = parse_policy_spec(policy)
        if spec.adopt is None:
            # Adoption was left out of the spec: the condition goes, and what is ours stays ours.
            return await self._report(policy, None)
        seen = await self._gather(policy, spec, f"{spec.adopt.label_prefix}/")
        # After the snapshots: what a pruner writes in between fails the test of our patch.
        cronjobs = await self._cronjobs(policy)
        found = other_pruner.pruners(cronjobs)
        why = other_pruner.refusal(found, seen.snapshots, seen.prefix, self._clock.now(), zone)
        # Nothing at all while it may run: a pruner deletes snapshots that a policy keeps.
        if why is not None:
            return await self._report(policy, takeover.Report(False, "PrunerRunning", why))
        plan = takeover.plan(seen)
        skipped = await self._carry_out(policy, plan, seen, zone)
        creators = other_pruner.creators(cronjobs, objects.namespace(policy))
        return await self._report(policy, takeover.report(plan, seen, creators, skipped))

    async def _cronjobs(self, policy: Obj) -> list[Obj]:
        """All of the cluster; where they cannot be read a pruner may be among them."""
        try:
            return await self._client.list(CRON_JOB)
        except Transient as error:
            why = f"whether the other tool's pruner runs is not known: {error.message}"
            await self._report(policy, takeover.Report(False, "PrunerUnknown", why))
            raise

    async def _gather(self, policy: Obj, spec: PolicySpec, prefix: str) -> takeover.Seen:
        namespace = objects.namespace(policy)
        wanted = ",".join(other_labels.renamed(k, prefix) for k in (labels.RETAIN, labels.PVC))
        snapshots = await self._client.list(VOLUME_SNAPSHOT, namespace, labels=wanted)
        claims = await self._claims(namespace, spec)
        fresh = {other_labels.claim_of(s, prefix) for s in snapshots if not takeover.is_ours(s)}
        # In a thread, as the pass plans: it is pure, and may take long for many years.
        held = await asyncio.to_thread(
            to_hold, snapshots, prefix, rules_of(spec, SNAPSHOT), self._clock.now()
        )
        return takeover.Seen(
            policy=objects.name(policy),
            prefix=prefix,
            claims=claims,
            # Only where there is something new: who has the rest is decided.
            rivals=await self._rivals(policy, spec) if fresh & claims else {},
            snapshots=snapshots,
            held=held,
        )

    async def _claims(self, namespace: str, spec: PolicySpec) -> frozenset[str]:
        """Those named, whether they are there or not, and those that the selector finds."""
        source = spec.source.claims or ClaimSource()
        # There or not: the points of a claim that is gone are adopted as well.
        names = set(source.names)
        if source.selector is not None:
            text = selector_text(source.selector)
            found = await self._client.list(PERSISTENT_VOLUME_CLAIM, namespace, labels=text)
            names |= {objects.name(c) for c in found}
        return frozenset(names)

    async def _rivals(self, policy: Obj, spec: PolicySpec) -> dict[str, str]:
        """By claim: the oldest of the policies that adopt it, if that is not this one."""
        namespace = objects.namespace(policy)
        found: dict[str, str] = {}
        others = await self._client.list(BACKUP_POLICY, namespace)
        # By age, as two that were applied together each see the other, whoever looks first.
        older = [p for p in others if _age(p) < _age(policy)]
        # The oldest last: it has the last word on a claim.
        for other in sorted(older, key=_age, reverse=True):
            try:
                theirs = parse_policy_spec(other)
            except UserError:
                continue  # It adopts nothing as it stands.
            if theirs.adopt is not None and theirs.adopt == spec.adopt:
                found |= dict.fromkeys(await self._claims(namespace, theirs), objects.name(other))
        return found

    async def _carry_out(
        self, policy: Obj, plan: takeover.Plan, seen: takeover.Seen, zone: tzinfo
    ) -> list[str]:
        """Adopt one by one; return why some never can be. Raise what may work later."""
        skipped: list[str] = []
        failures: list[BackstayError] = []
        # Nothing to write: the namespace and its claims are not read for it.
        if plan.is_idle:
            return skipped
        writer = _Writer(self._client, policy, seen, zone)
        # In turn, as they share what the writer reads of claims and the namespace.
        for snapshot in (*plan.adopt, *plan.record):
            try:
                await writer.write(snapshot)
            except Fatal:
                raise
            except (DataError, UserError) as error:
                log.warning("adopting %s: %s", objects.name(snapshot), error.message)
                skipped.append(f"{objects.name(snapshot)}: {error.message}")
            except BackstayError as error:
                # Not raised yet: each one that is adopted now is one less for the next pass.
                failures.append(error)
        if failures:
            worst = next((f for f in failures if not isinstance(f, Conflict)), None)
            # Only lost races: read again at once, and nothing that a person should know.
            if worst is None:
                raise failures[0]
            # Raised, so that nobody judges a part: which label stays depends on the whole series.
            count = f"{len(failures)} snapshots are not adopted yet, and retention waits for it"
            reported = takeover.Report(False, "Incomplete", f"{count}: {worst.message}")
            await self._report(policy, reported)
            raise Transient(f"{count}: {worst.message}")
        return skipped

    async def _report(self, policy: Obj, reported: takeover.Report | None) -> Obj:
        """Write the condition where it differs; None takes it away."""
        status = policy_status(policy)
        conditions = tuple(c for c in status.conditions if c.type != takeover.CONDITION)
        if reported is not None:
            conditions = with_condition(
                status.conditions,
                type=takeover.CONDITION,
                ok=reported.ok,
                reason=reported.reason,
                message=reported.message,
                generation=int(dig(policy, "metadata", "generation", default=0)),
                now=self._clock.now(),
            )
        if conditions == status.conditions:
            return policy
        new = changed(status, conditions=conditions)
        return await write_status(self._client, BACKUP_POLICY, policy, new)


class _Writer:
    """Writes one snapshot after the other for one policy; what they share is read once."""

    def __init__(self, client: Client, policy: Obj, seen: takeover.Seen, zone: tzinfo) -> None:
        self._client = client
        self._namespace = objects.namespace(policy)
        self._seen = seen
        self._zone = zone
        self._claims: dict[str, Obj | None] = {}
        self._home: str | None = None

    async def write(self, snapshot: Obj) -> None:
        """Given a snapshot, make it the policy's, and its record if it is ready."""
        values: dict[str, str | None] = {}
        notes: dict[str, str | None] = {}
        if not takeover.is_ours(snapshot):
            ours, ours_notes = takeover.patch_labels(snapshot, self._seen, self._zone)
            values, notes = dict(ours), dict(ours_notes)
            # An old one would be taken for the mark of the tool's date, and its grace for over.
            if labels.MARKED_AT in objects.annotations(snapshot):
                notes[labels.MARKED_AT] = None
        # The record first, so that the patch can name it. One that is not ready gets its record by
        # a later pass: a record says that it can be restored.
        if takeover.is_ready(snapshot):
            await self._add_record(snapshot, values, notes)
        # In one patch: no pass ever sees a part of what makes it ours.
        await self._client.patch(
            VOLUME_SNAPSHOT,
            objects.name(snapshot),
            self._namespace,
            metadata_patch(snapshot, labels=values, annotations=notes),
        )
        log.info("%s/%s: adopted", self._namespace, objects.name(snapshot))

    async def _add_record(
        self, snapshot: Obj, values: dict[str, str | None], notes: dict[str, str | None]
    ) -> None:
        """Make the Backup, and say it and the record in what is to be written."""
        name = takeover.backup_name(snapshot, self._seen, self._zone)
        named, named_notes = naming.identity_labels({labels.BACKUP: name})
        values |= named
        notes |= named_notes
        notes[labels.RECORD] = build_record(await self._record(snapshot, name))
        labelled = _with(snapshot, values, notes)
        artifact = rebuild.Artifact(labelled, None, size_of(snapshot, None))
        wanted = rebuild.make_import(self._namespace, self._seen.policy, name, [artifact])
        notes[labels.RUN] = await import_record(self._client, wanted)

    async def _record(self, snapshot: Obj, name: str) -> Record:
        """What is known: there is no slot, and of the dumps inside nothing is on record."""
        if self._home is None:
            self._home = objects.uid(await self._client.get(NAMESPACE, self._namespace))
        return Record(
            policy=self._seen.policy,
            backup=name,
            slot=takeover.taken_of(snapshot, self._seen.prefix, self._zone),
            zone=str(self._zone),
            attempt=1,
            namespace=self._namespace,
            namespace_uid=self._home,
            claim=await self._claim(snapshot),
        )

    async def _claim(self, snapshot: Obj) -> ClaimRecord:
        """The claim as it is now; of one that is gone, or was recreated since, what its snapshot
        says.
        """
        name = other_labels.claim_of(snapshot, self._seen.prefix)
        if name not in self._claims:
            self._claims[name] = await self._client.find(
                PERSISTENT_VOLUME_CLAIM, name, self._namespace
            )
        claim = self._claims[name]
        made = created(claim) if claim is not None else None
        taken = takeover.taken_of(snapshot, self._seen.prefix, self._zone)
        # A claim made later is another one, whatever its name.
        if claim is not None and made is not None and made <= taken:
            return recorded_claim(claim)
        bound = dig(snapshot, "status", "boundVolumeSnapshotContentName")
        content = await self._client.find(VOLUME_SNAPSHOT_CONTENT, bound) if bound else None
        return ClaimRecord(
            name=name,
            uid="",
            size=str(dig(snapshot, "status", "restoreSize", default="")),
            storage_class=None,
            access_modes=(),
            volume_mode=str(dig(content, "spec", "sourceVolumeMode", default="Filesystem")),
        )


def _with(snapshot: Obj, values: dict[str, str | None], notes: dict[str, str | None]) -> Obj:
    """The snapshot as it will be once that is written."""
    metadata = {
        **objects.meta(snapshot),
        "labels": {**objects.labels(snapshot), **values},
        "annotations": {**objects.annotations(snapshot), **notes},
    }
    return {**snapshot, "metadata": metadata}


def _age(policy: Obj) -> tuple[str, str]:
    return str(dig(policy, "metadata", "creationTimestamp", default="")), objects.name(policy)
