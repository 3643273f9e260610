"""Make the temporary claims that points are made of, and remove them.

Invariants: a claim has the name of the Job that reads it, a function of run, attempt, source and
store, so making it again is finding it; one of that name that the run did not make is neither read
nor deleted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial

from backstay.api.backup import BackupStatus
from backstay.api.common import size_text
from backstay.api.point import PointStatus
from backstay.api.repository_store import TemporaryVolume
from backstay.builders.temporary_claim import temporary_claim
from backstay.domain import labels, objects
from backstay.domain.errors import AlreadyExists, Conflict
from backstay.domain.objects import Obj, dig
from backstay.domain.run.status import claim_of, origin_of, plan_of
from backstay.domain.silence import unbound
from backstay.domain.stores.snapshots.carriers import record_of
from backstay.domain.stores.snapshots.moments import created, moment_of
from backstay.domain.stores.temporary import (
    Temporary,
    fitting_class,
    is_needed,
    is_read,
    run_of,
)
from backstay.kube.client import Client
from backstay.kube.quantities import parse_quantity
from backstay.kube.resources import (
    BACKUP,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from backstay.sources.claims import recorded_claim
from backstay.steps.batch import Work
from backstay.steps.reasons import warning_about

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The temporary claim of a point: how it is made, and what it is to be like."""

    name: str
    clones: bool
    """Whether it is a clone of the source; else it is made of the run's snapshot of it."""
    volume: TemporaryVolume = field(default_factory=TemporaryVolume)

    @property
    def size(self) -> str:
        """The least size that a policy wants, as Kubernetes writes it; "" if it names none."""
        return size_text(self.volume.size) if self.volume.size else ""


class TemporaryClaims:
    """The temporary claims of all runs; few at any time."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def look(
        self, backup: Obj, status: BackupStatus, entry: PointStatus, wanted: Wanted
    ) -> Temporary:
        """Given a run, its point of now and the claim that is wanted for that, return what is
        there, or is to be made.
        """
        namespace, name = objects.namespace(backup), wanted.name
        there = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace)
        if there is not None and run_of(there) != objects.uid(backup):
            return Temporary(problem=f"claim {namespace}/{name} was made by somebody else")
        if there is not None and dig(there, "metadata", "deletionTimestamp"):
            return Temporary(waits=f"claim {name} is being deleted; it is made again after that")
        found = await (self._clone if wanted.clones else self._of_snapshot)(
            backup, status, entry, wanted
        )
        if there is None or found.problem:
            return found
        return _made(found, there)

    async def make(self, found: Temporary) -> Temporary:
        """Given a look, make the claim if it is not there. Raise Conflict if it is by now."""
        if found.body is None:
            return found
        try:
            made = await self._client.create(PERSISTENT_VOLUME_CLAIM, found.body)
        except AlreadyExists as error:
            raise Conflict(f"{error.message}: the next look shows whose it is") from error
        return _made(found, made)

    async def waits_for(self, namespace: str, name: str, job_says: str) -> str:
        """Given a claim whose Job has not started for long, and what that says, return what the
        claim waits for, in words; what the Job says where it is bound.
        """
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, namespace)
        if claim is None:
            return f"claim {name} is missing"
        if dig(claim, "status", "phase") == "Bound":
            return job_says
        why = await warning_about(self._client, claim) or job_says or unbound(claim, "the copy")
        return f"claim {name}: {why}"

    async def sweep(self, work: Work) -> None:
        """Delete every temporary claim that no run needs, in this work: more follows soon where one
        is still read.
        """
        for claim in await self._client.list(PERSISTENT_VOLUME_CLAIM, labels=labels.TEMPORARY):
            what = f"claim {objects.namespace(claim)}/{objects.name(claim)}"
            await work.do((what, partial(self._sweep, claim)))

    async def _sweep(self, claim: Obj) -> bool:
        """Delete a claim and its Job if no run needs it; return whether something reads it yet."""
        namespace, name = objects.namespace(claim), objects.name(claim)
        run = run_of(claim)
        if not run:
            return False
        owners = dig(claim, "metadata", "ownerReferences", default=[])
        of = next(str(o.get("name")) for o in owners if o.get("uid") == run)
        # After the claim, which is made only once its Backup says so.
        backup = await self._client.find(BACKUP, of, namespace)
        if is_needed(claim, backup):
            return False
        # The Job first: the last Pod that it makes is there when it is over.
        job = await self._client.find(JOB, name, namespace)
        if is_read(claim, job, await self._client.list(POD, namespace)):
            return True
        if job is not None and objects.annotations(job).get(labels.RUN) == run:
            # Kubernetes keeps a claim while there is a Pod that names it, also one that has ended.
            await self._client.delete(
                JOB, name, namespace, uid=objects.uid(job), propagation="Background"
            )
        if not dig(claim, "metadata", "deletionTimestamp"):
            log.info("claim %s/%s goes: the point that was made of it is decided", namespace, name)
            await self._client.delete(
                PERSISTENT_VOLUME_CLAIM, name, namespace, uid=objects.uid(claim)
            )
        return False

    async def _of_snapshot(
        self, backup: Obj, status: BackupStatus, entry: PointStatus, wanted: Wanted
    ) -> Temporary:
        namespace = objects.namespace(backup)
        origin = origin_of(status, *entry.key)
        ref = origin.ref if origin is not None and origin.ref else ""
        snapshot = await self._client.find(VOLUME_SNAPSHOT, ref, namespace) if ref else None
        if snapshot is None or dig(snapshot, "metadata", "deletionTimestamp"):
            return Temporary(problem=f"VolumeSnapshot {ref}, which it is made of, is missing")
        record = record_of(snapshot)
        if record is None:
            return Temporary(problem=f"VolumeSnapshot {ref} has no readable record")
        of = record.claim
        bound = dig(snapshot, "status", "boundVolumeSnapshotContentName", default="")
        content = await self._client.find(VOLUME_SNAPSHOT_CONTENT, bound) if bound else None
        driver = str(dig(content, "spec", "driver", default=""))
        classes = await self._client.list(STORAGE_CLASS)
        fitting = fitting_class(of, driver, classes, wanted.volume)
        if fitting is None:
            why = f"there is no StorageClass of driver {driver} for a claim made of its snapshot"
            return Temporary(problem=why)
        storage_class, modes = fitting
        body = temporary_claim(
            name=wanted.name,
            owner=backup,
            data_source={
                "apiGroup": VOLUME_SNAPSHOT.group,
                "kind": VOLUME_SNAPSHOT.kind,
                "name": ref,
            },
            storage_class=storage_class,
            access_modes=modes,
            size=_largest(dig(snapshot, "status", "restoreSize"), of.size, wanted.size),
        )
        return Temporary(of, record, body, moment_of(snapshot))

    async def _clone(
        self, backup: Obj, status: BackupStatus, entry: PointStatus, wanted: Wanted
    ) -> Temporary:
        plan, namespace = plan_of(status), objects.namespace(backup)
        source = claim_of(plan, *entry.key) or ""
        claim = await self._client.find(PERSISTENT_VOLUME_CLAIM, source, namespace)
        planned = {c.name: c.uid for c in plan.claims}
        if claim is None or objects.uid(claim) != planned.get(source):
            return Temporary(problem=f"claim {source} was deleted or recreated")
        of = recorded_claim(claim)
        body = temporary_claim(
            name=wanted.name,
            owner=backup,
            data_source={"kind": PERSISTENT_VOLUME_CLAIM.kind, "name": source},
            storage_class=wanted.volume.storage_class_name or of.storage_class,
            access_modes=wanted.volume.access_modes or of.access_modes or ("ReadWriteOnce",),
            size=_largest(of.size, _asked(claim), wanted.size),
        )
        return Temporary(of, body=body)


def _made(found: Temporary, claim: Obj) -> Temporary:
    """A look at a claim that is there: a clone is made at some time after its creation."""
    return replace(found, body=None, taken=found.taken or created(claim))


def _asked(claim: Obj) -> str:
    return str(dig(claim, "spec", "resources", "requests", "storage", default=""))


def _largest(*sizes: str | None) -> str:
    """The largest of the sizes that are known: a smaller volume than its source is refused."""
    known = [size for size in sizes if size and parse_quantity(size) > 0]
    return max(known, key=parse_quantity, default="0")
