"""Backup: one run of a policy, and the index of the points that it made."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from backstay.api.common import Model, Time
from backstay.api.hooks import HOOKS_MAX, HookStatus
from backstay.api.meta import Column, CrdMeta
from backstay.api.plan import POINTS_MAX, POOLS_MAX, PoolName, RunPlan
from backstay.api.policy import DUMPS_MAX
from backstay.api.rolling import SERIES_MAX, CopyStatus
from backstay.api.shapes import NAME_MAX, ObjectName
from backstay.api.store import SNAPSHOT, StoreName


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


TierName = Annotated[str, Field(max_length=16)]
POSITION_MAX: Final = 1024
"""Characters of a dump's position. A longer one is left out, and stands beside the dump only."""
SERVER_MAX: Final = 128
"""Characters of a server's identity. A longer one is left out."""
NOTES_MAX, NOTE_MAX = 16, 512
"""Notes of one dump, and characters of each. More are left out, a longer one is shortened."""
VERSION_MAX: Final = 128
"""Characters of a version. A longer one is shortened: MySQL forks say much beside the number."""
HANDLE_MAX: Final = 1024
"""Characters of a disk snapshot's handle. A longer one is left out: no driver makes such."""
VersionText = Annotated[str, Field(max_length=VERSION_MAX)]
NoteText = Annotated[str, Field(max_length=NOTE_MAX)]


class DumpState(StrEnum):
    """Where a dump of the current attempt is."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class DumpStatus(Model):
    """One dump of the run."""

    name: str = Field(description="Name of the dump in the policy.", max_length=63)
    attempt: int = Field(ge=1, description="Attempt that this speaks of.")
    state: DumpState = Field(description="Running, Done or Failed.")
    engine: str = Field(description="The engine, such as postgres.", max_length=32)
    pod: str = Field(description="The pod that it runs in.", max_length=NAME_MAX)
    pod_uid: str = Field(description="Its uid.", max_length=64)
    container: str = Field(description="The container.", max_length=63)
    container_id: str = Field(
        description="The container's id: in another container the attempt is over.", max_length=256
    )
    claim: str = Field(description="The claim that the file lies on.", max_length=NAME_MAX)
    path: str = Field(description="Path of the file inside the claim.", max_length=2048)
    file: str = Field(description="Path of the file inside the container.", max_length=1024)
    started_at: Time = Field(description="When the dump was first started.")
    bytes: int | None = Field(
        default=None, ge=0, description="Size of the dump; while it runs, what is written so far."
    )
    progress_at: Time | None = Field(
        default=None, description="When bytes was last written while the dump ran."
    )
    sha256: str | None = Field(default=None, description="Checksum of the dump.", max_length=64)
    seconds: int | None = Field(default=None, ge=0, description="How long the dump took.")
    versions: dict[str, VersionText] | None = Field(
        default=None, description="Versions of server and tool.", max_length=8
    )
    format: str | None = Field(
        default=None,
        description="What the file is once it is decompressed, such as custom, sql or rdb.",
        max_length=32,
    )
    compression: str | None = Field(
        default=None,
        description="What the file as a whole is compressed by: zstd, gzip or none.",
        max_length=32,
    )
    position: str | None = Field(
        default=None,
        description="Where in the server's log of changes the dump stands, if that is known, such "
        f"as a binary log's file, position and GTID. One of more than {POSITION_MAX} characters "
        "stands in FILE.json only.",
        max_length=POSITION_MAX,
    )
    server: str | None = Field(
        default=None,
        description="What the server says that it is, where it says anything that stays: "
        "PostgreSQL's system identifier, MySQL's server_uuid. MariaDB, MongoDB and Redis have "
        "none.",
        max_length=SERVER_MAX,
    )
    notes: tuple[NoteText, ...] = Field(
        default=(),
        description="What the server has and the dump has not, and what its tool warned of.",
        max_length=NOTES_MAX,
    )
    uid: int | None = Field(default=None, ge=0, description="Owner of the file.")
    gid: int | None = Field(default=None, ge=0, description="Group of the file.")
    message: str | None = Field(
        default=None, description="Last output of the tool when it failed.", max_length=4096
    )


class PointResult(StrEnum):
    """The outcome of one point; the label on its snapshot says the same."""

    PENDING = "pending"
    GOOD = "good"
    FAILED = "failed"


class PointGone(StrEnum):
    """Why a good point is not there, or is about to go."""

    SWEPT = "Swept"
    """Retention removes it. Written before the snapshot is deleted."""
    MISSING = "Missing"
    """It cannot be restored from any more, and nothing of ours removed it: it is reported."""
    ACCEPTED = "Accepted"
    """It was Missing, and a person takes it for gone."""


class SnapshotStatus(Model):
    """What a point has besides that is a snapshot."""

    content: str | None = Field(
        default=None, description="Its VolumeSnapshotContent.", max_length=NAME_MAX
    )
    handle: str | None = Field(
        default=None,
        description="The driver's name of the disk snapshot, which is found by it without the "
        "others.",
        max_length=HANDLE_MAX,
    )


class PointStatus(Model):
    """One point: what one store keeps of one source. There is one of each in a run."""

    source: str = Field(
        description="The source: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    store: StoreName = Field(description="Where it is kept: Snapshot or Rolling.")
    ref: str | None = Field(
        default=None,
        description="Its name in the store: the VolumeSnapshot, or the stamp of a rolling copy.",
        max_length=NAME_MAX,
    )
    attempt: int = Field(ge=1, description="Attempt that made it.")
    job: str | None = Field(default=None, description="The Job that makes it.", max_length=NAME_MAX)
    result: PointResult = Field(description="pending, good or failed.")
    requested_at: Time | None = Field(default=None, description="When it was asked for.")
    taken_at: Time | None = Field(default=None, description="The moment that its data is of.")
    bytes: int | None = Field(default=None, ge=0, description="Restore size.")
    tiers: tuple[TierName, ...] = Field(
        default=(), description="Calendar tiers that keep the point.", max_length=8
    )
    until: str | None = Field(
        default=None, description="How long the point is kept.", max_length=64
    )
    message: str | None = Field(
        default=None, description="Why it failed, or is Missing.", max_length=4096
    )
    gone: PointGone | None = Field(
        default=None,
        description="Why a good point is not there, or goes: Swept (retention removes it), Missing "
        "(nothing of Backstay's removed it: see the policy's condition PointsMissing) or Accepted "
        "(it was Missing, and a person takes it for gone).",
    )
    gone_at: Time | None = Field(
        default=None, description="When that was decided, or first seen to be missing."
    )
    snapshot: SnapshotStatus | None = Field(
        default=None, description="What it has besides if it is a snapshot."
    )
    rolling: CopyStatus | None = Field(
        default=None, description="What it has besides if it is a rolling copy."
    )

    @property
    def key(self) -> tuple[str, str]:
        """Return what a run has one point of: a source in a store."""
        return self.source, self.store

    @property
    def artifact(self) -> str | None:
        """Return what names the artifact, of whatever store, among those of the policy."""
        if self.ref is None or self.store == SNAPSHOT:
            return self.ref
        return f"{self.source}@{self.ref}"

    @property
    def content(self) -> str | None:
        """Return the VolumeSnapshotContent of a snapshot, where it is known."""
        return self.snapshot.content if self.snapshot else None

    @property
    def handle(self) -> str | None:
        """Return the driver's name of the disk snapshot, where it is known."""
        return self.snapshot.handle if self.snapshot else None

    @property
    def pending(self) -> bool:
        """Whether nothing is decided yet."""
        return self.result is PointResult.PENDING


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
