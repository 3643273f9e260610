"""What a RestoreRequest says of itself: its items, where each goes, and how far it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from backstay.api.acknowledgement import MEANINGS
from backstay.api.common import CONDITIONS_MAX, Condition, Model, Time
from backstay.api.rolling import SERIES_MAX
from backstay.api.shapes import NAME_MAX
from backstay.api.store import StoreName


class RestorePhase(StrEnum):
    """Where a restore is. The last three are final."""

    PENDING = "Pending"
    RESTORING = "Restoring"
    VERIFYING = "Verifying"
    COMPLETED = "Completed"
    FAILED = "Failed"
    REFUSED = "Refused"

    @property
    def final(self) -> bool:
        """Whether the request is over."""
        return self in FINAL_RESTORE_PHASES


FINAL_RESTORE_PHASES: Final = frozenset(
    {RestorePhase.COMPLETED, RestorePhase.FAILED, RestorePhase.REFUSED}
)


class RestoreTarget(StrEnum):
    """Where an item of a request goes."""

    NEW_CLAIM = "NewClaim"
    DIRECTORY = "Directory"
    """A new directory, of a node or in a claim."""
    IN_PLACE = "InPlace"
    """Over the source itself."""
    EXISTING_CLAIM = "ExistingClaim"
    """Over what a claim has."""


class RestoreItem(Model):
    """One source of a request: from which point, where to, and how far it is."""

    source: str = Field(
        description="What was backed up: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    store: StoreName = Field(description="The store that it is restored from.")
    ref: str = Field(description="The point's name in that store.", max_length=NAME_MAX)
    uid: str | None = Field(
        default=None, description="uid of what ref names, if it is an object.", max_length=64
    )
    target: RestoreTarget = Field(description="NewClaim, Directory, InPlace or ExistingClaim.")
    node: str | None = Field(
        default=None, description="The node that it is restored on.", max_length=NAME_MAX
    )
    claim: str | None = Field(
        default=None, description="The claim that it goes into.", max_length=NAME_MAX
    )
    claim_uid: str | None = Field(
        default=None, description="uid of that claim, if it was made for this.", max_length=64
    )
    path: str = Field(
        default="",
        description="The directory that it goes into, on the node or in the claim.",
        max_length=1024,
    )
    into: str = Field(description="Both, in one.", max_length=SERIES_MAX)
    claimed_at: Time = Field(
        description="When the point was asked to be held for it; moves on while a copy is made."
    )
    started_at: Time | None = Field(
        default=None,
        description="When its turn came: from then on, until the request is over, no other restore "
        "writes there, and no run of a policy reads there.",
    )
    job: str | None = Field(
        default=None, description="The Job that restores it.", max_length=NAME_MAX
    )
    safety: str | None = Field(
        default=None, description="The point that was made of what was there.", max_length=64
    )
    verified: str | None = Field(
        default=None, description="What the verification found.", max_length=1024
    )
    failed: str | None = Field(
        default=None, description="Why it can never be restored any more.", max_length=4096
    )


class PassedOver(Model):
    """One value of spec.acknowledge that was used."""

    word: str = Field(description="The word.", max_length=63)
    message: str = Field(description="What was passed over.", max_length=1024)


class RestoreStatus(Model):
    """Status of a RestoreRequest."""

    phase: RestorePhase = Field(default=RestorePhase.PENDING, description="Where it is.")
    message: str | None = Field(
        default=None, description="Why it is there, in words.", max_length=4096
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: the restore is complete and verified.",
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that this status speaks of."
    )
    backup: str | None = Field(
        default=None, description="The Backup that the data is from.", max_length=NAME_MAX
    )
    started_at: Time | None = Field(default=None, description="When the restore started.")
    completed_at: Time | None = Field(default=None, description="When the restore ended.")
    items: tuple[RestoreItem, ...] = Field(
        default=(),
        description="What is restored, in the order of spec: one for each claim, or the directory.",
        max_length=16,
    )
    acknowledged: tuple[PassedOver, ...] = Field(
        default=(),
        description="The values of spec.acknowledge that were used, and for what.",
        max_length=len(MEANINGS),
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["word"]},
    )
    into: str | None = Field(
        default=None,
        description="Where the items go, for printing, such as `data-restored +2`: a column shows "
        "only the first item of a list.",
        max_length=SERIES_MAX,
    )
