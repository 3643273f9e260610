"""What a look at the cluster found of a run: values that `machine.decide` rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from backstay.domain.sources.places import DumpPlace, HookPlace
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
    compressed: bool | None = None
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
class HookSeen:
    """One look at a hook. `place` is where it would run now; None: nowhere."""

    sight: HookSight
    place: HookPlace | None = None
    task_lives: bool = False
    """This process has an exec stream of it open, of its start or of its release."""
    seconds: int | None = None
    message: str = ""
