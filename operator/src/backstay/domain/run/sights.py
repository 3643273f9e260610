"""What a look at the cluster found of a run: values that `run.decide` rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from backstay.api.point import PointResult, PointStatus
from backstay.domain.jobs import JobSeen
from backstay.domain.sources.mounts import Mount
from backstay.domain.sources.server_data import DataDirectory


class DumpSight(StrEnum):
    """What the second read of a dump said."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    BUSY = "busy"
    SUPERSEDED = "superseded"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class DumpPlace:
    """The container that a dump runs in, and where its file lies on which claim."""

    pod: str
    pod_uid: str
    container: str
    container_id: str
    claim: str
    path: str
    mounts: tuple[Mount, ...] = ()
    """The container's, in the order of its spec."""


@dataclass(frozen=True, slots=True)
class DumpSeen:
    """One look at a dump. `place` is where it would run now; None: nowhere."""

    sight: DumpSight
    place: DumpPlace | None = None
    task_lives: bool = False
    """This process has an exec stream of it open."""
    bytes: int | None = None
    sha256: str | None = None
    seconds: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    compression: str | None = None
    position: str | None = None
    server: str | None = None
    notes: tuple[str, ...] = ()
    """Done: what the server has and the dump has not, in words."""
    data: tuple[DataDirectory, ...] | None = None
    """Done: where the server keeps its data; None: it did not say."""
    points: tuple[str, ...] = ()
    """Done: what the mounts of its place really are."""
    path: str | None = None
    """Done: where the file really lies on its claim."""
    uid: int | None = None
    gid: int | None = None
    message: str = ""


class HookSight(StrEnum):
    """What the second read of a hook said."""

    NONE = "none"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    BROKEN = "broken"
    """It held, but ended before its release."""
    INTERRUPTED = "interrupted"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class HookPlace:
    """The container that a hook runs in, and which claims of the run its pod has."""

    pod: str
    pod_uid: str
    container: str
    container_id: str
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookSeen:
    """One look at a hook. `place` is where it would run now; None: nowhere."""

    sight: HookSight
    place: HookPlace | None = None
    task_lives: bool = False
    """This process has an exec stream of it open, of its start or of its release."""
    seconds: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class PointSeen:
    """One look at the snapshot of a point and its content. The default: there is none."""

    exists: bool = False
    claim_gone: bool = False
    """There is no snapshot, and the claim of the plan was deleted or recreated."""
    ours: bool = True
    """False: the name is taken by a snapshot that this attempt did not make."""
    result: PointResult | None = None
    taken: bool = False
    """The driver gave a handle and a creation time."""
    taken_at: datetime | None = None
    ready: bool = False
    content: str = ""
    bare: bool = False
    """Its content has a disk snapshot, and does not carry yet what finds that, or is not Retain."""
    restore_size: int | None = None
    error: str = ""
    """What the driver says is wrong."""
    silence: str = ""
    """Who has to say something next, in words that are true after silence.QUIET."""

    def lost(self) -> str:
        """Return why this point can never become good, "" if it still can."""
        if not self.exists:
            return "there is no VolumeSnapshot of it: that or the claim was deleted or recreated"
        if not self.ours:
            return "the name of its VolumeSnapshot is taken by one that this run did not make"
        if self.result is PointResult.FAILED:
            return "its VolumeSnapshot is labelled failed"
        return ""


@dataclass(frozen=True, slots=True)
class CopySeen:
    """One look at the copy that is next or under way."""

    job: JobSeen = field(default_factory=JobSeen)
    waits: bool = False
    """Its node is not ready or not known yet: no Job is made for now."""
    problem: str = ""
    """Why it can never be made as it is planned."""
    result: PointStatus | None = None
    """What its Job says that it published."""
    lost: bool = False
    """Its Job is done, but nobody can read any more what it said: asking again costs nothing."""
    message: str = ""
    """What it waits for, or why it failed."""
