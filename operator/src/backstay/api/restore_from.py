"""What a RestoreRequest restores from."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from backstay.api.common import Model, Time
from backstay.api.shapes import WORDS, ObjectName, Shape
from backstay.api.store import StoreName

ResticID = Annotated[
    str,
    Field(min_length=8, max_length=64),
    Shape("[0-9a-f]{8,64}", "must be the ID of a restic snapshot: at least 8 of its hex digits"),
]
"""A snapshot as restic names it, in full or shortened."""
HostName = Annotated[str, Field(min_length=1, max_length=253), Shape(WORDS.pattern, WORDS.message)]
BackedUpPath = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Shape("/[^\\x00-\\x1f\\x7f]*", "must be an absolute path, as `restic snapshots` shows it"),
]


class RestoreFromRepository(Model):
    """A snapshot of a repository, which needs no Backup and no policy."""

    cel_rules: ClassVar = (
        (
            "!has(self.snapshot) || [has(self.asOf), has(self.previous), has(self.host)]"
            ".filter(x, x).size() == 0",
            "snapshot names one: leave asOf, previous and host out, or snapshot",
        ),
    )

    name: ObjectName = Field(description="A BackupRepository of the request's namespace.")
    snapshot: ResticID | None = Field(
        default=None,
        description="The restic snapshot, by its ID or at least the first 8 digits of it; left "
        "out, the newest.",
    )
    as_of: Time | None = Field(
        default=None, description="The newest that is not newer than this time."
    )
    previous: int | None = Field(
        default=None, ge=0, le=10**6, description="So many further back than that."
    )
    host: HostName | None = Field(
        default=None,
        description="Choose among the snapshots of this host, whoever made them: `volsync` for "
        "VolSync's, the namespace for K8up's. Without host and path, among Backstay's points of "
        "the claim.",
    )
    path: BackedUpPath | None = Field(
        default=None,
        description="Choose among the snapshots of this path, whoever made them: `/data` for "
        "VolSync's, `/data/CLAIM` for K8up's. It becomes the root of the claim.",
    )

    @property
    def foreign(self) -> bool:
        """Whether it is chosen by what restic knows of it, and not by the claim."""
        return self.host is not None or self.path is not None


class RestoreFrom(Model):
    """What to restore from: one of backup, volumeSnapshot and repository."""

    cel_rules: ClassVar = (
        (
            "[has(self.backup), has(self.volumeSnapshot), has(self.repository)]"
            ".filter(x, x).size() == 1",
            "from needs exactly one of backup, volumeSnapshot and repository",
        ),
        (
            "!has(self.store) || has(self.backup)",
            "store chooses among the points of a Backup: set from.backup",
        ),
    )

    backup: ObjectName | None = Field(
        default=None, description="A Backup of the request's namespace, with good points."
    )
    volume_snapshot: ObjectName | None = Field(
        default=None, description="A VolumeSnapshot of the request's namespace, by name."
    )
    repository: RestoreFromRepository | None = Field(
        default=None, description="A snapshot of a repository, by its ID or its time."
    )
    store: StoreName | None = Field(
        default=None,
        description="The store that is restored from, as the Backup's status.points[].store names "
        "it: Snapshot, Rolling or Repository. Left out, the first of these that has a good point "
        "and can be restored to where the data is to go.",
    )
