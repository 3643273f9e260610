"""The Backups of one policy."""

from __future__ import annotations

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.domain.records.lifecycle import Run
from backstay.domain.subject import parse_subject
from backstay.kube.client import Client
from backstay.kube.resources import BACKUP


async def runs_of(client: Client, namespace: str, policy: str) -> list[Run]:
    """Given a policy's address, return its Backups. Raise DataError if one is not valid."""
    found = await client.list(BACKUP, namespace, fields=f"spec.policy={policy}")
    return [parse_subject(BACKUP.kind, obj, BackupSpec, BackupStatus) for obj in found]
