"""What a look found of the snapshots of a run: values that their next step rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from backstay.api.point import PointResult
from backstay.api.store import SNAPSHOT
from backstay.domain.objects import Obj
from backstay.domain.run.sights import DumpSeen
from backstay.domain.run.values import Seen


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
    """The driver gave a handle."""
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
class Pair:
    """A VolumeSnapshot and its content, as far as they exist."""

    snapshot: Obj | None = None
    content: Obj | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at the snapshots of the current attempt."""

    points: Mapping[str, PointSeen] = field(default_factory=dict)
    """By claim."""
    rechecks: Mapping[str, DumpSeen] = field(default_factory=dict)
    """By dump name: what its file says after the snapshot."""
    torn: str = ""
    """Why claims that have snapshots taken belong together, unknown to the plan."""
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    """By claim, as read: what is written rests on that."""


def sight_of(seen: Seen) -> Sight:
    """Given what was seen of a run, return what was seen of its snapshots."""
    found = seen.sights.get(SNAPSHOT)
    return found if isinstance(found, Sight) else Sight()
