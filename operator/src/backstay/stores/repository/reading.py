"""What the Job of an upload reads: a claim, a directory of a node, or a rolling copy of either."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from backstay.api.point import PointStatus
from backstay.api.repository_store import Repository, UploadMethod
from backstay.api.rolling import PlannedCopy, Rolling, RollingClaim
from backstay.api.store import ROLLING
from backstay.domain.errors import Conflict, UserError
from backstay.domain.jobs import Mount
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.status import origin_of, plan_of
from backstay.domain.sources.allowed_paths import below, destination_root, source_root
from backstay.domain.stores.copies.series import series_of
from backstay.domain.stores.repository.places import DATA
from backstay.settings import RollingRoots

SOURCE_FIELD: Final = "spec.source.hostPath"
DESTINATION_FIELD: Final = "spec.rolling.destination.hostPath"


@dataclass(frozen=True, slots=True)
class Reading:
    """A directory as the Job has it."""

    mount: Mount
    path: str
    """Below what is mounted; "" is all of it."""
    taken: datetime | None = None
    """Of what moment it is, where it is a copy."""


def reading(
    run: Run, entry: PointStatus, source: PlannedCopy, temporary: str, roots: RollingRoots
) -> Reading:
    """Given a run, its upload that is next, what that is of, the temporary claim ("": there is
    none) and what the administrator allows, return what its Job reads.

    Raise UserError if the namespace may not read it, Conflict if the copy that it is made of is not
    known.
    """
    if temporary:
        return Reading(_mount(claim=temporary), source.path)
    origin = origin_of(run.status, *entry.key)
    if origin is not None and origin.store == ROLLING:
        return _of_copy(run, origin, source, roots)
    if source.node is None:
        return Reading(_mount(claim=source.claim), source.path)
    root = source_root(roots, run.namespace, source.node, source.path, field=SOURCE_FIELD).path
    # By a subPath, which the kubelet opens without leaving the root: the Pod is in the namespace of
    # a tenant, who may enter it, and is to find nothing else there.
    below_root = below(source.path, root) or None
    return Reading(_mount(host_path=root, sub_path=below_root), "")


def _of_copy(run: Run, origin: PointStatus, source: PlannedCopy, roots: RollingRoots) -> Reading:
    rolling = plan_of(run.status).rolling
    if rolling is None or origin.rolling is None or not origin.rolling.tree:
        raise Conflict(f"the rolling copy of {origin.source} is not known")
    series = series_of(run.namespace, run.spec.policy, source)
    tree = series.tree(origin.rolling.tree)
    target = rolling.settings.destination
    # By a subPath, and not from the root: restic compares with the last snapshot by the path, and
    # other series are none of its business.
    if source.node is None:
        claim = target.claim or RollingClaim(name="")
        place = str(PurePosixPath(claim.sub_path or "") / tree)
        return Reading(_mount(claim=claim.name, sub_path=place), "", origin.taken_at)
    kept = destination_root(
        roots, run.namespace, source.node, target.host_path or "", field=DESTINATION_FIELD
    )
    return Reading(_mount(host_path=kept.path, sub_path=tree), "", origin.taken_at)


def _mount(
    *, claim: str | None = None, host_path: str | None = None, sub_path: str | None = None
) -> Mount:
    return Mount(
        "data", str(DATA), read_only=True, claim=claim, host_path=host_path, sub_path=sub_path
    )


def check_directories(
    namespace: str,
    copies: Iterable[PlannedCopy],
    wanted: Repository,
    rolling: Rolling | None,
    roots: RollingRoots,
) -> None:
    """Given the directories of a plan and how they are uploaded and copied, raise UserError, naming
    field and remedy, if one of a node may not be read by a Job of the namespace.
    """
    for copy in copies:
        if copy.node is None:
            continue
        source_root(roots, namespace, copy.node, copy.path, field=SOURCE_FIELD)
        if wanted.copy_method is UploadMethod.ROLLING and rolling and rolling.destination.claim:
            raise UserError(
                "CopyNotReadable",
                "spec.repository.copyMethod: copies in a claim of the operator's namespace cannot "
                "be read in this one, where the repository's Secret is; choose Direct",
            )


def claim_read(run: Run, entry: PointStatus, source: PlannedCopy, roots: RollingRoots) -> str:
    """Given the same, return the claim that decides on which node it can be read; "": none does, as
    a temporary claim is had where its first Pod comes to be.
    """
    planned = plan_of(run.status).repository
    if planned is not None and planned.settings.reads_temporary:
        return ""
    return reading(run, entry, source, "", roots).mount.claim or ""
