"""What a policy says of its rolling copies: conditions that a person acts on.

Invariant: each condition says what is wrong, with which directory, and what ends it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from backstay.api.rolling_status import CopiesStatus
from backstay.domain.objects import Obj
from backstay.domain.retention import brakes, missing
from backstay.domain.retention.brakes import Brake, Held
from backstay.domain.retention.findings import Finding, place_of
from backstay.domain.stores.copies import incarnations
from backstay.domain.stores.copies.incarnations import Replaced

ROT: Final = "Rot"
CONDITIONS: Final = frozenset(
    {
        brakes.CONDITION,
        ROT,
        missing.COPIES_MISSING,
        incarnations.CLAIM_REPLACED,
        incarnations.SOURCE_REPLACED,
    }
)
"""The conditions that copies have something to say under."""
NO_ROT: Final = Brake("NoneFound", "every file of the copies that was read again is unchanged")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pass has found."""

    stopped: Brake | None
    """Why nothing at all is marked or swept."""
    held: Sequence[Held]
    """Series in which too many points would go at once."""
    rotten: Sequence[CopiesStatus]
    lost: Sequence[Held]
    replaced: Sequence[Replaced]
    accepted: Collection[str]
    """Set by a person: sources that go on the ones before."""


def findings_of(policy: Obj, facts: Facts) -> Sequence[Finding]:
    """Given a policy and what was found, return what its conditions are to say of its copies."""
    place = place_of(policy)
    held = facts.stopped or brakes.mass_mark(facts.held, *place)
    claims, directories = (
        incarnations.brake_of(facts.replaced, facts.accepted, *place, claims=of_claims)
        for of_claims in (True, False)
    )
    lost = missing.missing_copies(facts.lost, *place)
    return (
        Finding(brakes.CONDITION, held, brakes.NOT_HELD),
        Finding(ROT, _rot(facts.rotten), NO_ROT),
        Finding(missing.COPIES_MISSING, lost, missing.NO_COPY_MISSING),
        Finding(incarnations.CLAIM_REPLACED, claims, incarnations.SAME_CLAIMS),
        Finding(incarnations.SOURCE_REPLACED, directories, incarnations.SAME_SOURCES),
    )


def _rot(rotten: Sequence[CopiesStatus]) -> Brake | None:
    if not rotten:
        return None
    reported = "; ".join(f"{look.source}: {look.rot_message}" for look in rotten)
    ends = (
        "; the next copy recreates them from the source: run the policy now, and look at the disk."
        " This ends when the copies that have them are gone, or read right again"
    )
    said = f"files of the copies are not as they were copied: {reported}"
    return Brake("RotFound", said[: 4096 - len(ends)] + ends)
