"""What the admitter and the reconciler of Backups share: a Backup as read, and its Events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus
from backstay.api.policy import PolicySpec
from backstay.domain import labels, objects
from backstay.domain.errors import DataError, UserError
from backstay.domain.objects import Obj
from backstay.domain.run_values import Seen
from backstay.domain.times import parse_time
from backstay.kube.events import EventPoster


@dataclass(frozen=True, slots=True)
class Subject:
    """A Backup as read."""

    obj: Obj
    spec: BackupSpec
    status: BackupStatus

    @property
    def name(self) -> str:
        """Its name."""
        return objects.name(self.obj)

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return objects.namespace(self.obj)

    @property
    def uid(self) -> str:
        """Its uid, the identity of the run."""
        return objects.uid(self.obj)

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted it."""
        return objects.dig(self.obj, "metadata", "deletionTimestamp") is not None

    @property
    def kept(self) -> bool:
        """Whether our finalizer is on it."""
        return labels.HELD_BY_HOOKS in objects.dig(self.obj, "metadata", "finalizers", default=[])

    def seen(self, now: datetime) -> Seen:
        """Given now, return the sighting that everything else found is added to."""
        return Seen(
            name=self.name,
            uid=self.uid,
            created=parse_time(objects.dig(self.obj, "metadata", "creationTimestamp")),
            now=now,
            spec=self.spec,
            status=self.status,
            kept=self.kept,
            deleting=self.deleting,
        )


def parse(obj: Obj) -> Subject:
    """Given a Backup as read, return it parsed. Raise DataError if it cannot be understood."""
    try:
        spec = BackupSpec.model_validate(obj.get("spec") or {})
        status = BackupStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        raise DataError(f"Backup {objects.name(obj)} cannot be read: {error}") from error
    return Subject(obj, spec, status)


def parse_policy_spec(obj: Obj) -> PolicySpec:
    """Given a BackupPolicy as read, return its spec. Raise UserError if it is not valid."""
    try:
        return PolicySpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError("InvalidSpec", f"spec.{where}: {first['msg']}") from error


async def tell(events: EventPoster, subject: Subject, status: BackupStatus) -> None:
    """Given a Backup as read and its next status, post one Event for each change of phase; the
    attempt tells repeated phases apart.
    """
    if status.phase is subject.status.phase:
        return
    failed = status.phase in (BackupPhase.FAILED, BackupPhase.PARTIALLY_FAILED)
    await events.tell(
        subject.obj,
        status.phase.value,
        status.message or f"run of policy {subject.spec.policy} is {status.phase}",
        type="Warning" if failed else "Normal",
        attempt=status.attempt,
    )
