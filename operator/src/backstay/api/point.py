"""A point, as the status of its Backup has it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from backstay.api.common import Model, Time
from backstay.api.progress import Progress
from backstay.api.repository_store import StoredStatus
from backstay.api.rolling import SERIES_MAX
from backstay.api.rolling_status import CopyStatus
from backstay.api.shapes import NAME_MAX
from backstay.api.store import SNAPSHOT, StoreName

TierName = Annotated[str, Field(max_length=16)]
HANDLE_MAX: Final = 1024
"""Characters of a disk snapshot's handle. A longer one is left out: no driver makes such."""


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
    store: StoreName = Field(description="Where it is kept: Snapshot, Rolling or Repository.")
    ref: str | None = Field(
        default=None,
        description="Its name in the store: the VolumeSnapshot, the stamp of a rolling copy, or "
        "the short ID of a restic snapshot.",
        max_length=NAME_MAX,
    )
    attempt: int = Field(ge=1, description="Attempt that made it.")
    job: str | None = Field(default=None, description="The Job that makes it.", max_length=NAME_MAX)
    tries: int = Field(
        default=0, ge=0, description="Tries that failed, of a point that may come late."
    )
    retry_at: Time | None = Field(default=None, description="When it is tried again.")
    result: PointResult = Field(description="pending, good or failed.")
    progress: Progress | None = Field(
        default=None, description="How far its Job has come, about every 15 s while it works."
    )
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
    stored: StoredStatus | None = Field(
        default=None, description="What it has besides if it is in a repository."
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
    def unreadable(self) -> int:
        """Return how much of its source could not be read and is missing in it, as was allowed."""
        copied = self.rolling.unreadable if self.rolling else 0
        return copied or (self.stored.unreadable if self.stored else 0)

    @property
    def missing(self) -> bool:
        """Whether the last list of where it is kept did not show it."""
        unlisted = self.rolling is not None and self.rolling.missing
        return unlisted or (self.stored is not None and self.stored.missing)

    @property
    def pending(self) -> bool:
        """Whether nothing is decided yet."""
        return self.result is PointResult.PENDING
