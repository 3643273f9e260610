"""Rolling copies: hard-link copies of directories, on a node or in a claim."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from backstay.api.common import Duration, Model
from backstay.api.retention import Retention
from backstay.api.shapes import NAME_MAX, Bytes, DirectoryPath, ObjectName, RelativePath

PATHS_MAX: Final = 16
"""Directories of one policy."""

SERIES_MAX: Final = NAME_MAX + 1 + 1024
"""Length of what names a series: `NODE:PATH`, or `CLAIM/SUBPATH`."""

ExcludePattern = Annotated[str, Field(min_length=1, max_length=256)]


class HostPathSource(Model):
    """Directories on one node."""

    cel_rules: ClassVar = (
        ("has(self.path) != has(self.paths)", "hostPath needs exactly one of path and paths"),
        (
            "!has(self.paths) || self.paths.all(p, self.paths.all(q, p == q || "
            "!q.startsWith(p + '/')))",
            "one of the paths lies inside another: leave it out, or exclude it there",
        ),
    )

    path: DirectoryPath | None = Field(
        default=None,
        description="A directory of the node, at or below one that the administrator allows to "
        "the namespace (rolling.sources of the chart).",
    )
    paths: tuple[DirectoryPath, ...] | None = Field(
        default=None,
        description="Several such directories; each is copied, kept and restored for itself.",
        min_length=1,
        max_length=PATHS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    node: ObjectName = Field(
        description="The node that has them. While it is missing or not ready nothing is copied, "
        "and never from another one."
    )

    @property
    def directories(self) -> tuple[str, ...]:
        """Return the directories, however they were written."""
        return self.paths or ((self.path,) if self.path else ())


class RollingClaim(Model):
    """A claim that copies are kept in."""

    name: ObjectName = Field(
        description="The claim: of the policy's namespace where the source is claims, of the "
        "operator's where it is hostPath (then the administrator must allow it to the namespace, "
        "in rolling.destinations of the chart)."
    )
    sub_path: RelativePath | None = Field(
        default=None, description="A directory in it; left out, its root."
    )


class RollingDestination(Model):
    """Where copies are kept: exactly one of its fields."""

    cel_rules: ClassVar = (
        (
            "has(self.hostPath) != has(self.claim)",
            "destination needs exactly one of hostPath and claim",
        ),
    )

    host_path: DirectoryPath | None = Field(
        default=None,
        description="A directory of the same node: one of those that the administrator allows to "
        "the namespace (rolling.destinations of the chart), exactly as it is written there.",
    )
    claim: RollingClaim | None = Field(default=None, description="A claim, such as one on NFS.")


class CopyMethod(StrEnum):
    """What the copy of a claim reads."""

    DIRECT = "Direct"
    SNAPSHOT = "Snapshot"
    CLONE = "Clone"


class IoClass(StrEnum):
    """The name in ionice(1)."""

    IDLE = "idle"
    BEST_EFFORT = "best-effort"


class KeepFree(Model):
    """What a copy leaves free at its destination."""

    bytes: Bytes | None = Field(default=None, description="Bytes, such as 20Gi.")
    inodes: int = Field(default=0, ge=0, le=10**12, description="Inodes, where it has a number.")


class Scrub(Model):
    """How the copies are read again, to find out what the disk has lost."""

    days: int = Field(
        default=30,
        ge=0,
        le=366,
        description="In so many days the content of every file in the copies is read and compared "
        "once, a part of it each day; 0 switches it off.",
    )


class Rolling(Model):
    """Hard-link copies of directories: each is a complete tree, and only what changed costs."""

    destination: RollingDestination = Field(description="Where copies are kept.")
    copy_method: CopyMethod = Field(
        default=CopyMethod.DIRECT,
        description="What the copy of a claim reads. Direct: the live volume, file by file while "
        "others write to it. Snapshot: a temporary claim made of this run's snapshot, which "
        "spec.snapshot takes, so that the copy is of the moment that the hooks held; it begins "
        "when the snapshot is ready. Clone: a temporary claim that the driver clones from the "
        "source when the dumps are over. A temporary claim takes as much storage as its source "
        "until the copy is made, and goes with it.",
    )
    exclude: tuple[ExcludePattern, ...] = Field(
        default=(),
        description="What is left out: patterns of rsync's --exclude, such as cache/ or *.tmp.",
        max_length=64,
    )
    bandwidth: Bytes | None = Field(
        default=None,
        description="Bytes a second that a copy may write at most, such as 20Mi; left out, as "
        "fast as it goes.",
    )
    io_class: IoClass | None = Field(
        default=None,
        description="idle: read and write only while nobody else does; best-effort: after others. "
        "Left out, like any other program. It needs a disk scheduler that knows priorities (bfq).",
    )
    keep_free: KeepFree = Field(
        default_factory=KeepFree,
        description="Refuse to copy when less than this would be left.",
        json_schema_extra={"default": {}},
    )
    require_mount: bool = Field(
        default=False,
        description="Refuse to copy unless the source is the root of a mounted file system: one "
        "that is not mounted is an empty directory.",
    )
    allow_same_file_system: bool = Field(
        default=False,
        description="Allow copies on the file system of the source, which are lost with it.",
    )
    allow_unreadable: bool = Field(
        default=False,
        description="Make a copy without entries that cannot be read (a bad sector, a path that is "
        "too long, a SQLite database that is damaged) instead of none. Its Backup is "
        "PartiallyFailed and lists them. Such a copy fills the tiers; the newest one in which "
        "nothing is missing is never removed.",
    )
    minimum_percent: int = Field(
        default=50,
        ge=0,
        le=100,
        description="Refuse to copy when the source has less than this part of the files or bytes "
        "of the last good copy. A run of a Backup annotated backstay.dev/allow-shrunken=true "
        "copies it all the same.",
    )
    start_timeout: Duration = Field(
        default=timedelta(minutes=10),
        description="How long the node, the temporary claim of copyMethod and the copy's Pod may "
        "take until the copy starts.",
    )
    retention: Retention | None = Field(
        default=None,
        description="How long the copies are kept; left out, as spec.retention has it.",
    )
    max_duration: Duration = Field(
        default=timedelta(hours=24), description="After this long a copy is stopped and failed."
    )
    scrub: Scrub = Field(
        default_factory=Scrub,
        description="How the copies are read again.",
        json_schema_extra={"default": {}},
    )

    @property
    def reads_temporary(self) -> bool:
        """Return whether copies are made of temporary claims."""
        return self.copy_method is not CopyMethod.DIRECT


class PlannedCopy(Model):
    """One directory of the frozen plan; exactly one of node and claim."""

    node: str | None = Field(
        default=None, description="The node of a directory on a node.", max_length=NAME_MAX
    )
    claim: str | None = Field(
        default=None, description="The claim of a directory in a claim.", max_length=NAME_MAX
    )
    path: str = Field(
        default="",
        description="The directory: absolute on a node, relative in a claim.",
        max_length=1024,
    )

    @property
    def series(self) -> str:
        """Return what names it for people: NODE:PATH, CLAIM or CLAIM/PATH."""
        if self.node is not None:
            return f"{self.node}:{self.path}"
        return f"{self.claim}/{self.path}" if self.path else f"{self.claim}"


class PlannedRolling(Model):
    """The copies that a run makes, one after the other."""

    copies: tuple[PlannedCopy, ...] = Field(description="Directories to copy.", max_length=256)
    settings: Rolling = Field(description="How and where, as the policy had it.")
