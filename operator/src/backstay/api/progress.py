"""How far what moves data for long has come."""

from __future__ import annotations

from pydantic import Field

from backstay.api.common import Model, Time


class Progress(Model):
    """How much of the data was moved by now."""

    bytes: int = Field(ge=0, description="Bytes that were read and are stored.")
    of: int | None = Field(
        default=None, ge=0, description="Of so many bytes, as far as that is known by now."
    )
    seconds: int = Field(ge=0, description="After so many seconds of work.")
    rate: int | None = Field(
        default=None, ge=0, description="Bytes a second since the last look, or from the beginning."
    )
    at: Time = Field(description="When it was looked at.")
