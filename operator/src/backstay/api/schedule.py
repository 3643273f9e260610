"""The schedule of a BackupPolicy, and what it asked for and did not get."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

from pydantic import Field

from backstay.api.common import Duration, Model, Time
from backstay.api.shapes import Cron, ZoneName

BLACKOUTS_MAX: Final = 8
"""Blackout windows of one schedule."""

MISSED_MAX: Final = 10
"""Entries of status.missed."""


class Blackout(Model):
    """A window in which no scheduled run starts."""

    start: Cron = Field(
        description="When the window begins: five fields or a macro, read in timeZone, such as "
        "0 8 * * mon-fri."
    )
    duration: Duration = Field(
        description="How long the window lasts from there, in hours that pass: on a night when "
        "clocks change, its end is off by that hour on the wall."
    )


class Schedule(Model):
    """When runs start."""

    cron: Cron = Field(
        description="Five fields (minute hour day-of-month month day-of-week) or a macro such as "
        "@daily; read in timeZone."
    )
    time_zone: ZoneName = Field(
        default="UTC",
        description="IANA name of the zone that the schedule is read in and that decides the "
        "dates in labels, such as Europe/Vienna.",
    )
    jitter: Duration | None = Field(
        default=None,
        description="Spreads policies of one schedule: each starts its runs later by its own share "
        "of this, which is the same for every run. Left out, runs start at the time of their slot.",
    )
    starting_deadline: Duration = Field(
        default=timedelta(hours=6),
        description="How late a run may still start, counted from its slot and its share of "
        "jitter: after the operator was down, an earlier run took long, or a blackout was over. "
        "Only the newest slot within it is caught up.",
    )
    blackouts: tuple[Blackout, ...] = Field(
        default=(),
        description="Windows in which no scheduled run starts. A slot that would start in one "
        "starts at its end, and its share of jitter after that; several slots start as one run. A "
        "slot whose startingDeadline ends before is missed. A run under way goes on, and Backups "
        "that a person creates start at any time.",
        max_length=BLACKOUTS_MAX,
    )


class EarlyRuns(Model):
    """Slots that have run before their time, by a clock that was ahead."""

    seen: Time = Field(description="When that was noticed, by a clock that was set right.")
    until: Time = Field(
        description="The newest such slot within a day. A slot between the two runs again when its "
        "time comes, under another name."
    )
    times: int = Field(
        default=1,
        ge=1,
        description="How often a clock was ahead meanwhile: what runs again has other names each "
        "time.",
    )


class MissReason(StrEnum):
    """Why a slot of the schedule has no run."""

    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """Nobody started it within its starting deadline: the operator was down."""
    COALESCED = "Coalesced"
    """A newer slot was due as well when the operator came back, and one run stands for both."""
    BLACKOUT = "Blackout"
    """It fell into a window, and its deadline ended or a newer slot came before the window's end.
    """
    OVERLAP = "Overlap"
    """An earlier run was under way until its deadline ended or a newer slot came."""
    CLOCK = "Clock"
    """A clock that was wrong and was set passed over it, or gave its run to another slot."""
    EDITED = "Edited"
    """The schedule was edited, or the policy suspended, before it started."""


class MissedSlots(Model):
    """Slots that were missed in a row, for one reason."""

    reason: MissReason = Field(
        description="DeadlineExceeded: the operator was down; Coalesced: it was down, and the run "
        "of a newer slot stands for this one too; Blackout: a window lasted until the deadline or "
        "a newer slot; Overlap: an earlier run did; Clock: a clock that was wrong and was set "
        "passed over it, or gave its run to another slot; Edited: the schedule was edited, or the "
        "policy suspended, before it started."
    )
    count: int = Field(
        ge=1, description="How many; after more than 500 in one absence at least so many."
    )
    first: Time = Field(description="The oldest of them.")
    last: Time = Field(description="The newest of them.")
