"""Keys of the work queue, one kind of work each, and what the server need not report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from backstay.engine.queue import Key

POLICY: Final = "BackupPolicy"
BACKUP: Final = "Backup"
RESTORE: Final = "RestoreRequest"
RETENTION: Final = "Retention"
"""The retention pass over all points of one policy, whether the policy exists or not."""
REBUILD: Final = "Rebuild"
"""The records of one policy, to be recreated from its artifacts."""
COPIES: Final = "Copies"
"""The pass over all rolling copies of one policy, whether the policy exists or not."""
REPOSITORY: Final = "BackupRepository"

SWEEPS: Final = "Sweeps"
"""The ends of all sweeps of the cluster, in one."""
LEFTOVERS: Final = "Leftovers"
"""What RestoreRequests have left that were deleted on their way, of the cluster, in one."""


ADMISSION: Final = Key("Admission", "", "")
"""One pass over all queued Backups."""

LONGEST: Final[Mapping[str, timedelta]] = MappingProxyType(
    {
        BACKUP: timedelta(seconds=30),
        RESTORE: timedelta(seconds=30),
        ADMISSION.kind: timedelta(seconds=30),
        POLICY: timedelta(minutes=1),
        REPOSITORY: timedelta(minutes=1),
    }
)
"""Between two tries, by kind, where a person waits, or a slot does: what keeps it from going on,
such as a quota, is set right without any event for us. There are few of them unfinished at a time;
passes, of which there is one per policy, may wait longer.
"""


def policy(namespace: str, name: str) -> Key:
    """Given a policy's address, return its key."""
    return Key(POLICY, namespace, name)


def backup(namespace: str, name: str) -> Key:
    """Given a Backup's address, return its key."""
    return Key(BACKUP, namespace, name)


def restore(namespace: str, name: str) -> Key:
    """Given a RestoreRequest's address, return its key."""
    return Key(RESTORE, namespace, name)


def retention(namespace: str, policy_name: str) -> Key:
    """Given a policy's address, return the key of its retention pass."""
    return Key(RETENTION, namespace, policy_name)


def rebuild(namespace: str, policy_name: str) -> Key:
    """Given a policy's address, return the key of the rebuild of its records."""
    return Key(REBUILD, namespace, policy_name)


def copies(namespace: str, policy_name: str) -> Key:
    """Given a policy's address, return the key of the pass over its rolling copies."""
    return Key(COPIES, namespace, policy_name)


def repository(namespace: str, name: str) -> Key:
    """Given a BackupRepository's address, return its key."""
    return Key(REPOSITORY, namespace, name)


def sweeps() -> Key:
    """Return the one key of all sweeps."""
    # Without a namespace: it takes no worker from anybody's share.
    return Key(SWEEPS, "", "all")


def leftovers() -> Key:
    """Return the one key of all that deleted requests have left."""
    return Key(LEFTOVERS, "", "all")


def not_in(phases: Iterable[str]) -> str:
    """Given phases, return the field selector for objects in none of them."""
    return ",".join(sorted(f"status.phase!={phase}" for phase in phases))
