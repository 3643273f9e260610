"""The kinds: their presentation, the models of spec and status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backstay.api.backup import BACKUP_META, BackupSpec, BackupStatus
from backstay.api.common import Model
from backstay.api.meta import CrdMeta
from backstay.api.policy import POLICY_META, PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.repository import REPOSITORY_META, RepositorySpec
from backstay.api.repository_status import RepositoryStatus
from backstay.api.restore import RESTORE_META, RestoreSpec
from backstay.api.restore_status import RestoreStatus


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API."""

    meta: CrdMeta
    spec: type[Model]
    status: type[Model]


KINDS: Final = (
    Kind(POLICY_META, PolicySpec, PolicyStatus),
    Kind(BACKUP_META, BackupSpec, BackupStatus),
    Kind(RESTORE_META, RestoreSpec, RestoreStatus),
    Kind(REPOSITORY_META, RepositorySpec, RepositoryStatus),
)
