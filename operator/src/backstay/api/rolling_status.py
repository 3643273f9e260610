"""What is known of rolling copies: of one that was made, and of the last look at a destination."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backstay.api.common import Model, Time
from backstay.api.rolling import SERIES_MAX

LabelText = Annotated[str, Field(max_length=253)]
IdentityText = Annotated[str, Field(max_length=200)]
NoteText = Annotated[str, Field(max_length=1024)]


class CopiesStatus(Model):
    """The rolling copies of one directory, as they were found at their destination."""

    source: str = Field(
        description="The source: a claim, CLAIM/PATH, or NODE:PATH.", max_length=SERIES_MAX
    )
    listed_at: Time | None = Field(
        default=None, description="When its points were last read at the destination."
    )
    scrubbed_at: Time | None = Field(
        default=None, description="When a part of the copies was last read again."
    )
    stale: bool = Field(
        default=False,
        description="Whether a point was found to be another than the records say: they are "
        "listed again.",
    )
    read_only: bool = Field(
        default=False,
        description="Whether the destination was mounted read-only when it was last looked at. "
        "What is there can be restored, also without being held; nothing is changed or removed.",
    )
    rot: int = Field(
        default=0,
        ge=0,
        description="Files of the copies that were found changed when they were last read again.",
    )
    rot_parts_left: int = Field(
        default=0,
        ge=0,
        description="Parts that are read until those files come again; only then the finding "
        "can end.",
    )
    rot_message: str | None = Field(
        default=None, description="What was found changed.", max_length=1024
    )
    message: str | None = Field(
        default=None, description="What the last look said, if it failed.", max_length=1024
    )


class CopyStatus(Model):
    """What a point has that is a rolling copy. The point itself carries it, at its destination."""

    uid: str = Field(description="Its uid.", max_length=64)
    version: str = Field(
        description="Digest of the point as it was seen last: it is changed only if it is still "
        "that.",
        max_length=128,
    )
    tree: str = Field(default="", description="The tree that it names.", max_length=256)
    seq: int = Field(
        default=0, ge=0, description="Its number in the order of making at its destination."
    )
    identity: tuple[IdentityText, ...] = Field(
        default=(),
        description="What its source was. A copy that shares none of these with the one before "
        "is of another disk, directory or claim.",
        max_length=8,
    )
    clock: str | None = Field(
        default=None,
        description="What was wrong with the clock of the node that made it.",
        max_length=512,
    )
    labels: dict[str, LabelText] = Field(
        default_factory=dict, description="Its labels as they were seen last.", max_length=64
    )
    annotations: dict[str, NoteText] = Field(
        default_factory=dict, description="Its annotations as they were seen last.", max_length=32
    )
    files: int | None = Field(default=None, ge=0, description="Entries of the copy.")
    new_bytes: int | None = Field(
        default=None, ge=0, description="Bytes that were copied because they had changed."
    )
    seconds: int | None = Field(default=None, ge=0, description="How long the copy took.")
    gone: bool = Field(default=False, description="Whether it was removed from its destination.")
    missing: bool = Field(
        default=False,
        description="Whether the last list did not find it, with so many others that it is not "
        "taken for gone: the condition CopiesMissing of the policy says what to do.",
    )
    unreadable: int = Field(
        default=0,
        ge=0,
        description="Entries of the source that could not be read and are missing in the copy: "
        "the message of the point names some.",
    )
    rotten: int = Field(
        default=0,
        ge=0,
        description="Files of the copy that are known not to be what was copied. The next copy "
        "copied them again; of this one they are restored only from another.",
    )
    note: str | None = Field(
        default=None,
        description="What was not as usual, such as files that vanished meanwhile.",
        max_length=1024,
    )
