"""What a look at one item of a request finds: values that `restore.machine` rests on, and that
stores and targets fill in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backstay.domain.errors import UserError
from backstay.domain.objects import Obj


@dataclass(frozen=True, slots=True)
class Found:
    """The point of a Backup, as a store finds it for a wish."""

    source: str
    ref: str
    backup: str | None
    uid: str | None = None
    """Of what ref names, if it is an object."""
    node: str | None = None
    """The node whose directory it is of, or whose disk it is read from now; None for a claim."""
    claim: str | None = None
    """The claim that it is of."""
    path: str = ""
    """The directory that it is of: absolute on a node, relative in a claim."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an item goes: a directory of a node, or a claim."""

    path: str
    """Absolute on a node, relative in a claim."""
    into: str
    """All of it in one, for people."""
    node: str | None = None
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """What a claim must be like to be filled from a point."""

    storage_class: str | None
    access_modes: tuple[str, ...]
    volume_mode: str | None
    size: str
    """A Kubernetes quantity."""
    data_source: Obj | None = None
    """What its driver fills it from; None: it begins empty."""
    continues: str = ""
    """uid of the claim whose data it gets, "" if nobody knows."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What may be left of a fill that was killed."""

    asked: bool = False
    """Its removal has begun."""
    over: bool = False
    trouble: str = ""
    """What the removal waits for, or why some of it stays."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How far a store is with filling a target."""

    begun: bool = False
    done: bool = False
    """All of it is there, and its verification is over."""
    failed: str = ""
    """Why it never will be."""
    says: str = ""
    """What the verification found, or what it waits for."""
    verifies: bool = False
    """Only the verification is left."""
    job: str | None = None
    safety: str | None = None
    """The point that was made of what was there."""
    passed: Mapping[str, str] = field(default_factory=dict)
    """By value of spec.acknowledge, what it passed over."""
    rest: Rest | None = None
    """None: it left nothing."""


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """One look of a store at the point of an item."""

    held: bool = False
    """No retention pass removes it: it carries the request's uid."""
    hold_needed: bool = True
    """False: what would hold it cannot reach it, which a person passed over."""
    hold_trouble: str = ""
    """Why it is not held yet, "" if nobody says."""
    lost: str = ""
    """Why nothing can be filled from it any more."""
    refusal: UserError | None = None
    """Why nothing is restored from it; asked until a fill has begun."""
    busy: str = ""
    """Who has its series for hours, in words, "" if nobody does."""
    waits: str = ""
    """Why no fill can begin for now."""
    fill: Fill = field(default_factory=Fill)


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """One look at where an item goes."""

    ready: bool = True
    """It can be filled; False: it is to be made."""
    shared: bool = False
    """Others may write there or read it: it takes a turn."""
    claim: Obj | None = None
    """The claim that was made for the item, by whomever."""
    claim_uid: str | None = None
    called: str = ""
    """What messages call it, "" where the request says it."""
    broken: str = ""
    """Why it can never be used any more."""
    refusal: UserError | None = None
    """Why nothing is restored there; asked until a fill has begun."""
    waits: str = ""
    """Whom it waits for, before it is filled or while it is handed over."""
    committing: bool = False
    """It is verified, and its hand-over takes further looks."""
    leaves: bool = False
    """What is there stays when the request fails, for a person to look at."""


@dataclass(frozen=True, slots=True)
class ItemSeen:
    """One look at an item that is under way."""

    point: StoreSeen
    target: TargetSeen
    passed: Mapping[str, str] = field(default_factory=dict)
    """By value of spec.acknowledge, what it passed over at this look."""

    @property
    def begun(self) -> bool:
        """Whether anything was made for it."""
        return self.point.fill.begun or self.target.claim_uid is not None
