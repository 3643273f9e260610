"""What the status of a Backup says of one dump."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from backstay.api.common import Model, Time
from backstay.api.shapes import NAME_MAX

POSITION_MAX: Final = 1024
"""Characters of a dump's position. A longer one is left out, and stands beside the dump only."""
SERVER_MAX: Final = 128
"""Characters of a server's identity. A longer one is left out."""
NOTES_MAX: Final = 16
"""Notes of one dump. More are left out."""
NOTE_MAX: Final = 512
"""Characters of a note. A longer one is shortened."""
VERSION_MAX: Final = 128
"""Characters of a version. A longer one is shortened: MySQL forks say much beside the number."""
VersionText = Annotated[str, Field(max_length=VERSION_MAX)]
NoteText = Annotated[str, Field(max_length=NOTE_MAX)]


class DumpState(StrEnum):
    """Where a dump of the current attempt is."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class DumpStatus(Model):
    """One dump of the run."""

    name: str = Field(description="Name of the dump in the policy.", max_length=63)
    attempt: int = Field(ge=1, description="Attempt that this speaks of.")
    state: DumpState = Field(description="Running, Done or Failed.")
    engine: str = Field(description="The engine, such as postgres.", max_length=32)
    pod: str = Field(description="The pod that it runs in.", max_length=NAME_MAX)
    pod_uid: str = Field(description="Its uid.", max_length=64)
    container: str = Field(description="The container.", max_length=63)
    container_id: str = Field(
        description="The container's id: in another container the attempt is over.", max_length=256
    )
    claim: str = Field(description="The claim that the file lies on.", max_length=NAME_MAX)
    path: str = Field(description="Path of the file inside the claim.", max_length=2048)
    file: str = Field(description="Path of the file inside the container.", max_length=1024)
    started_at: Time = Field(description="When the dump was first started.")
    bytes: int | None = Field(
        default=None, ge=0, description="Size of the dump; while it runs, what is written so far."
    )
    progress_at: Time | None = Field(
        default=None, description="When bytes was last written while the dump ran."
    )
    sha256: str | None = Field(default=None, description="Checksum of the dump.", max_length=64)
    seconds: int | None = Field(default=None, ge=0, description="How long the dump took.")
    versions: dict[str, VersionText] | None = Field(
        default=None, description="Versions of server and tool.", max_length=8
    )
    format: str | None = Field(
        default=None,
        description="What the file is once it is decompressed, such as custom, sql or rdb.",
        max_length=32,
    )
    compression: str | None = Field(
        default=None,
        description="What the file as a whole is compressed by: zstd, gzip or none.",
        max_length=32,
    )
    compressed: bool | None = Field(
        default=None,
        description="Whether the dump was compressed, inside the file or as a whole. Sizes are "
        "compared only of dumps that are alike in this and in format.",
    )
    position: str | None = Field(
        default=None,
        description="Where in the server's log of changes the dump stands, if that is known, such "
        f"as a binary log's file, position and GTID. One of more than {POSITION_MAX} characters "
        "stands in FILE.json only.",
        max_length=POSITION_MAX,
    )
    server: str | None = Field(
        default=None,
        description="What the server says that it is, where it says anything that stays: "
        "PostgreSQL's system identifier, MySQL's server_uuid. MariaDB, MongoDB and Redis have "
        "none.",
        max_length=SERVER_MAX,
    )
    notes: tuple[NoteText, ...] = Field(
        default=(),
        description="What the server has and the dump has not, and what its tool warned of.",
        max_length=NOTES_MAX,
    )
    uid: int | None = Field(default=None, ge=0, description="Owner of the file.")
    gid: int | None = Field(default=None, ge=0, description="Group of the file.")
    message: str | None = Field(
        default=None, description="Last output of the tool when it failed.", max_length=4096
    )
