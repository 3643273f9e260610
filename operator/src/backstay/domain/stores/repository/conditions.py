"""What a policy says of its points in repositories: conditions that a person acts on.

Invariant: each condition says what is wrong, with which source, and what ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backstay.api.common import format_time
from backstay.domain.objects import Obj
from backstay.domain.retention import brakes, missing, replaced, shrinkage
from backstay.domain.retention.brakes import Brake, Held, first
from backstay.domain.retention.claims import Stopped
from backstay.domain.retention.findings import Finding, place_of
from backstay.domain.retention.future import Ahead
from backstay.domain.stores.repository.kept import Kept

CONDITIONS: Final = frozenset(
    {brakes.CONDITION, shrinkage.CONDITION, replaced.CONDITION, missing.POINTS_MISSING}
)
"""The conditions that points in repositories have something to say under."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pass has found."""

    stopped: Stopped
    braked: Sequence[tuple[Kept, Brake]]
    """Of which something would go, if it were not for its repository."""
    lost: Sequence[tuple[Held, str]]
    accepted: Mapping[str, datetime]
    clock: Brake | None


def findings_of(policy: Obj, facts: Facts) -> Sequence[Finding]:
    """Given a policy and what was found, return what its conditions are to say."""
    place, stopped = place_of(policy), facts.stopped
    held = (
        facts.clock
        or _ahead(stopped.ahead)
        or _by_repository(facts.braked)
        or brakes.mass_mark(stopped.held, *place)
    )
    small = shrinkage.report(stopped.shrunk, facts.accepted, *place)
    other = replaced.report(stopped.replaced, policy, carriers="Backups")
    lost = missing.missing_stored(facts.lost, *place)
    return (
        Finding(brakes.CONDITION, held, brakes.NOT_HELD),
        Finding(shrinkage.CONDITION, small, shrinkage.NOT_SHRUNK),
        Finding(replaced.CONDITION, other, replaced.NOT_REPLACED),
        Finding(missing.POINTS_MISSING, lost, missing.NO_POINT_MISSING),
    )


def _ahead(found: Sequence[Ahead]) -> Brake | None:
    """Which points say a time of the future. Nobody can correct what was stored of them."""
    if not found:
        return None
    named = [f"claim {a.claim}: point {a.name} names {format_time(a.at)}" for a in found]
    return Brake(
        "FuturePoint",
        f"{first(named, 'claims')}, which is in the future: nothing of that is marked or forgotten "
        "until then. Check the time of the nodes; if a clock was ahead when the point was made, "
        "and it is not needed, delete its Backup and forget its snapshots with restic",
    )


def _by_repository(braked: Sequence[tuple[Kept, Brake]]) -> Brake | None:
    """What repositories hold, each reason once, with the sources that it concerns."""
    if not braked:
        return None
    sources: dict[Brake, list[str]] = {}
    for kept, brake in braked:
        sources.setdefault(brake, []).append(kept.source)
    named = [f"{b.message}; that keeps points of {first(s, 'claims')}" for b, s in sources.items()]
    return Brake(next(iter(sources)).reason, first(named, "repositories"))
