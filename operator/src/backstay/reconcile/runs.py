"""What the admitter and the reconciler of Backups share: a Backup as read, and its Events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus
from backstay.api.policy import PolicySpec
from backstay.domain import labels, objects
from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.values import Seen
from backstay.domain.subject import parse_subject
from backstay.kube.events import EventPoster
from backstay.observe import metrics
from backstay.stores.base import Store


def parse(obj: Obj) -> Run:
    """Given a Backup as read, return it parsed. Raise DataError if it cannot be understood."""
    return parse_subject("Backup", obj, BackupSpec, BackupStatus)


def is_leaving(subject: Run) -> bool:
    """Given a Backup, return whether somebody deleted it."""
    return objects.dig(subject.obj, "metadata", "deletionTimestamp") is not None


def is_kept(subject: Run) -> bool:
    """Given a Backup, return whether our finalizer is on it."""
    finalizers = objects.dig(subject.obj, "metadata", "finalizers", default=[])
    return labels.HELD_BY_HOOKS in finalizers


def sighted(subject: Run, now: datetime, stores: Sequence[Store]) -> Seen:
    """Given a Backup, now and the stores, return the sighting that all else is added to."""
    return Seen(
        name=subject.name,
        uid=subject.uid,
        created=subject.created,
        now=now,
        spec=subject.spec,
        status=subject.status,
        kept=is_kept(subject),
        deleting=is_leaving(subject),
        stores=[store.plan for store in stores],
    )


def parse_policy_spec(obj: Obj) -> PolicySpec:
    """Given a BackupPolicy as read, return its spec. Raise UserError if it is not valid."""
    try:
        return PolicySpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError("InvalidSpec", f"spec.{where}: {first['msg']}") from error


async def report(events: EventPoster, subject: Run, status: BackupStatus) -> None:
    """Given a Backup as read and its next status, which is written, post an Event of its start, of
    each attempt that failed, and of its end, and count its end.

    The phases in between are no Events: they would push the warnings of a namespace out of sight.
    """
    # After the status is written: one that loses its race reports nothing. Who dies in between
    # posts nothing either; the status has it all.
    before = subject.status.phase
    if status.phase is before:
        return
    if status.phase.final:
        metrics.on_run_ended(subject.namespace, subject.spec.policy, status.phase.value)
    what = f"run of policy {subject.spec.policy}"
    failed = status.phase in (BackupPhase.FAILED, BackupPhase.PARTIALLY_FAILED)
    if status.phase.final:
        reason, message = status.phase.value, status.message or f"{what} is {status.phase}"
    elif before is BackupPhase.QUEUED and status.attempt == 1:
        reason, message = "Started", f"{what} has started"
    elif status.phase is BackupPhase.QUEUED and status.attempt:
        failed = True
        reason, message = "AttemptFailed", status.message or f"{what} is tried again"
    else:
        return
    await events.post(
        subject.obj,
        reason,
        message,
        type="Warning" if failed else "Normal",
        attempt=status.attempt,
    )
