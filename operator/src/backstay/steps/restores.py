"""What all stores read for a restore: the Backup that a request names."""

from __future__ import annotations

from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.restore.wishes import Request
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP


async def backup_of(client: Client, request: Request) -> Obj:
    """Given a request, return the Backup that it names. Raise UserError if it is not there."""
    name = request.spec.from_.backup or ""
    obj = await client.find(BACKUP, name, request.namespace)
    if obj is None:
        raise UserError(
            "BackupNotFound",
            f"spec.from.backup: there is no Backup {name} in namespace {request.namespace}; a "
            "request restores only from its own namespace. If what it made is still there, "
            "annotate the policy with backstay.dev/rebuild to have the record recreated, or "
            "restore a ready snapshot by its name: set from.volumeSnapshot to it",
        )
    return obj
