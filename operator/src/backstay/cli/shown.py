"""What the commands about retention show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from backstay.domain.preview import Preview


@dataclass(frozen=True, slots=True)
class Shown:
    """The previews of one policy."""

    policy: str
    now: datetime
    zone: tzinfo
    lines: Sequence[Preview]
    copies: int = 0
    """How many of the lines are of rolling copies."""
