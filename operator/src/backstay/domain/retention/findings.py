"""What the stores of a policy have to say of its retention, as conditions and records show it.

Invariant: a condition has one writer, though several stores may have something to say under it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from backstay.api.common import Condition
from backstay.api.point import PointStatus
from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.brakes import Brake, with_brake
from backstay.domain.retention.points import Point, Rules

MESSAGE_MAX: Final = 4096
"""Characters of a condition's message, as the CRD has it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition of one store: what is wrong (None: nothing), and what is said otherwise."""

    kind: str
    brake: Brake | None
    otherwise: Brake


@dataclass(frozen=True, slots=True)
class Findings:
    """What a pass over one store of a policy has found."""

    conditions: Sequence[Finding] = ()
    points: Mapping[str, tuple[Point, str]] = field(default_factory=dict)
    """By artifact: the points that are there, and how long they are kept."""
    alive: frozenset[str] = frozenset()
    """uids of the runs that have an artifact in the store."""
    noted: Mapping[str, Sequence[PointStatus]] = field(default_factory=dict)
    """By uid of a run: the points of it that are to be shown otherwise."""
    unsettled: frozenset[str] = frozenset()
    """uids of the runs with a point that is not gone as it should be."""


class Item(Protocol):
    """What one point needs."""

    @property
    def name(self) -> str:
        """The point's."""
        ...

    @property
    def patches(self) -> bool:
        """Whether what the point carries is to be changed."""
        ...

    @property
    def acts(self) -> bool:
        """Whether anything is to be done: it is changed, or removed."""
        ...

    @property
    def due(self) -> bool:
        """Whether its removal follows, or goes on: another pass has to come soon."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at one store of a policy has come to."""

    findings: Findings
    rules: Rules | None
    """How long its points are kept; None: the policy is gone."""
    items: Sequence[Item] = ()
    """What the pass is to do. What is done by Jobs is not among it."""
    wait: timedelta | None = None
    """When to look again at what is on its way out."""


def conditions_of(
    policy: Obj | None,
    before: tuple[Condition, ...],
    findings: Sequence[Findings],
    now: datetime,
) -> tuple[Condition, ...] | None:
    """Given a policy, its conditions, what each of its stores has found and now, return what its
    conditions are to be; None where they are so, or where the policy is gone.
    """
    if policy is None:
        return None
    by_kind: dict[str, list[Finding]] = {}
    for finding in (f for found in findings for f in found.conditions):
        by_kind.setdefault(finding.kind, []).append(finding)
    generation = int(dig(policy, "metadata", "generation", default=0))
    after = before
    for kind, found in by_kind.items():
        brake, otherwise = _joined(found), found[0].otherwise
        after = with_brake(after, kind, brake, otherwise, generation=generation, now=now)
    return after if after != before else None


def place_of(policy: Obj) -> tuple[str, str]:
    """Given a policy, return its namespace and name, as commands in messages have them."""
    return objects.namespace(policy), objects.name(policy)


def _joined(found: Sequence[Finding]) -> Brake | None:
    """What several stores say under one condition; what they say alike (of our clock) once."""
    brakes = list(dict.fromkeys(f.brake for f in found if f.brake is not None))
    if len(brakes) < 2:
        return brakes[0] if brakes else None
    message = "; and ".join(brake.message for brake in brakes)
    return Brake(brakes[0].reason, message[:MESSAGE_MAX])
