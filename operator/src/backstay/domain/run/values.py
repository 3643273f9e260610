"""What the plan of a run takes and gives: a sighting in, the next status and actions out.

Invariants: every action is idempotent and names what it is about, so it may be carried out twice;
actions are carried out in order, before the status is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol

from backstay.api.backup import BackupSpec, BackupStatus
from backstay.api.hooks import PlannedHook, Stage
from backstay.api.plan import PlannedDump, RunPlan
from backstay.domain.errors import UserError
from backstay.domain.run.sights import DumpPlace, DumpSeen, HookPlace, HookSeen

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
class StoreAction:
    """What a store does for a point; each store has its own kinds, and carries them out."""

    store: ClassVar[str]
    spared: ClassVar[bool] = False
    """Whether a run that is given up can end without it."""
    repeated: ClassVar[bool] = False
    """Whether every look asks for it until it is done: one that follows at once may do it."""


Action = StartDump | CancelDump | StartHook | ReleaseHook | KeepRecord | FreeRecord | StoreAction


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
    sights: Mapping[str, object] = field(default_factory=dict)
    """By store: what it has seen of the points that it makes, a value of its own."""
    stores: Sequence[RunStore] = ()
    """Those that there are, in the order in which a run makes their points."""


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


class RunStore(Protocol):
    """What a run asks of a store. Its points are PlannedPoints of the plan, and points of the
    status from when they are begun; all functions are pure, and called again after a kill.
    """

    @property
    def name(self) -> str:
        """Its word in points[].store."""
        ...

    @property
    def instant(self) -> bool:
        """Whether its points are taken while the hooks hold. Those of others are begun when that
        is over, and may be made of an instant one.
        """
        ...

    def begin(self, seen: Seen, status: BackupStatus, /) -> BackupStatus:
        """Write down the points of this attempt that can be made, as pending."""
        ...

    def judge(self, status: BackupStatus) -> BackupStatus:
        """Fail the pending points that cannot become good any more, the hooks being over."""
        ...

    def follow(self, seen: Seen) -> Decision:
        """Take each pending point a step further. In the phase Snapshotting an instant store is
        asked until all of its points are taken (`taken_at`) or failed.
        """
        ...

    def give_up(self, status: BackupStatus, why: str) -> BackupStatus:
        """Fail what was being looked at, as the look or its outcome fails for good."""
        ...

    def deadlines(self, status: BackupStatus) -> tuple[datetime, ...]:
        """Return when what is waited for now is given up."""
        ...

    def clean_up(self, status: BackupStatus, /) -> tuple[Action, ...]:
        """Return what to do for the failed points of an attempt that ends."""
        ...
