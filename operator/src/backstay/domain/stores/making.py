"""What a look at the cluster found of a point that a Job makes."""

from __future__ import annotations

from dataclasses import dataclass, field

from backstay.api.point import PointStatus
from backstay.api.progress import Progress
from backstay.domain.jobs import JobSeen
from backstay.domain.stores.temporary import Temporary


@dataclass(frozen=True, slots=True)
class Making:
    """One look at the point of a store that is next or under way."""

    job: JobSeen = field(default_factory=JobSeen)
    waits: bool = False
    """What its Job needs is not ready or not known yet: no Job is made for now."""
    busy: str = ""
    """In words: what keeps its Job from being made while others have their turn."""
    problem: str = ""
    """Why it can never be made as it is planned."""
    result: PointStatus | None = None
    """What its Job says that it made."""
    lost: bool = False
    """Its Job is done, but nobody can read any more what it said: asking again costs nothing."""
    temporary: Temporary | None = None
    """The temporary claim that it is made of, where there is no Job yet."""
    progress: Progress | None = None
    """How far it has come, if that was looked at."""
    message: str = ""
    """What it waits for, or why it failed."""
