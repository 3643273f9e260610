"""Backup: one run of a policy, and the index of the points that it made."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from pydantic import Field

from backstay.api.common import Model, Time
from backstay.api.dump_status import DumpStatus
from backstay.api.hooks import HOOKS_MAX, HookStatus
from backstay.api.meta import Column, CrdMeta
from backstay.api.plan import POINTS_MAX, POOLS_MAX, PoolName, RunPlan
from backstay.api.point import PointStatus
from backstay.api.policy import DUMPS_MAX
from backstay.api.shapes import ObjectName


class Trigger(StrEnum):
    """Who asked for the run."""

    SCHEDULED = "Scheduled"
    AD_HOC = "AdHoc"
    IMPORTED = "Imported"
    """Made from artifacts that were there already: never executed."""


class BackupPhase(StrEnum):
    """Where a run is. The last four are final: such a Backup is never worked on again."""

    PENDING = "Pending"
    QUEUED = "Queued"
    DUMPING = "Dumping"
    SNAPSHOTTING = "Snapshotting"
    UPLOADING = "Uploading"
    COPYING = "Copying"
    COMPLETED = "Completed"
    PARTIALLY_FAILED = "PartiallyFailed"
    FAILED = "Failed"
    GONE = "Gone"
    """None of its good points can be found any more. Once one is back it is again what it was."""

    @property
    def final(self) -> bool:
        """Whether the run is over."""
        return self in FINAL_PHASES


FINAL_PHASES: Final = frozenset(
    {
        BackupPhase.COMPLETED,
        BackupPhase.PARTIALLY_FAILED,
        BackupPhase.FAILED,
        BackupPhase.GONE,
    }
)


class BackupSpec(Model):
    """Spec of a Backup; immutable."""

    cel_rules: ClassVar = (
        ("self == oldSelf", "spec is immutable: create another Backup"),
        (
            "self.trigger != 'Scheduled' || has(self.scheduledFor)",
            "scheduledFor is required when trigger is Scheduled",
        ),
        (
            # Far enough from both ends of what a date can be for any zone, wait or retention. A
            # record that was Imported shows what its artifacts say, and is never executed.
            "self.trigger != 'Scheduled' || !has(self.scheduledFor) || "
            "(timestamp(self.scheduledFor) >= timestamp('2000-01-01T00:00:00Z') && "
            "timestamp(self.scheduledFor) < timestamp('9000-01-01T00:00:00Z'))",
            "scheduledFor must be a slot from the year 2000 on and before 9000",
        ),
        (
            "self.trigger != 'AdHoc' || !has(self.scheduledFor)",
            "scheduledFor is set by the operator, for trigger Scheduled or Imported only",
        ),
        (
            "self.trigger == 'AdHoc' || !has(self.keepDays)",
            "keepDays is for trigger AdHoc only: scheduled points follow the policy's retention",
        ),
    )

    policy: ObjectName = Field(description="BackupPolicy of the same namespace to run.")
    trigger: Trigger = Field(
        default=Trigger.AD_HOC,
        description="AdHoc for a run that a person asks for; Scheduled and Imported (the record "
        "of artifacts that exist already, never executed) are set by the operator.",
    )
    scheduled_for: Time | None = Field(
        default=None, description="The slot of the schedule, set by the operator."
    )
    keep_days: int | None = Field(
        default=None,
        ge=1,
        le=3660,
        description="Days that the points are kept; left out, the policy's retention.adhocDays.",
    )


class BackupStatus(Model):
    """Status of a Backup."""

    phase: BackupPhase = Field(default=BackupPhase.PENDING, description="Where the run is.")
    message: str | None = Field(
        default=None, description="Why it is there, in words.", max_length=4096
    )
    attempt: int = Field(default=0, ge=0, description="Current attempt, from 1.")
    started_at: Time | None = Field(default=None, description="When the run started.")
    attempted_at: Time | None = Field(default=None, description="When the current attempt started.")
    retry_at: Time | None = Field(default=None, description="When the next attempt starts.")
    completed_at: Time | None = Field(default=None, description="When the run ended.")
    taken: Time | None = Field(default=None, description="When the first good point was taken.")
    plan: RunPlan | None = Field(default=None, description="What the run does.")
    dumps: tuple[DumpStatus, ...] = Field(
        default=(), description="The dumps of the run.", max_length=DUMPS_MAX
    )
    hooks: tuple[HookStatus, ...] = Field(
        default=(), description="The hooks of the run.", max_length=2 * HOOKS_MAX
    )
    points: tuple[PointStatus, ...] = Field(
        default=(), description="The points of the run.", max_length=POINTS_MAX
    )
    pools: tuple[PoolName, ...] = Field(
        default=(),
        description="Pools that it holds a permit of: from its admission until its snapshots, or "
        "until its copies are made.",
        max_length=POOLS_MAX,
    )
    tiers: str | None = Field(
        default=None, description="Tiers of the points, for printing.", max_length=128
    )
    spread: int | None = Field(
        default=None,
        ge=0,
        description="Seconds between the first snapshot and the last, where there are several. "
        "Only claims that plan.together names fit together.",
    )
    size: str | None = Field(
        default=None,
        description="Size of the dumps, or of the points, for printing.",
        max_length=32,
    )
    until: str | None = Field(
        default=None, description="How long the points are kept, for printing.", max_length=64
    )


BACKUP_META: Final = CrdMeta(
    kind="Backup",
    plural="backups",
    singular="backup",
    short_names=("bk",),
    description="One run of a policy, and the index of the points that it made.",
    columns=(
        Column("Phase", ".status.phase", "Where the run is."),
        Column("Tiers", ".status.tiers", "Calendar tiers that keep it."),
        Column("Size", ".status.size", "Size of its dumps, or of its points."),
        Column("Taken", ".status.taken", "Age of its data.", "date"),
        Column("Until", ".status.until", "How long it is kept."),
        # In the name and in Taken already: these would not fit into 120 columns.
        Column("Policy", ".spec.policy", "The policy.", wide=True),
        Column("Age", ".metadata.creationTimestamp", "Age of the record.", "date", wide=True),
        Column("Message", ".status.message", "Why it is in this phase.", wide=True),
    ),
    selectable_fields=(".status.phase", ".spec.policy"),
)
