"""What a Job of a repository answers with, and what each answer asks of whoever started it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """Why a command could not do what it was asked for."""

    # Of the repository.
    WRONG_PASSWORD = "WrongPassword"  # noqa: S105 - the name of a reason
    ACCESS_DENIED = "AccessDenied"
    BUCKET_MISSING = "BucketMissing"
    NO_REPOSITORY = "NoRepository"
    VANISHED = "Vanished"
    REPLACED = "Replaced"
    UNREACHABLE = "Unreachable"
    UNTRUSTED = "Untrusted"
    CLOCK_SKEWED = "ClockSkewed"
    SECRET_INCOMPLETE = "SecretIncomplete"  # noqa: S105 - the name of a reason
    LOCKED = "Locked"
    FULL = "Full"
    CACHE_FULL = "CacheFull"
    RESTIC_TOO_OLD = "ResticTooOld"
    DAMAGED = "Damaged"
    # Of what was asked.
    BAD_EXCLUDE = "BadExclude"
    SOURCE_UNREADABLE = "SourceUnreadable"
    SOURCE_EMPTY = "SourceEmpty"
    SOURCE_SHRUNK = "SourceShrunk"
    SOURCE_NOT_MOUNTED = "SourceNotMounted"
    SOURCE_MISSING = "SourceMissing"
    DUMP_CHANGED = "DumpChanged"
    SNAPSHOT_MISSING = "SnapshotMissing"
    TARGET_NOT_EMPTY = "TargetNotEmpty"
    TARGET_NOT_WRITABLE = "TargetNotWritable"
    PATH_MISSING = "PathMissing"
    NO_ROOM = "NoRoom"
    DIFFERENT = "Different"
    READ_ONLY = "ReadOnly"
    # Of neither.
    INTERRUPTED = "Interrupted"
    FAILED = "Failed"


class Outcome(StrEnum):
    """What another try of the same would be good for."""

    REFUSED = "Refused"
    """Nothing: a person has to change something first."""
    BUSY = "Busy"
    """It may work at another time."""
    FAILED = "Failed"
    """Nobody knows."""


EXIT_STATUS: Final[Mapping[Outcome, int]] = MappingProxyType(
    {Outcome.REFUSED: 3, Outcome.BUSY: 75, Outcome.FAILED: 1}
)
"""What the agent exits with, as of its other commands."""

OF_THE_SOURCE: Final = frozenset(
    {
        Reason.BAD_EXCLUDE,
        Reason.SOURCE_UNREADABLE,
        Reason.SOURCE_EMPTY,
        Reason.SOURCE_SHRUNK,
        Reason.DUMP_CHANGED,
    }
)
"""No other try makes a point of the same snapshot, however the repository is mended."""

_BUSY: Final = {
    Reason.UNREACHABLE,
    Reason.LOCKED,
    Reason.FULL,
    Reason.CACHE_FULL,
    Reason.CLOCK_SKEWED,
    Reason.INTERRUPTED,
}
_UNKNOWN: Final = {Reason.FAILED, Reason.DAMAGED, Reason.DIFFERENT}


def outcome_of(reason: Reason) -> Outcome:
    """Given a reason, return what another try would be good for."""
    if reason in _BUSY:
        return Outcome.BUSY
    return Outcome.FAILED if reason in _UNKNOWN else Outcome.REFUSED
