"""Write the policy's retention conditions, which nobody else writes, and their Events."""

from __future__ import annotations

from pydantic import ValidationError

from backstay.api.common import Condition, changed, format_time
from backstay.api.policy_status import PolicyStatus
from backstay.domain import objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj
from backstay.domain.retention.missing import POINTS_MISSING
from backstay.kube.client import Client
from backstay.kube.events import EventPoster
from backstay.kube.resources import BACKUP_POLICY
from backstay.steps.status import write_status


def policy_status(obj: Obj) -> PolicyStatus:
    """Given a BackupPolicy as read, return its status. Raise DataError if it is not one."""
    try:
        return PolicyStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        name = objects.name(obj)
        raise DataError(f"status of BackupPolicy {name} cannot be read: {error}") from error


async def report_held(
    client: Client, events: EventPoster, obj: Obj, conditions: tuple[Condition, ...]
) -> None:
    """Given a BackupPolicy as read and what its conditions are to be, post an Event for each that
    is another one now, then write them. Raise Conflict if the policy changed since it was read.
    """
    status = policy_status(obj)
    before = {c.type: c for c in status.conditions}
    for now in conditions:
        old = before.get(now.type)
        # The Event is posted again whenever something else is lost.
        loss = now.message if now.type == POINTS_MISSING and now.status == "True" else ""
        same = old is not None and (old.status, old.reason) == (now.status, now.reason)
        if same and (not loss or (old is not None and old.message == loss)):
            continue
        # Named after what it replaces: a process that dies before it has written the condition is
        # followed by one that reports the same, which is then known as reported.
        since = f"{old.reason} {format_time(old.last_transition_time)}" if old is not None else ""
        # Before the condition: the other way round, a death in between would lose the report.
        await events.post(
            obj,
            f"{now.type}" if now.status == "True" else f"{now.type}Over",
            now.message,
            type="Warning" if now.status == "True" else "Normal",
            attempt=f"{now.reason} after {since}{loss}",
        )
    await write_status(client, BACKUP_POLICY, obj, changed(status, conditions=conditions))
