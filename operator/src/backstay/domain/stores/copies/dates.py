"""When a copy was made: what its node's clock says, against what others know.

A node whose clock is ahead would make a point that stays the newest for years, one whose clock is
behind a point that looks long outdated. So the operator says with each Job when it asked for it,
until when its first Pod starts, and until when the last can. A clock is believed only between the
first two: later Pods are rare, and what they copy is dated a little too early then. Invariants: a
clock that says what cannot be is named in the point; no copy is refused because of a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backstay.domain.errors import DataError
from backstay.domain.times import parse_time

SLACK: Final = timedelta(seconds=60)
"""How far clocks may be apart, as for that of the operator and the API server's."""
LONGEST_WAIT: Final = timedelta(days=7)
"""From the slot of a run to its copy, for points that were made before Jobs said when they run."""


@dataclass(frozen=True, slots=True)
class Expected:
    """When a Job runs, by the operator's word. All aware."""

    after: datetime
    """When it was asked for."""
    before: datetime
    """When its first Pod has started, or is given up."""
    until: datetime
    """When all its Pods have ended."""


@dataclass(frozen=True, slots=True)
class Made:
    """When a point was made, and what is wrong with the clock that was asked, "" if nothing is."""

    moment: datetime
    clock: str = ""


def made_at(node: str, said: datetime, expected: Expected | None, newest: datetime | None) -> Made:
    """Given a node's name, what its clock says, when the operator expects the Job to run (None:
    nobody says) and when the newest point was made, return when this one is made.

    The node is believed where it can be right; else the operator, unless the newest point proves
    that its clock is behind, too, while the node's is not.
    """
    if expected is None or expected.after - SLACK <= said <= expected.before + SLACK:
        return Made(said)
    if expected.before < said <= expected.until + SLACK:
        return Made(expected.after)
    reported = (
        f"the clock of node {node} says {_short(said)}; by the operator's the copy is made between "
        f"{_short(expected.after)} and {_short(expected.until)}"
    )
    behind = newest is not None and expected.after + SLACK < newest <= said + SLACK
    return Made(said if behind else expected.after, reported)


def believed(taken: datetime, record: Mapping[str, Any]) -> datetime:
    """Given what a node's clock said when a point was made, unchecked, and the point's record,
    return when it was made: the slot of its run where the clock cannot have been right.
    """
    try:
        slot = parse_time(str(record.get("slot", "")))
        return taken if slot - SLACK <= taken <= slot + LONGEST_WAIT else slot
    except (DataError, OverflowError):
        return taken


def _short(at: datetime) -> str:
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
