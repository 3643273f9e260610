"""What the status of a BackupRepository says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backstay.api.common import CONDITIONS_MAX, Condition, Model, Time
from backstay.api.shapes import NAME_MAX

ID_MAX = 64
LOCKS_MAX = 32
OTHERS_MAX = 64
LEFTOVERS_MAX = 100
RepositoryID = Annotated[str, Field(max_length=ID_MAX)]


class LockStatus(Model):
    """A lock of restic in a repository."""

    id: str = Field(description="Its ID.", max_length=ID_MAX)
    host: str = Field(
        default="",
        description="The host name that it was taken by: of a Pod of ours, or of somebody else.",
        max_length=NAME_MAX,
    )
    pid: int | None = Field(default=None, ge=0, le=2**31 - 1, description="The process there.")
    exclusive: bool = Field(default=False, description="Whether nobody else may work beside it.")
    time: str | None = Field(
        default=None,
        description="When it was last refreshed, by the clock of that host.",
        max_length=64,
    )


class OthersStatus(Model):
    """Snapshots in a repository that are of one host and path, and not ours."""

    host: str = Field(description="Their host, as restic names it.", max_length=NAME_MAX)
    path: str = Field(description="Their path; of several the first.", max_length=1024)
    snapshots: int = Field(ge=1, description="How many there are.")
    newest: str = Field(description="The ID of the newest one.", max_length=ID_MAX)
    taken: Time = Field(description="When that was taken.")


class RepositoryStatus(Model):
    """Status of a BackupRepository."""

    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: backups and restores can use it. Listed: what is in it, and which "
        "records there do not count. Checked: the last check found it whole. Maintained: what "
        "retention gave up was forgotten, and the space reclaimed. Locked: a lock of somebody else "
        "is waited for, and whose.",
        max_length=CONDITIONS_MAX,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The metadata.generation that this status speaks of."
    )
    id: RepositoryID | None = Field(
        default=None,
        description="The repository's ID, as it was first seen. One with another ID is not used.",
    )
    format: int | None = Field(default=None, ge=1, description="The version of its format.")
    restic: str | None = Field(
        default=None, description="The restic that opened it last.", max_length=64
    )
    opened_at: Time | None = Field(default=None, description="When it was last opened.")
    listed_at: Time | None = Field(default=None, description="When its snapshots were last read.")
    snapshots: int | None = Field(default=None, ge=0, description="Snapshots in it, of whatever.")
    points: int | None = Field(default=None, ge=0, description="Points in it: data with a record.")
    foreign: int | None = Field(
        default=None, ge=0, description="Snapshots of others in it, which are never touched."
    )
    others: tuple[OthersStatus, ...] = Field(
        default=(),
        description="These by host and path, those with the newest snapshot first: a "
        "RestoreRequest chooses among them by spec.from.repository.",
        max_length=OTHERS_MAX,
    )
    leftovers: tuple[RepositoryID, ...] = Field(
        default=(),
        description="Data of this namespace without a record, over a week old: of uploads that "
        "failed or were killed. The next maintenance forgets it.",
        max_length=LEFTOVERS_MAX,
    )
    bytes: int | None = Field(default=None, ge=0, description="Its size, where that is known.")
    checked_at: Time | None = Field(default=None, description="When a check last found it whole.")
    check_part: int = Field(default=0, ge=0, description="The part of the data that was read last.")
    pruned_at: Time | None = Field(default=None, description="When space was last reclaimed.")
    maintained_at: Time | None = Field(
        default=None, description="When maintenance last ended, whatever came of it."
    )
    obeyed: dict[str, Annotated[str, Field(max_length=253)]] = Field(
        default_factory=dict,
        description="The values of the annotations backstay.dev/check, backstay.dev/prune, "
        "backstay.dev/list and backstay.dev/rebuild that were last obeyed, by check, prune, list "
        "and rebuild.",
        max_length=8,
    )
    locks: tuple[LockStatus, ...] = Field(
        default=(),
        description="The locks that were in it when a Job of its own last looked.",
        max_length=LOCKS_MAX,
    )
    retry_at: dict[str, Time] = Field(
        default_factory=dict,
        description="When what failed is tried again, by List and Maintain.",
        max_length=4,
    )
    last_unlocked: str | None = Field(
        default=None, description="The value of spec.unlock that was last obeyed.", max_length=253
    )
    jobs: int = Field(
        default=0, ge=0, description="Jobs that were decided on for it so far; runs have their own."
    )
    job: str | None = Field(
        default=None, description="The one of these that works on it now.", max_length=NAME_MAX
    )
    work: str | None = Field(
        default=None,
        description="What that Job does: Open, List or Maintain. While it maintains, no mover is "
        "started.",
        max_length=32,
    )
    work_began: Time | None = Field(default=None, description="When that was decided.")
    tried_at: Time | None = Field(
        default=None, description="When it was last found out whether it can be opened."
    )
