"""Whose data a point holds: one source, or another one that came under its name.

A claim that is deleted and made again, empty, has its old name and another uid. Its points must
not push out those of the volume before. So the points of a series are split into incarnations,
oldest first: a point goes on with the one whose claim uid or volume it shares, or which a restore
of ours or a person says that it continues; else it begins a new one. So does one whose dump is of
another server than the last dump of that name.

Invariants: a point that does not say what it is of (of another tool, or older than the record)
begins none and is of the source of the point before it; the order of the input does not matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Origin:
    """What a point says of its source. The default: nothing."""

    ids: tuple[str, ...] = ()
    """The uid of the claim first, then the volume: each of them alone is proof."""
    continues: str = ""
    """The uid of the claim whose data a restore brought into this one."""
    servers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    """By the name of a dump: the identity of the database server, where it has one."""


@dataclass(slots=True)
class _Incarnation:
    number: int
    ids: set[str]
    servers: dict[str, str]

    def has(self, origin: Origin) -> bool:
        return not self.ids.isdisjoint((*origin.ids, origin.continues))

    def differs(self, origin: Origin, accepted: Collection[str]) -> bool:
        return any(
            self.servers.get(dump, server) != server and server not in accepted
            for dump, server in origin.servers.items()
        )

    def take(self, origin: Origin) -> None:
        self.ids.update(origin.ids)
        self.servers.update(origin.servers)


def incarnations(
    origins: Sequence[tuple[tuple[datetime, str], Origin]], accepted: Collection[str] = ()
) -> list[int]:
    """Given the place in its series and the origin of each point of one series, and the ids that
    a person accepts as going on with it, return the number of each one's incarnation, from 0.
    """
    found = [0] * len(origins)
    known: list[_Incarnation] = []
    last = 0
    for index in sorted(range(len(origins)), key=lambda i: origins[i][0]):
        origin = origins[index][1]
        if not origin.ids:
            # Not the one that began last: a restore may have gone on with one before that.
            found[index] = last
            continue
        here = next((k for k in reversed(known) if k.has(origin)), None)
        if here is None and known and not set(accepted).isdisjoint(origin.ids):
            here = known[-1]
        if here is None or here.differs(origin, accepted):
            here = _Incarnation(len(known), set(), {})
            known.append(here)
        here.take(origin)
        found[index] = last = here.number
    return found
