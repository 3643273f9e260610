"""What the status of a BackupPolicy says."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from backstay.api.common import CONDITIONS_MAX, Condition, Model, Time
from backstay.api.rolling import SERIES_MAX
from backstay.api.rolling_status import CopiesStatus
from backstay.api.schedule import MISSED_MAX, EarlyRuns, MissedSlots
from backstay.api.shapes import NAME_MAX
from backstay.api.source import CLAIMS_MAX
from backstay.api.store import StoreName

SHOWN_MAX: Final = CLAIMS_MAX
"""Series that a status shows. There may be more: claims come and go, their points stay."""


TOKEN_MAX: Final = 253
"""Characters of the annotation that asks for a run."""


class SeriesStatus(Model):
    """What one store keeps of one source."""

    source: str = Field(
        description="The source: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    store: StoreName = Field(description="Where it is kept: Snapshot or Rolling.")
    good: int = Field(ge=0, description="Good points that exist.")
    newest: Time | None = Field(default=None, description="When the newest good point was taken.")


class ManualRun(Model):
    """A run that a person asked for."""

    token: str = Field(
        description="The value of the annotation backstay.dev/run that asked for it.",
        max_length=TOKEN_MAX,
    )
    backup: str = Field(description="The Backup that was made for it.", max_length=NAME_MAX)


class PolicyStatus(Model):
    """Status of a BackupPolicy."""

    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: the policy is valid and its runs can start. RetentionHeld: nothing is "
        "marked or swept for now, and why. Shrunk: a dump is under half of the one before, and "
        "nothing of that claim is marked or swept. Rot: files of rolling copies are not as they "
        "were copied. CopiesMissing: rolling copies were not found at their destination, and "
        "nothing of that directory is marked or swept. Adopted: whether the snapshots that "
        "spec.adopt speaks of are taken over. OffsiteFresh: whether what runs were to copy into "
        "the repository is there within repository.lateAfter.",
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that this status speaks of."
    )
    last_slot: Time | None = Field(
        default=None,
        description="Newest slot of the schedule that has its Backup or was missed.",
    )
    schedule: str | None = Field(
        default=None,
        description="The schedule and zone that were seen last: when they change, no slot before "
        "the change runs.",
        max_length=256,
    )
    resumed_at: Time | None = Field(
        default=None,
        description="When the policy was last unsuspended or its schedule changed: no slot before "
        "it runs.",
    )
    suspended: bool = Field(default=False, description="Whether suspend was seen set.")
    next_run: str | None = Field(
        default=None,
        description="When the next run starts, in the policy's zone, jitter and blackouts "
        "included. A time that is past: it waits for the run before it.",
        max_length=64,
    )
    missed: tuple[MissedSlots, ...] = Field(
        default=(),
        description="What the schedule asked for and did not get, oldest first; the newest "
        "entries. Slots of a suspended policy are not missed.",
        max_length=MISSED_MAX,
    )
    early: EarlyRuns | None = Field(
        default=None,
        description="Slots that have run before their time, by a clock that was ahead.",
    )
    last_run: Time | None = Field(default=None, description="When the newest run started.")
    last_success: Time | None = Field(
        default=None,
        description="When the newest run that was Completed took its points; series reports each "
        "claim or directory.",
    )
    rebuilt_at: Time | None = Field(
        default=None, description="When the records were last recreated from the artifacts."
    )
    manual: ManualRun | None = Field(
        default=None,
        description="The last run that was asked for by the annotation backstay.dev/run: none is "
        "made again for the same value.",
    )
    last_manual_run: str | None = Field(
        default=None,
        description="The value of the annotation backstay.dev/run whose run was Completed last.",
        max_length=TOKEN_MAX,
    )
    good: int = Field(default=0, ge=0, description="Good points of all series.")
    series: tuple[SeriesStatus, ...] = Field(
        default=(),
        description=f"What exists of each claim; of more than {SHOWN_MAX}, those with the newest "
        "points. What is not shown is kept and counted in good all the same.",
        max_length=SHOWN_MAX,
    )
    copies: tuple[CopiesStatus, ...] = Field(
        default=(),
        description="When the rolling copies of each directory were looked at, and what was found; "
        f"of more than {SHOWN_MAX}, those that the policy names and those copied last: the others "
        "are not listed, scrubbed or pruned.",
        max_length=SHOWN_MAX,
    )
