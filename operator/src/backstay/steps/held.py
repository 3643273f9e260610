"""Tell on a policy whether retention holds back: one condition, of which nobody else writes."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from backstay.api.common import changed
from backstay.api.policy import PolicyStatus
from backstay.domain import objects
from backstay.domain.brakes import Brake, with_brake
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP_POLICY
from backstay.steps.status import write_status


def policy_status(obj: Obj) -> PolicyStatus:
    """Given a BackupPolicy as read, return its status. Raise DataError if it is not one."""
    try:
        return PolicyStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        name = objects.name(obj)
        raise DataError(f"status of BackupPolicy {name} cannot be read: {error}") from error


async def tell_held(client: Client, obj: Obj, brake: Brake | None, now: datetime) -> None:
    """Given a BackupPolicy as read, the brake of this pass if any, and now, write RetentionHeld
    where it differs. Raise Conflict if the policy changed since it was read.
    """
    status = policy_status(obj)
    generation = int(dig(obj, "metadata", "generation", default=0))
    conditions = with_brake(status.conditions, brake, generation=generation, now=now)
    if conditions != status.conditions:
        await write_status(client, BACKUP_POLICY, obj, changed(status, conditions=conditions))
