"""Points that name a time of the future: that time, or our clock, is wrong.

Such a point would be the newest one for as long, and keep what it should not, or mark what it
should keep. So nothing of its claim is marked or swept until then, or until a person corrects it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backstay.api.common import format_time
from backstay.domain import labels
from backstay.domain.clock_skew import CLOCK_SLACK
from backstay.domain.retention.brakes import Brake, first
from backstay.domain.retention.points import Point
from backstay.domain.retention.reasons import Reason


@dataclass(frozen=True, slots=True)
class Ahead:
    """A point that says a time of the future: it, or our clock, is wrong."""

    claim: str
    name: str
    at: datetime

    @property
    def freezes(self) -> str:
        """Say why nothing of the claim is marked or swept."""
        return Reason.OF_THE_FUTURE.format(name=self.name)


def ahead(points: Sequence[Point], now: datetime) -> Ahead | None:
    """Given the points of one claim and now, return the newest one of which a time lies in the
    future, None if there is none.
    """
    latest = now + CLOCK_SLACK
    found = [
        (at, point)
        for point in points
        for at in (point.taken, point.good_since, point.marked)
        if at is not None and at > latest and not point.deleting
    ]
    if not found:
        return None
    at, point = max(found, key=lambda item: (item[0], item[1].name))
    return Ahead(point.claim, point.name, at)


def report(found: Sequence[Ahead], namespace: str) -> Brake | None:
    """Given the points of a policy that say a time of the future, one a claim, return the
    brake, None if there are none.
    """
    if not found:
        return None
    named = [f"claim {a.claim}: point {a.name} names {format_time(a.at)}" for a in found]
    return Brake(
        "FuturePoint",
        f"{first(named, 'claims')}, which is in the future: nothing of that is marked or swept "
        "until then. Check the time of the nodes; if a clock was ahead when the point was made, "
        f"correct it: kubectl annotate volumesnapshot {found[0].name} {labels.TAKEN_AT}=TIME "
        f"{labels.GOOD_SINCE}=TIME --overwrite -n {namespace}",
    )
