"""What a RestoreRequest for a directory comes to: which copy, where it lies, and where it goes.

Invariants: a request restores only from its own namespace; where it may write, and from which disk
it may read, is asked of what the administrator allows now; each refusal that a person may pass over
names its word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus
from backstay.api.restore import DirectoryRestore, RestoreSpec, RestoreStatus
from backstay.api.rolling import CopyStatus, PlannedCopy, PlannedRolling
from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.run.shared_places import Place, in_claim, on_node
from backstay.domain.sources.allowed_paths import below, source_root
from backstay.domain.stores.copies.locations import TARGET, Mount, Opened, Site
from backstay.domain.stores.copies.series import series_of
from backstay.domain.subject import Subject, parse_subject
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP, PERSISTENT_VOLUME_CLAIM
from backstay.settings import RollingRoots
from backstay.stores.copies.take import Copying

Request: TypeAlias = Subject[RestoreSpec, RestoreStatus]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request comes to, as things stand."""

    entry: PointStatus
    point: CopyStatus
    site: Site
    node: str | None
    target: Opened
    into: str
    place: Place
    """Where it writes."""

    @property
    def ref(self) -> str:
        """The stamp of the point."""
        return self.entry.ref or ""

    @property
    def hold_needed(self) -> bool:
        """Whether the point must be held first. One that was not found, or lies on another node
        than the passes over its series know, cannot be.
        """
        moved = self.site.series.kind == "hostPath" and self.site.node != self.site.series.holder
        return not (self.point.missing or moved)


class CopyRestorePlans:
    """Finds out what requests come to. `roots` is what the administrator allows."""

    def __init__(self, client: Client, *, copying: Copying, roots: RollingRoots) -> None:
        self._client = client
        self._copying = copying
        self._roots = roots

    async def make(self, request: Request, said: Acknowledged) -> Plan:
        """Given a request and what it acknowledges, find the copy and the target.

        Raise UserError, naming field and remedy, if either is not to be had.
        """
        wanted, name = wanted_of(request), request.spec.from_.backup or ""
        obj = await self._client.find(BACKUP, name, request.namespace)
        if obj is None:
            raise UserError(
                "BackupNotFound",
                f"spec.from.backup: there is no Backup {name} in namespace {request.namespace}; a "
                "request restores only from its own namespace. If its copy is still at its "
                "destination, annotate the policy with backstay.dev/rebuild to have the record "
                "recreated",
            )
        backup = parse_subject("Backup", obj, BackupSpec, BackupStatus)
        rolling = backup.status.plan.rolling if backup.status.plan else None
        if rolling is None:
            raise UserError(
                "NotACopy",
                f"spec.directory: Backup {name} has no rolling copies; restore its claims instead",
            )
        entry, point, copy = _choose(backup.status, rolling, wanted, name, said)
        address = request.namespace, backup.spec.policy
        if copy.node is None:
            site = self._copying.site(copy, rolling.settings, *address)
            target, into, place = _target_of_claim(request.namespace, wanted, copy)
            await self._check_claim(request, target)
            claims = {copy.claim or "", site.destination.claim or "", target.mount.claim or ""}
            node = await self._copying.node_of(request.namespace, claims)
            return Plan(entry, point, site, node, target, into, place)
        node = wanted.node or copy.node
        on_disk = rolling.settings.destination.host_path is not None
        at = copy
        if node != copy.node and on_disk:
            why = (
                f"spec.directory.node: the copies are on node {copy.node} and can only be restored "
                "there; leave node out"
            )
            said.pass_over(Word.COPIES_MOVED, UserError("CopiesElsewhere", why))
            at = changed(copy, node=node)
        site = self._copying.site(at, rolling.settings, *address)
        # Its folder has the name of the node that it was copied on, wherever its disk is.
        site = replace(site, series=series_of(*address, copy))
        return Plan(entry, point, site, node, *self._target_on_node(request, copy, node))

    def _target_on_node(
        self, request: Request, copy: PlannedCopy, node: str
    ) -> tuple[Opened, str, Place]:
        wanted = wanted_of(request)
        path = copy.path if wanted.in_place is not None else wanted.path
        if path is None:
            raise UserError(
                "NotAClaim",
                "spec.directory.claim: the copy is of a directory of a node; set path, or inPlace",
            )
        field = "spec.directory.inPlace" if wanted.in_place is not None else "spec.directory.path"
        root = source_root(self._roots, request.namespace, node, path, field=field, write=True)
        mount = Mount("target", TARGET, host_path=root.path)
        return Opened(mount, below(path, root.path)), f"{node}:{path}", on_node(node, path)

    async def _check_claim(self, request: Request, target: Opened) -> None:
        name, field = target.mount.claim or "", "spec.directory.claim"
        if await self._client.find(PERSISTENT_VOLUME_CLAIM, name, request.namespace) is None:
            raise UserError(
                "ClaimNotFound",
                f"{field}: there is no PersistentVolumeClaim {name}; make it, then create the "
                "request again",
            )


def _choose(
    status: BackupStatus,
    rolling: PlannedRolling,
    wanted: DirectoryRestore,
    name: str,
    said: Acknowledged,
) -> tuple[PointStatus, CopyStatus, PlannedCopy]:
    """The point of a Backup that a request wants."""
    good = {
        p.source: (p, p.rolling)
        for p in status.points
        if p.result is PointResult.GOOD and p.rolling is not None and not p.rolling.gone
    }
    if not good:
        raise UserError(
            "NoGoodCopy", f"spec.from.backup: Backup {name} has no good copy: {status.phase}"
        )
    if wanted.source is None and len(good) > 1:
        raise UserError(
            "SourceNeeded",
            f"spec.directory.source: Backup {name} has several directories, name one of "
            f"{', '.join(sorted(good))}",
        )
    series = wanted.source or next(iter(good))
    copy = next((c for c in rolling.copies if c.series == series), None)
    if series not in good or copy is None:
        raise UserError(
            "SourceNotInBackup",
            f"spec.directory.source: Backup {name} has no good copy of {series}, only of "
            f"{', '.join(sorted(good))}",
        )
    if good[series][1].missing:
        missing = UserError(
            "CopyMissing",
            f"spec.from.backup: the copy of {series} was not found at its destination: see the "
            "condition CopiesMissing of the policy, or restore from another Backup",
        )
        said.pass_over(Word.COPY_MISSING, missing)
    return (*good[series], copy)


def _target_of_claim(
    namespace: str, wanted: DirectoryRestore, copy: PlannedCopy
) -> tuple[Opened, str, Place]:
    if wanted.in_place is not None:
        mount = Mount("target", TARGET, claim=copy.claim)
        place = in_claim(namespace, copy.claim or "", copy.path)
        return Opened(mount, copy.path), copy.series, place
    if wanted.claim is None:
        raise UserError(
            "NotANode",
            "spec.directory.path: the copy is of a claim; set claim, or inPlace",
        )
    target = wanted.claim
    mount = Mount("target", TARGET, claim=target.name)
    place = in_claim(namespace, target.name, target.sub_path)
    return Opened(mount, target.sub_path), f"{target.name}/{target.sub_path}", place


def wanted_of(request: Request) -> DirectoryRestore:
    """Given a request for a directory, return what it wants of it."""
    wanted = request.spec.directory
    if wanted is None:
        raise ValueError("the request is for claims")
    return wanted
