"""What a look at the cluster found of the copy of a run that is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from backstay.api.point import PointStatus
from backstay.domain.jobs import JobSeen
from backstay.domain.stores.copies.temporary import Temporary


@dataclass(frozen=True, slots=True)
class CopySeen:
    """One look at the copy that is next or under way."""

    job: JobSeen = field(default_factory=JobSeen)
    waits: bool = False
    """Its node is not ready or not known yet: no Job is made for now."""
    problem: str = ""
    """Why it can never be made as it is planned."""
    result: PointStatus | None = None
    """What its Job says that it published."""
    lost: bool = False
    """Its Job is done, but nobody can read any more what it said: asking again costs nothing."""
    temporary: Temporary | None = None
    """The temporary claim that it is made of, where there is no Job yet."""
    message: str = ""
    """What it waits for, or why it failed."""
