"""Reconcile a RestoreRequest: claims from snapshots, verified by a pod, aside of the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from backstay.api.acknowledgement import Acknowledgement
from backstay.api.restore import RestoredClaim, RestorePhase, RestoreSpec, RestoreStatus
from backstay.builders.restore import claim_from_snapshot, verify_pod
from backstay.domain import labels, naming, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import (
    AlreadyExists,
    UserError,
)
from backstay.domain.jobs import pod_waits_for
from backstay.domain.objects import Obj, dig
from backstay.domain.restore import claims as restore
from backstay.domain.restore import directories
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.claims import Step
from backstay.domain.silence import QUIET, unbound, unstarted
from backstay.domain.subject import Subject, parse_subject
from backstay.engine.queue import Key
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import (
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESTORE_REQUEST,
    STORAGE_CLASS,
    VOLUME_SNAPSHOT,
)
from backstay.reconcile import keys, leftovers
from backstay.steps.agent_jobs import AgentImage
from backstay.steps.reasons import warning_about
from backstay.steps.status import reporting, write_status
from backstay.stores.copies.restore import CopyRestores
from backstay.stores.snapshots.in_use import hold, release
from backstay.stores.snapshots.restore_source import Source, find_snapshots, read_source
from backstay.targets.turns import RestoreTurns

Request: TypeAlias = Subject[RestoreSpec, RestoreStatus]


class RestoreReconciler:
    """Brings one RestoreRequest a step further at each call."""

    def __init__(
        self,
        client: Client,
        events: EventPoster,
        clock: Clock,
        image: AgentImage,
        enqueue: Callable[[Key], None],
        *,
        copies: CopyRestores,
        turns: RestoreTurns,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._image = image
        self._enqueue = enqueue
        self._copies = copies
        self._turns = turns

    async def reconcile(self, key: Key) -> timedelta | None:
        """Given a RestoreRequest's key, take its next step; return when to look again."""
        obj = await self._client.find(RESTORE_REQUEST, key.name, key.namespace)
        if obj is None or dig(obj, "metadata", "deletionTimestamp"):
            self._enqueue(keys.leftovers())
            return None
        subject = parse_subject("RestoreRequest", obj, RestoreSpec, RestoreStatus)
        if subject.status.phase.final:
            return None
        self._turns.note()
        if subject.spec.directory is not None:
            return await self._restore_directory(subject)
        async with reporting(self._client, RESTORE_REQUEST, obj, partial(self._waiting, subject)):
            decision = restore.decide(await self._gather(subject))
            for action in decision.actions:
                await self._act(subject, decision.status, action)
        await write_status(self._client, RESTORE_REQUEST, obj, decision.status)
        await self._report(subject, decision.status)
        return decision.after

    async def _restore_directory(self, subject: Request) -> timedelta | None:
        """Take the next step of a request for a directory."""
        show = partial(self._waiting, subject)
        async with reporting(self._client, RESTORE_REQUEST, subject.obj, show):
            seen = await self._copies.see(subject)
            decision = directories.decide(seen)
            if decision.start:
                await self._copies.start(subject)
            if decision.discard:
                await self._copies.discard(subject)
            if decision.status.directory is not None and decision.status.directory.safety:
                await self._copies.record_safety(subject, seen.policy)
            if decision.enters:
                return await self._take_turn(subject, seen, decision)
        await write_status(self._client, RESTORE_REQUEST, subject.obj, decision.status)
        await self._report(subject, decision.status)
        if decision.status.phase.final:
            self._enqueue(keys.ADMISSION)  # Runs may wait for what it wrote to.
        if seen.policy and (decision.status.phase.final or not seen.held):
            # Their pass holds the point for the request, and releases it afterwards.
            self._enqueue(keys.copies(subject.namespace, seen.policy))
        return decision.after

    async def _take_turn(
        self, subject: Request, seen: directories.Seen, decision: directories.Decision
    ) -> timedelta | None:
        """Write that the turn of a request has come, unless somebody is there."""
        async with self._turns.lock:
            if others := await self._turns.others_at(subject):
                decision = directories.in_line(seen, others)
            await write_status(self._client, RESTORE_REQUEST, subject.obj, decision.status)
        return decision.after

    def _waiting(self, subject: Request, message: str) -> RestoreStatus:
        """The status of a request whose step failed: it is tried again within keys.LONGEST."""
        generation = int(dig(subject.obj, "metadata", "generation", default=0))
        return restore.said(
            subject.status, "Waiting", message, generation=generation, now=self._clock.now()
        )

    async def _gather(self, subject: Request) -> restore.Seen:
        status = subject.status
        seen = restore.Seen(
            now=self._clock.now(),
            generation=int(dig(subject.obj, "metadata", "generation", default=0)),
            status=status,
            may_stay_unverified=Acknowledgement.UNVERIFIED in subject.spec.acknowledge,
        )
        if status.phase is not RestorePhase.PENDING:
            claims = {c.claim: await self._see_claim(subject, c) for c in status.claims}
            return replace(seen, claims=claims)
        said = Acknowledged(subject.spec.acknowledge)
        try:
            skew = self._client.skew
            if (late := directories.too_late(subject.spec, seen.now, skew)) is not None:
                raise late
            sources = await self._sources(subject, said)
        except UserError as error:
            return replace(seen, refusal=error)
        first = sources[0].record
        return replace(
            seen,
            passed=said.used,
            backup=subject.spec.from_.backup or (first.backup if first else None),
            sources=[
                RestoredClaim(
                    claim=s.claim,
                    new_claim=s.new_claim,
                    snapshot=objects.name(s.snapshot),
                    snapshot_uid=objects.uid(s.snapshot),
                )
                for s in sources
            ],
        )

    async def _sources(self, subject: Request, said: Acknowledged) -> list[Source]:
        """All claims of the request with what they are made from, or the UserError of the first."""
        namespace, spec = subject.namespace, subject.spec
        found = await find_snapshots(self._client, namespace, spec)
        kept = spec.from_.backup is not None
        sources = []
        for wanted in spec.claims:
            name = wanted.to.new_claim.name
            existing = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace)
            if existing is not None and not _is_of(existing, subject):
                raise UserError(
                    "ClaimExists",
                    f"spec.claims[].to.newClaim.name: claim {name} exists already; choose another "
                    "name, or delete it if it is not needed",
                )
            snapshot = found[wanted.claim]
            sources.append(
                await read_source(self._client, namespace, wanted, snapshot, said, kept=kept)
            )
        return sources

    async def _see_claim(self, subject: Request, entry: RestoredClaim) -> restore.ClaimSeen:
        namespace = subject.namespace
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, entry.new_claim, namespace)
        snapshot = await self._client.find(VOLUME_SNAPSHOT, entry.snapshot, namespace)
        pod = await self._client.find(POD, _pod_name(subject, entry.claim), namespace)
        foreign = pod is not None and not _made_for(pod, subject)
        phase = "Failed" if foreign else dig(pod, "status", "phase", default="")
        claim_says, pod_says = await self._waits(subject, claim, pod)
        return restore.ClaimSeen(
            snapshot_there=snapshot is not None
            and objects.uid(snapshot) == entry.snapshot_uid
            and not dig(snapshot, "metadata", "deletionTimestamp"),
            claim_uid=objects.uid(claim) if claim else None,
            claim_ours=claim is not None and _is_of(claim, subject),
            bound=dig(claim, "status", "phase") == "Bound",
            pod_there=pod is not None,
            pod_done=phase == "Succeeded",
            pod_failed=phase == "Failed",
            pod_says="a Pod of its name was made by somebody else" if foreign else pod_says,
            claim_says=claim_says,
            binds_late=await self._binds_late(subject, claim),
        )

    async def _binds_late(self, subject: Request, claim: Obj | None) -> bool:
        """Whether a claim that is not bound waits for a Pod; asked where it matters."""
        if claim is None or Acknowledgement.UNVERIFIED not in subject.spec.acknowledge:
            return False
        name = dig(claim, "spec", "storageClassName")
        found = await self._client.find(STORAGE_CLASS, name) if name else None
        return bool(dig(found, "volumeBindingMode") == "WaitForFirstConsumer")

    async def _waits(self, subject: Request, claim: Obj | None, pod: Obj | None) -> tuple[str, str]:
        """What a claim and its verify pod wait for. What they do not say themselves, Events may;
        these are read only when it takes longer than when all is well.
        """
        pod_says = _said_by(pod)
        began = subject.status.started_at
        if began is None or self._clock.now() - began < QUIET:
            return "", pod_says
        claim_says = ""
        if claim is not None and dig(claim, "status", "phase") != "Bound":
            claim_says = await warning_about(self._client, claim)
        if pod is not None and dig(pod, "status", "phase") == "Pending" and not pod_says:
            pod_says = await warning_about(self._client, pod)
            if not pod_says and not claim_says:
                bound = claim is None or dig(claim, "status", "phase") == "Bound"
                claim_says = "" if bound else unbound(claim or {})
                pod_says = unstarted(pod)
        return claim_says, pod_says

    async def _act(self, subject: Request, status: RestoreStatus, action: restore.Action) -> None:
        namespace = subject.namespace
        entry = next(c for c in status.claims if c.claim == action.claim)
        match action.step:
            case Step.HOLD:
                await hold(
                    self._client,
                    namespace,
                    entry.snapshot,
                    snapshot_uid=entry.snapshot_uid,
                    user=subject.uid,
                )
            case Step.RELEASE:
                await release(self._client, namespace, entry.snapshot, user=subject.uid)
            case Step.CREATE_CLAIM:
                await self._create_claim(subject, await self._source(subject, entry))
            case Step.CREATE_POD:
                await self._create_pod(subject, await self._source(subject, entry))
            case Step.DELETE_POD:
                await self._delete_pod(subject, entry)
            case Step.HAND_OVER:
                await leftovers.hand_over(self._client, await self._claim(subject, entry))
            case Step.DELETE_CLAIM:
                claim = await self._claim(subject, entry)
                if dig(claim, "status", "phase") != "Bound":
                    await leftovers.delete(self._client, claim)

    async def _source(self, subject: Request, entry: RestoredClaim) -> Source:
        wanted = next(c for c in subject.spec.claims if c.claim == entry.claim)
        kept = subject.spec.from_.backup is not None
        said = Acknowledged(subject.spec.acknowledge)
        at = subject.namespace
        return await read_source(self._client, at, wanted, entry.snapshot, said, kept=kept)

    async def _create_claim(self, subject: Request, source: Source) -> None:
        body = claim_from_snapshot(
            name=source.new_claim,
            namespace=subject.namespace,
            snapshot=objects.name(source.snapshot),
            storage_class=source.storage_class,
            access_modes=source.access_modes,
            volume_mode=source.volume_mode,
            size=source.size,
            labels={labels.RESTORING: subject.uid},
            annotations=_made_by(subject, source),
        )
        try:
            await self._client.create(PERSISTENT_VOLUME_CLAIM, body)
        except AlreadyExists:
            return  # The next look shows whether it is ours.

    async def _claim(self, subject: Request, entry: RestoredClaim) -> Obj | None:
        """The claim of the new name, as far as this request made it."""
        name = entry.new_claim
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, subject.namespace)
        return claim if claim is not None and _is_of(claim, subject) else None

    async def _create_pod(self, subject: Request, source: Source) -> None:
        dumps = source.record.dumps if source.record else ()
        body = verify_pod(
            name=_pod_name(subject, source.claim),
            namespace=subject.namespace,
            claim=source.new_claim,
            image=self._image.name,
            pull_policy=self._image.pull_policy,
            owner=subject.obj,
            dumps=[
                {"name": d.name, "path": d.path_in_claim, "bytes": d.size, "sha256": d.sha256}
                for d in dumps
            ],
            user=dumps[0].uid if dumps else None,
            group=dumps[0].gid if dumps else None,
            block=source.volume_mode == "Block",
        )
        try:
            await self._client.create(POD, body)
        except AlreadyExists:
            return

    async def _delete_pod(self, subject: Request, entry: RestoredClaim) -> None:
        name = _pod_name(subject, entry.claim)
        pod = await self._client.find(POD, name, subject.namespace)
        if pod is not None and _made_for(pod, subject):
            await self._client.delete(POD, name, subject.namespace, uid=objects.uid(pod))

    async def _report(self, subject: Request, status: RestoreStatus) -> None:
        """One Event of its start, and one of its end."""
        begins = subject.status.phase is RestorePhase.PENDING
        if status.phase is subject.status.phase or not (begins or status.phase.final):
            return
        bad = status.phase in (RestorePhase.FAILED, RestorePhase.REFUSED)
        await self._events.post(
            subject.obj,
            status.phase.value,
            status.message or status.phase.value,
            type="Warning" if bad else "Normal",
        )


def _made_by(subject: Request, source: Source) -> dict[str, str]:
    """What a claim says of the request that made it, and whose data it holds: under the name of
    the lost one it goes on with that one's series.
    """
    notes = {labels.RESTORE_REQUEST: subject.uid}
    if source.record is not None and source.record.claim.uid:
        notes[labels.CONTINUES] = source.record.claim.uid
    return notes


def _is_of(claim: Obj, subject: Request) -> bool:
    return objects.annotations(claim).get(labels.RESTORE_REQUEST) == subject.uid


def _made_for(pod: Obj, subject: Request) -> bool:
    """Whether it is the verify pod of this very request: a name alone proves nothing."""
    owners = dig(pod, "metadata", "ownerReferences", default=[])
    return any(owner.get("uid") == subject.uid for owner in owners)


def _pod_name(subject: Request, claim: str) -> str:
    return naming.verify_pod_name(subject.uid, claim)


def _said_by(pod: Obj | None) -> str:
    """What a verify pod says: its outcome when it ended, else what it waits for."""
    for status in dig(pod, "status", "containerStatuses", default=[]):
        ended = dig(status, "state", "terminated")
        if ended is not None:
            return str(ended.get("message") or ended.get("reason") or "").strip()
    if dig(pod, "status", "phase") == "Failed":
        return str(dig(pod, "status", "message", default="the pod failed"))
    return pod_waits_for(pod) if pod is not None else ""
