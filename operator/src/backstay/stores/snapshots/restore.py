"""Restores from snapshots: the driver fills the claim, a Pod of ours verifies it.

Invariants: a Pod of the right name proves nothing unless this very request owns it; one that is
somebody else's fails the restore and is never touched.
"""

from __future__ import annotations

from typing import Final

from backstay.api.acknowledgement import Acknowledgement
from backstay.api.backup import BackupStatus
from backstay.api.restore import NewClaim
from backstay.api.restore_from import RestoreFrom
from backstay.api.restore_status import RestoreTarget
from backstay.api.store import SNAPSHOT
from backstay.builders.restore import from_snapshot, verify_pod
from backstay.domain import naming, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import AlreadyExists
from backstay.domain.jobs import pod_waits_for
from backstay.domain.objects import Obj, dig
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Found, StoreSeen, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.silence import QUIET, unbound, unstarted
from backstay.domain.stores.copies.locations import Opened
from backstay.domain.stores.snapshots.restore import (
    Verification,
    fill_of,
    find_snapshot,
    lost,
    waited_since,
)
from backstay.kube.client import Client
from backstay.kube.resources import POD, STORAGE_CLASS, VOLUME_SNAPSHOT
from backstay.steps.agent_jobs import AgentImage
from backstay.steps.reasons import warning_about
from backstay.steps.restores import backup_of
from backstay.stores.snapshots import in_use
from backstay.stores.snapshots.restore_source import Source, read_source


class SnapshotRestores:
    """The restore side of snapshots."""

    name: Final = SNAPSHOT
    fills: Final = frozenset({RestoreTarget.NEW_CLAIM})
    chooses_paths: Final = False

    def __init__(self, client: Client, clock: Clock, image: AgentImage) -> None:
        self._client = client
        self._clock = clock
        self._image = image

    def is_named(self, wanted: RestoreFrom) -> bool:
        """Whether a VolumeSnapshot is named."""
        return wanted.volume_snapshot is not None

    async def find(self, request: Request, wish: Wish, said: Acknowledged) -> Found:
        """Find the snapshot of a claim, ready to use. Raise UserError if there is none."""
        claim, wanted = wish.source or "", request.spec.from_
        name = wanted.volume_snapshot
        if name is None:
            backup = await backup_of(self._client, request)
            status = BackupStatus.model_validate(backup.get("status") or {})
            name = find_snapshot(
                claim,
                objects.name(backup),
                status.phase,
                status.points,
                store=self.name,
                message=status.message,
            )
        # All that could keep the claim from being made is asked before anything is held or made.
        source = await self._source(request, wish, name, said)
        record = source.record
        return Found(
            source=claim,
            ref=name,
            uid=objects.uid(source.snapshot),
            backup=wanted.backup or (record.backup if record else None),
            claim=claim,
        )

    async def see(self, part: Part, target: TargetSeen, said: Acknowledged) -> StoreSeen:
        """Look at the snapshot, at the claim that is made from it, and at its Pod."""
        item, namespace = part.item, part.request.namespace
        snapshot = await self._client.find(VOLUME_SNAPSHOT, item.ref, namespace)
        pod = await self._client.find(POD, _pod_name(part), namespace)
        there = (
            snapshot is not None
            and objects.uid(snapshot) == item.uid
            and not dig(snapshot, "metadata", "deletionTimestamp")
        )
        look = await self._verification(part, target.claim, pod, snapshot_there=there)
        may = Acknowledgement.UNVERIFIED.value in said.words
        waited = waited_since(part.request.status.started_at, self._clock.now())
        return StoreSeen(
            held=snapshot is not None and part.request.uid in in_use.users(snapshot),
            lost=lost(item.ref, look),
            fill=fill_of(look, waited, may_stay_unverified=may),
        )

    async def hold(self, part: Part) -> None:
        """Write the request onto the snapshot. Raise Conflict if it goes away."""
        uid, at = part.item.uid or "", part.request.namespace
        await in_use.hold(self._client, at, part.item.ref, snapshot_uid=uid, user=part.request.uid)

    async def wake(self, part: Part) -> None:
        """Nobody else holds or releases a snapshot."""

    async def volume(self, part: Part) -> Volume:
        """A claim as the one that was backed up, which the driver fills."""
        said = Acknowledged(part.request.spec.acknowledge)
        source = await self._source(part.request, part.wish, part.item.ref, said)
        return Volume(
            storage_class=source.storage_class,
            access_modes=source.access_modes,
            volume_mode=source.volume_mode,
            size=source.size,
            data_source=from_snapshot(part.item.ref),
            continues=source.record.claim.uid if source.record else "",
        )

    async def fill(self, part: Part, target: Opened) -> None:
        """Make the Pod that verifies the claim, and is its first consumer."""
        said = Acknowledged(part.request.spec.acknowledge)
        source = await self._source(part.request, part.wish, part.item.ref, said)
        dumps = source.record.dumps if source.record else ()
        body = verify_pod(
            name=_pod_name(part),
            namespace=part.request.namespace,
            claim=target.mount.claim or "",
            image=self._image.name,
            pull_policy=self._image.pull_policy,
            owner=part.request.obj,
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
            return  # The next look shows whether it is ours.

    async def stop(self, part: Part) -> None:
        """Delete the Pod, as far as this request owns it."""
        name, namespace = _pod_name(part), part.request.namespace
        pod = await self._client.find(POD, name, namespace)
        # By uid: what has its name by now may be another's.
        if pod is not None and _made_for(pod, part.request):
            await self._client.delete(POD, name, namespace, uid=objects.uid(pod))

    async def discard(self, part: Part, target: Opened) -> None:
        """A Pod that verifies writes nothing: there is nothing to remove."""

    async def release(self, part: Part) -> None:
        """Take the request off the snapshot."""
        at, user = part.request.namespace, part.request.uid
        await in_use.release(self._client, at, part.item.ref, user=user)

    async def _source(
        self, request: Request, wish: Wish, snapshot: str, said: Acknowledged
    ) -> Source:
        kept = request.spec.from_.backup is not None
        new = wish.new_claim or NewClaim(name="unnamed")
        claim, at = wish.source or "", request.namespace
        return await read_source(self._client, at, snapshot, said, claim=claim, new=new, kept=kept)

    async def _verification(
        self, part: Part, claim: Obj | None, pod: Obj | None, *, snapshot_there: bool
    ) -> Verification:
        foreign = pod is not None and not _made_for(pod, part.request)
        phase = "Failed" if foreign else dig(pod, "status", "phase", default="")
        claim_says, pod_says = await self._waits(part, claim, pod)
        return Verification(
            snapshot_there=snapshot_there,
            bound=dig(claim, "status", "phase") == "Bound",
            pod_there=pod is not None,
            pod_done=phase == "Succeeded",
            pod_failed=phase == "Failed",
            pod_says="a Pod of its name was made by somebody else" if foreign else pod_says,
            claim_says=claim_says,
            binds_late=await self._binds_late(part, claim),
        )

    async def _binds_late(self, part: Part, claim: Obj | None) -> bool:
        """Whether a claim that is not bound waits for a Pod; asked where it matters."""
        words = part.request.spec.acknowledge
        if claim is None or Acknowledgement.UNVERIFIED not in words:
            return False
        name = dig(claim, "spec", "storageClassName")
        found = await self._client.find(STORAGE_CLASS, name) if name else None
        return bool(dig(found, "volumeBindingMode") == "WaitForFirstConsumer")

    async def _waits(self, part: Part, claim: Obj | None, pod: Obj | None) -> tuple[str, str]:
        """What a claim and its Pod wait for. What they do not say themselves, Events may; these
        are read only when it takes longer than when all is well.
        """
        pod_says = _said_by(pod)
        began = part.request.status.started_at
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


def _made_for(pod: Obj, request: Request) -> bool:
    owners = dig(pod, "metadata", "ownerReferences", default=[])
    return any(owner.get("uid") == request.uid for owner in owners)


def _pod_name(part: Part) -> str:
    return naming.verify_pod_name(part.request.uid, part.item.source)


def _said_by(pod: Obj | None) -> str:
    """What a verify pod says: its outcome when it ended, else what it waits for."""
    for status in dig(pod, "status", "containerStatuses", default=[]):
        ended = dig(status, "state", "terminated")
        if ended is not None:
            return str(ended.get("message") or ended.get("reason") or "").strip()
    if dig(pod, "status", "phase") == "Failed":
        return str(dig(pod, "status", "message", default="the pod failed"))
    return pod_waits_for(pod) if pod is not None else ""
