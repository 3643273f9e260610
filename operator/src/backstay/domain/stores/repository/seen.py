"""What the retention of a policy's points in repositories rests on, of what a pass has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from backstay.api.repository import Access, RepositorySpec
from backstay.api.repository_status import RepositoryStatus
from backstay.api.store import REPOSITORY
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes, replaced
from backstay.domain.retention.brakes import Brake
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.points import Rules
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.repository.kept import Kept, kept_of
from backstay.domain.stores.repository.reasons import Reason
from backstay.domain.stores.repository.use import CHECKED, MAINTAINED, READY, Task
from backstay.domain.stores.repository.users import Users, users_of
from backstay.domain.upkeep import Seen as PassSeen


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a look at the points rests on."""

    now: datetime
    rules: Rules | None
    """None: the policy is gone."""
    kept: Sequence[Kept]
    finished: Sequence[Run] = ()
    """The Backups that are final."""
    users: Users = field(default_factory=Users)
    frozen: Mapping[tuple[str, str], Brake] = field(default_factory=dict)
    """By name and ID of a repository: why nothing in it is marked or forgotten."""
    read_only: frozenset[str] = frozenset()
    """Names of the BackupRepositories of which somebody else removes points."""
    maintained: frozenset[tuple[str, str]] = frozenset()
    """Name and ID of the repositories in which a Job may be forgetting something."""
    released: frozenset[str] = frozenset()
    """Hashes of the plans that a person released."""
    accepted: Mapping[str, datetime] = field(default_factory=dict)
    """Since when a person accepts the sizes of dumps, by claim."""
    same: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By claim: ids of sources that a person accepts as going on with its series."""
    clock: Brake | None = None
    """Set: our clock is off, and nothing is marked or forgotten."""
    policy: Obj | None = None


def seen_of(whole: PassSeen) -> Seen:
    """Given what was read of one policy, return what the retention of its points in repositories
    rests on.

    Raise UserError if the policy is not valid.
    """
    notes = objects.annotations(whole.policy or {})
    kept = kept_of(whole.runs)
    return Seen(
        now=whole.now,
        rules=rules_of(whole.spec, REPOSITORY) if whole.spec is not None else None,
        kept=kept,
        finished=[run for run in whole.runs if run.status.phase.final],
        users=users_of(whole.requests),
        frozen=_frozen(kept, whole.repositories, whole.now),
        read_only=frozenset(
            name
            for name, obj in whole.repositories.items()
            if dig(obj, "spec", "access") == Access.READ_ONLY
        ),
        maintained=frozenset(
            (name, str(dig(obj, "status", "id")))
            for name, obj in whole.repositories.items()
            if dig(obj, "status", "work") == Task.MAINTAIN
        ),
        released=brakes.released_plans(notes.get(labels.RELEASE_RETENTION)),
        accepted=accepted_sizes(notes.get(labels.ACCEPT_SIZE)),
        same=replaced.accepted(notes.get(labels.ACCEPT_CLAIM)),
        clock=whole.clock,
        policy=whole.policy,
    )


def concerns(whole: PassSeen) -> bool:
    """Given what was read of one policy, return whether it keeps points in a repository, or has
    records of some.
    """
    keeps = whole.spec is not None and whole.spec.repository is not None
    return keeps or any(p.store == REPOSITORY for run in whole.runs for p in run.status.points)


def _frozen(
    kept: Sequence[Kept], repositories: Mapping[str, Obj], now: datetime
) -> dict[tuple[str, str], Brake]:
    found: dict[tuple[str, str], Brake] = {}
    for name, id in {(k.repository, k.id) for k in kept}:
        brake = why_frozen(name, id, repositories.get(name), now)
        if brake is not None:
            found[name, id] = brake
    return found


def why_frozen(name: str, id: str, obj: Obj | None, now: datetime) -> Brake | None:
    """Given a BackupRepository's name, the ID of the repository that points are in, it as read and
    now, return why none of them is marked or forgotten; None if nothing speaks against it.
    """
    if obj is None or dig(obj, "metadata", "deletionTimestamp"):
        return Brake(
            "RepositoryNotFound",
            f"there is no BackupRepository {name}: make it again to have its points kept by rules",
        )
    try:
        spec = RepositorySpec.model_validate(obj.get("spec") or {})
        status = RepositoryStatus.model_validate(obj.get("status") or {})
    except ValidationError:
        return Brake("RepositoryNotReady", f"BackupRepository {name} cannot be read")
    if status.id and status.id != id:
        return Brake(
            "RepositoryReplaced",
            f"BackupRepository {name} is of repository {status.id[:8]} now, and points are in "
            f"{id[:8]}",
        )
    if spec.access is Access.READ_ONLY:
        return Brake("RepositoryReadOnly", f"BackupRepository {name} is ReadOnly")
    return _not_ready(name, status, now) or _no_rights(name, spec)


def _not_ready(name: str, status: RepositoryStatus, now: datetime) -> Brake | None:
    said = {condition.type: condition for condition in status.conditions}
    ready, checked = said.get(READY), said.get(CHECKED)
    if ready is None or ready.status != "True":
        why = ready.reason if ready is not None else "it was not opened yet"
        return Brake("RepositoryNotReady", f"BackupRepository {name} is not Ready ({why})")
    if checked is not None and checked.status == "False":
        # What is left whole may be the last of its kind.
        return Brake(
            "RepositoryDamaged",
            f"the last check of BackupRepository {name} found damage: see its condition Checked",
        )
    return _refused(name, status, now)


def _refused(name: str, status: RepositoryStatus, now: datetime) -> Brake | None:
    """Why points stay that the server keeps. A day later it is tried again."""
    found = next((c for c in status.conditions if c.type == MAINTAINED), None)
    if found is None or found.status == "True" or found.reason != Reason.READ_ONLY:
        return None
    since = status.maintained_at
    if since is None or not since <= now < since + timedelta(hours=24):
        return None
    return Brake(
        "ReadOnly",
        f"deleting in the repository of BackupRepository {name} is refused: see its condition "
        "Maintained",
    )


def _no_rights(name: str, spec: RepositorySpec) -> Brake | None:
    if spec.access is not Access.APPEND_ONLY or spec.maintenance_secret_ref is not None:
        return None
    return Brake(
        "AppendOnly",
        f"BackupRepository {name} is AppendOnly and has no maintenanceSecretRef: name a Secret "
        "that may delete, or leave its points to whoever has one",
    )
