"""What the plan of a run takes and gives: a sighting in, the next status and actions out.

Invariants: every action is idempotent and names what it is about, so it may be carried out twice;
actions are carried out in order, before the status is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.dump_status import DumpStatus
from backstay.api.hooks import PlannedHook, Stage
from backstay.api.plan import PlannedDump, RunPlan
from backstay.domain.errors import UserError
from backstay.domain.run.sights import CopySeen, DumpPlace, DumpSeen, HookPlace, HookSeen, PointSeen

POLL: Final = timedelta(seconds=3)
"""Between two looks at something that nothing wakes us for."""
LONGEST_POLL: Final = timedelta(seconds=30)
AT_ONCE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class StartDump:
    """Start this dump in its container; a dump that runs or is done already is left alone."""

    dump: PlannedDump
    place: DumpPlace
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelDump:
    """End this dump if it still runs."""

    dump: PlannedDump
    place: DumpPlace
    attempt: int


@dataclass(frozen=True, slots=True)
class StartHook:
    """Start this hook in its container; one that was started already is left alone."""

    hook: PlannedHook
    stage: Stage
    place: HookPlace
    attempt: int


@dataclass(frozen=True, slots=True)
class ReleaseHook:
    """Release what this hook holds, or undo it where nobody is left that holds it."""

    hook: PlannedHook
    place: HookPlace
    attempt: int


@dataclass(frozen=True, slots=True)
class KeepRecord:
    """Put our finalizer on the Backup: deleted or not, what its hooks hold will be released."""


@dataclass(frozen=True, slots=True)
class FreeRecord:
    """Take our finalizer off the Backup: nothing is held any more."""


@dataclass(frozen=True, slots=True)
class CreateSnapshot:
    """Ask the driver for a snapshot of this claim, or find that this was done."""

    claim: str
    name: str
    requested_at: datetime
    dumps: tuple[DumpStatus, ...]


@dataclass(frozen=True, slots=True)
class LabelContent:
    """Make the content carry what its snapshot says, and Retain: it is found whatever happens."""

    claim: str


@dataclass(frozen=True, slots=True)
class MarkGood:
    """Make the content Retain, then write result=good and the tiers onto it and the snapshot."""

    claim: str


@dataclass(frozen=True, slots=True)
class MarkFailed:
    """Write result=failed onto the snapshot if it is there and still pending, and label its content
    if that has a disk snapshot.
    """

    snapshot: str


@dataclass(frozen=True, slots=True)
class StartCopy:
    """Make the Job that copies this series, or find that this was done."""

    series: str


@dataclass(frozen=True, slots=True)
class CancelCopy:
    """Delete the Job of this series."""

    series: str


Action = (
    StartDump
    | CancelDump
    | StartHook
    | ReleaseHook
    | KeepRecord
    | FreeRecord
    | CreateSnapshot
    | LabelContent
    | MarkGood
    | MarkFailed
    | StartCopy
    | CancelCopy
)


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decision on one Backup rests on."""

    name: str
    uid: str
    created: datetime
    now: datetime
    spec: BackupSpec
    status: BackupStatus
    plan: RunPlan | None = None
    """The plan made from the policy just now, when the status has none yet."""
    problem: UserError | None = None
    """Why no plan could be made."""
    waits_for: str = ""
    """What the admitter has it wait for, in words; "": it may start now."""
    kept: bool = False
    """Our finalizer is on the Backup."""
    deleting: bool = False
    """Somebody deleted the Backup, and the finalizer keeps it for now."""
    dump: DumpSeen | None = None
    """The dump that is under way."""
    hook: HookSeen | None = None
    """The hook whose turn it is."""
    points: Mapping[str, PointSeen] = field(default_factory=dict)
    """By claim: the snapshot of the current attempt."""
    torn: str = ""
    """Why claims that have snapshots taken belong together, unknown to the plan."""
    rechecks: Mapping[str, DumpSeen] = field(default_factory=dict)
    """By dump name: what its file says after the snapshot."""
    copy: CopySeen | None = None
    """The rolling copy that is under way."""


def pause(waited: timedelta) -> timedelta:
    """Given how long something was waited for that the watch reports as well, return when to look
    again: seldom where it takes long.
    """
    return max(POLL, min(waited / 4, LONGEST_POLL))


def with_seen(seen: Seen, **found: object) -> Seen:
    """Given a sighting and what else was found (by field), return both together."""
    return replace(seen, **found)  # type: ignore[arg-type]  # names are Seen's own fields


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status, what to do before it is written, and when to look again (None: never)."""

    status: BackupStatus
    actions: tuple[Action, ...] = ()
    after: timedelta | None = None
