"""The labels and annotations that an artifact carries, and the words in them.

Invariant: these keys are the wire contract with every snapshot ever taken. They are read for
years, so a key or a word is never renamed and never changes its meaning.
"""

from enum import StrEnum
from typing import Final

PREFIX: Final = "backstay.dev/"

# Identity. A value that is no label value is shortened (naming.label_value) and the full text
# stands in the annotation of the same key.
PVC: Final = PREFIX + "pvc"
POLICY: Final = PREFIX + "policy"
BACKUP: Final = PREFIX + "backup"
TYPE: Final = PREFIX + "type"

RESULT: Final = PREFIX + "result"
RETAIN: Final = PREFIX + "retain"
RETAIN_DAYS: Final = PREFIX + "retain-days"

HOURLY: Final = PREFIX + "hourly"
DAILY: Final = PREFIX + "daily"
WEEKLY: Final = PREFIX + "weekly"
MONTHLY: Final = PREFIX + "monthly"
YEARLY: Final = PREFIX + "yearly"

DELETE_AFTER: Final = PREFIX + "delete-after"
HOLD: Final = PREFIX + "hold"

# Annotations.
RECORD: Final = PREFIX + "record"
IN_USE: Final = PREFIX + "in-use"
SWEEP: Final = PREFIX + "sweep"
MARKED_AT: Final = PREFIX + "marked-at"
RUN: Final = PREFIX + "run"
"""uid of the Backup that made the snapshot: a record made anew is another run."""
ADOPTED: Final = PREFIX + "adopted-from"
"""The label prefix of the tool that made the snapshot, such as backup-ns.sh."""
REBUILD: Final = PREFIX + "rebuild"
"""On a policy: records that are missing are to be made again from the artifacts, once."""
RELEASE_RETENTION: Final = PREFIX + "release-retention"
"""On a policy: hashes, separated by commas, of the retention plans that may pass a brake."""
HELD_BY_HOOKS: Final = PREFIX + "hooks"
"""Finalizer of a Backup between its hooks before the cut and those after."""

ACCEPT_SIZE: Final = PREFIX + "accept-size"
"""On a policy: CLAIM@TIME, separated by commas: how small dumps are from then on is right."""
ACCEPT_CLAIM: Final = PREFIX + "accept-claim"
"""On a policy: CLAIM@ID, separated by commas: the source of this id goes on with the series."""
ACCEPT_SOURCE: Final = PREFIX + "accept-source"
"""On a policy: hashes, separated by commas, of directories that go on those before; or `any`."""
CONTINUES: Final = PREFIX + "continues"
"""On a claim that a restore made: the uid of the claim whose data it holds."""
RESTORE_REQUEST: Final = PREFIX + "restore-request"
"""uid of the RestoreRequest that made a claim, or the copy of what was there before."""

ALLOW_SHRUNKEN: Final = PREFIX + "allow-shrunken"
"""On a Backup: `true` lets this run copy a source that has lost much, or all."""
NAMESPACE: Final = PREFIX + "namespace"
"""Label on Jobs: the namespace whose data they work on."""


class Result(StrEnum):
    """What became of a point; written in one patch together with tiers or delete-after."""

    PENDING = "pending"
    GOOD = "good"
    FAILED = "failed"


class RunType(StrEnum):
    """Who asked for the run; the words are those of backup-ns."""

    CRONJOB = "cronjob"
    ADHOC = "adhoc"


class Retain(StrEnum):
    """How a point ends: by the calendar rules, or on a date fixed at birth."""

    DAILY_WEEKLY_MONTHLY = "daily_weekly_monthly"
    DAYS = "days"
