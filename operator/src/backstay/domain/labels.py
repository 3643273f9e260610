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
SWEPT: Final = PREFIX + "swept"
"""On a content: UID.DATE of the snapshot that a sweep deleted, and what it was deleted under. No
annotation: the snapshot controller replaces all of them from its cache while a snapshot goes."""

# Annotations.
RECORD: Final = PREFIX + "record"
IN_USE: Final = PREFIX + "in-use"
SWEEP: Final = PREFIX + "sweep"
"""On a content, by earlier versions: that a sweep was about to begin. It proves nothing."""
MARKED_AT: Final = PREFIX + "marked-at"
TAKEN_AT: Final = PREFIX + "taken-at"
"""When the data was taken, as the run saw it; a person may correct it by hand."""
GOOD_SINCE: Final = PREFIX + "good-since"
"""When the point became good, by the API server's clock: nothing goes within a grace of it."""
MADE_FOR: Final = PREFIX + "snapshot-uid"
"""uid of the very snapshot that the verdict was written for: a copy of its manifest is none."""
SWEEP_RELEASED: Final = PREFIX + "sweep-released"
"""The delete-after that a person released although many points go at once."""
RUN: Final = PREFIX + "run"
"""uid of the Backup that made the snapshot: a recreated record is another run. On a policy: any
text; when it is another one, a run is made. On the Backup of such a run: that text."""
ADOPTED: Final = PREFIX + "adopted-from"
"""The label prefix of the tool that made the snapshot, such as backup-ns.sh."""
REBUILD: Final = PREFIX + "rebuild"
"""On a policy: records that are missing are to be made again from the artifacts, once."""
RELEASE_RETENTION: Final = PREFIX + "release-retention"
"""On a policy: hashes, separated by commas, of the retention plans that may pass a brake."""
HELD_BY_HOOKS: Final = PREFIX + "hooks"
"""Finalizer of a Backup between its hooks before the snapshot and those after."""

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
RESTORING: Final = PREFIX + "restoring"
"""Label of a claim that a restore made and has not verified: uid of the RestoreRequest. Such a
claim goes with its request; without the label it is its user's."""

TEMPORARY: Final = PREFIX + "temporary"
"""Label of a claim that a copy is made of, and that goes when the copy is made: uid of the Backup.
Annotation of the same key: its name, so that no other claim made of its manifest is one."""

DATABASES_AS_FILES: Final = PREFIX + "databases-as-files"
"""On a copy of what was there before a restore: `true` if live databases in it are the files that
were there, and not of one moment."""

CLOCK_JUMPED: Final = PREFIX + "clock-jumped"
"""On the operator's Lease: when its clock was set, and by how much; taken off, all goes on."""
ALLOW_SHRUNKEN: Final = PREFIX + "allow-shrunken"
"""On a Backup: `true` lets this run copy a source that has lost much, or all."""
RESTORES_INTO: Final = PREFIX + "restores-into"
"""On the Job of a restore: where it writes, in JSON. It goes on when its request is deleted."""
NAMESPACE: Final = PREFIX + "namespace"
"""Label on Jobs: the namespace whose data they work on."""
REPOSITORY: Final = PREFIX + "repository"
"""Label on Jobs: the BackupRepository that they work on."""
REPOSITORY_TASK: Final = PREFIX + "repository-task"
"""Label on those Jobs that no run and no restore waits for: Open, List or Maintain."""
ASK_LIST: Final = PREFIX + "list"
ASK_CHECK: Final = PREFIX + "check"
ASK_PRUNE: Final = PREFIX + "prune"
"""On a BackupRepository: set to a new word, that is done once; status.obeyed repeats the word."""
POD_SECURITY: Final = "pod-security.kubernetes.io/enforce"
PRIVILEGED_MOVERS: Final = (PREFIX + "privileged-movers", "volsync.backube/privileged-movers")
"""Annotations of a namespace, the second one VolSync's: whether movers in it are root."""


class Result(StrEnum):
    """The outcome of a point; written in one patch together with tiers or delete-after."""

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
