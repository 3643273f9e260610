"""The store Repository: copies in a restic repository, off the cluster."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from backstay.api.common import Duration, Model, Size
from backstay.api.repository import AccessMode
from backstay.api.repository_status import RepositoryID
from backstay.api.retention import Retention
from backstay.api.rolling import ExcludePattern, PlannedCopy
from backstay.api.rolling_status import IdentityText, LabelText, NoteText
from backstay.api.shapes import NAME_MAX, ObjectName

SNAPSHOT_ID_MAX: Final = 64
"""Characters of a restic snapshot's ID in full."""


class UploadMethod(StrEnum):
    """What the upload of a claim reads."""

    SNAPSHOT = "Snapshot"
    CLONE = "Clone"
    DIRECT = "Direct"
    ROLLING = "Rolling"


class TemporaryVolume(Model):
    """The temporary claim that is uploaded from, where its source's settings do not fit."""

    storage_class_name: ObjectName | None = Field(
        default=None, description="Its class; left out, one of the snapshot's driver."
    )
    access_modes: tuple[AccessMode, ...] = Field(
        default=(), description="Its access modes; left out, those of the source.", max_length=4
    )
    size: Size | None = Field(
        default=None, description="Its size; left out, what the source and its snapshot need."
    )


class Repository(Model):
    """Copies in a restic repository."""

    name: ObjectName = Field(description="A BackupRepository of the policy's namespace.")
    copy_method: UploadMethod = Field(
        default=UploadMethod.SNAPSHOT,
        description="What is uploaded of a claim. Snapshot: this run's snapshot, which "
        "spec.snapshot takes. Clone: a clone of the claim, made when the dumps are over. Direct: "
        "the live volume, while others write to it. Rolling: this run's rolling copy, which "
        "spec.rolling makes. Snapshot and Clone read a temporary claim, which takes as much "
        "storage as its source until the upload is over.",
    )
    required: bool = Field(
        default=False,
        description="Whether the run, its retries and the next slot wait for the upload. If not, "
        "it is tried again until lateAfter while later runs go on, and the upload of a later run "
        "stands for it. Without effect where copyMethod is not Snapshot: what reads the live claim "
        "is waited for.",
    )
    late_after: Duration = Field(
        default=timedelta(hours=24),
        description="From when on, after the start of a run, the condition OffsiteFresh is False "
        "without its copy, or a newer one. Then an upload that is not required is given up.",
    )
    retention: Retention | None = Field(
        default=None,
        description="How long the copies are kept; left out, as spec.retention has it.",
    )
    exclude: tuple[ExcludePattern, ...] = Field(
        default=(),
        description="What is left out: patterns of restic's --exclude, such as /cache or *.tmp.",
        max_length=64,
    )
    allow_unreadable: bool = Field(
        default=False,
        description="Store a copy without files that cannot be read instead of none. Its Backup is "
        "PartiallyFailed and lists some. The newest copy in which nothing is missing is never "
        "removed.",
    )
    minimum_percent: int = Field(
        default=50,
        ge=0,
        le=100,
        description="Refuse to upload when the source has less than this part of the files or "
        "bytes of the last good copy. A run of a Backup annotated backstay.dev/allow-shrunken=true "
        "uploads it all the same.",
    )
    volume: TemporaryVolume = Field(
        default_factory=TemporaryVolume,
        description="The temporary claim, where its source's settings do not fit.",
        json_schema_extra={"default": {}},
    )
    start_timeout: Duration = Field(
        default=timedelta(minutes=10),
        description="How long the temporary claim and the Pod may take until the upload starts.",
    )
    max_duration: Duration = Field(
        default=timedelta(hours=24), description="After this long an upload is stopped and failed."
    )

    @property
    def reads_temporary(self) -> bool:
        """Return whether uploads read temporary claims."""
        return self.copy_method in (UploadMethod.SNAPSHOT, UploadMethod.CLONE)


class PlannedRepository(Model):
    """The uploads of a run, one after the other."""

    copies: tuple[PlannedCopy, ...] = Field(description="What to upload.", max_length=256)
    settings: Repository = Field(description="How and where to, as the policy had it.")
    id: RepositoryID | None = Field(
        default=None,
        description="The ID of the repository that it was planned for: another one is not used. "
        "Left out, it was not known yet.",
    )


class StoredSource(Model):
    """What the record of a point says of its source, which retention compares with others."""

    ids: tuple[IdentityText, ...] = Field(
        default=(),
        description="What the source was: the uid of the claim, and its volume. A point that "
        "shares none of these with the one before is of another claim.",
        max_length=8,
    )
    continues: str | None = Field(
        default=None,
        description="uid of the claim whose data a restore brought into this one.",
        max_length=64,
    )
    servers: dict[str, Annotated[str, Field(max_length=253)]] = Field(
        default_factory=dict,
        description="By the name of a dump: the identity of the database server.",
        max_length=64,
    )
    dumps: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="By the name of a dump: its bytes.", max_length=64
    )
    forms: dict[str, Annotated[str, Field(max_length=64)]] = Field(
        default_factory=dict,
        description="By the name of a dump: how it was written. Only sizes of one form are "
        "compared.",
        max_length=64,
    )


class StoredStatus(Model):
    """What a point has besides that is in a repository."""

    repository: str = Field(description="Its BackupRepository.", max_length=NAME_MAX)
    id: RepositoryID = Field(description="The ID of that repository.")
    data: str = Field(description="The restic snapshot of the data.", max_length=SNAPSHOT_ID_MAX)
    record: str = Field(
        description="The restic snapshot that says that the data is whole.",
        max_length=SNAPSHOT_ID_MAX,
    )
    tree: str = Field(description="The tree of the data.", max_length=SNAPSHOT_ID_MAX)
    source: StoredSource = Field(
        default_factory=StoredSource,
        description="What its record says of the source.",
    )
    labels: dict[str, LabelText] = Field(
        default_factory=dict, description="What retention knows it by.", max_length=64
    )
    annotations: dict[str, NoteText] = Field(
        default_factory=dict, description="Notes of retention.", max_length=32
    )
    files: int | None = Field(default=None, ge=0, description="Files in it.")
    new_bytes: int | None = Field(
        default=None, ge=0, description="Bytes that it added to the repository."
    )
    seconds: int | None = Field(default=None, ge=0, description="How long the upload took.")
    unreadable: int = Field(
        default=0, ge=0, description="Files of the source that could not be read and are missing."
    )
    missing: bool = Field(
        default=False,
        description="Whether the repository did not show it when it was last listed. One that "
        "retention removes is Swept before, and missing after it.",
    )
