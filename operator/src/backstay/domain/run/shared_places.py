"""Where restores write and runs read: two restores never share a place, and no run reads one that a
restore writes to.

Invariant: a restore takes its turn by one write of status.items[].startedAt, made after a look at
everybody else's and before anything is done; there is one such look at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backstay.api.plan import RunPlan
from backstay.domain.sources.allowed_paths import is_within


@dataclass(frozen=True, slots=True)
class Place:
    """A directory of a node, or in a claim."""

    namespace: str
    """Of a claim; "" of a node."""
    holder: str
    """The claim or the node."""
    path: str
    """From the root of either, beginning with a slash."""

    def overlaps(self, other: Place) -> bool:
        """Whether one of the two is within the other."""
        if (self.namespace, self.holder) != (other.namespace, other.holder):
            return False
        return is_within(self.path, other.path) or is_within(other.path, self.path)


def in_claim(namespace: str, claim: str, path: str = "") -> Place:
    """Given a claim's address and a path in it, return the place."""
    return Place(namespace, claim, "/" + path.strip("/"))


def on_node(node: str, path: str) -> Place:
    """Given a node and a directory of it, return the place."""
    return Place("", node, path)


def places_of(namespace: str, plan: RunPlan | None) -> list[Place]:
    """Given a run's namespace and plan, return what it reads, as far as that is known: the target
    of a dump has claims, but which is not in its plan.
    """
    if plan is None:
        return []
    found = [in_claim(namespace, claim.name) for claim in plan.claims]
    copies = plan.rolling.copies if plan.rolling else ()
    uploads = plan.repository.copies if plan.repository else ()
    for copy in (*copies, *uploads):
        if copy.node is not None:
            found.append(on_node(copy.node, copy.path))
        elif copy.claim is not None:
            found.append(in_claim(namespace, copy.claim, copy.path))
    return found


@dataclass(frozen=True, slots=True)
class Taken:
    """A place that somebody writes to or reads."""

    kind: str
    namespace: str
    name: str
    place: Place

    def wording_for(self, namespace: str) -> str:
        """Who it is, for somebody of a namespace: a tenant is not to learn the names of others."""
        own = self.namespace == namespace
        return f"{self.kind} {self.name}" if own else f"a {self.kind} of another namespace"


def in_the_way(namespace: str, place: Place, taken: Iterable[Taken]) -> str:
    """Given who asks, a place and what others have, return whom to wait for, "" for nobody."""
    found = sorted({t.wording_for(namespace) for t in taken if t.place.overlaps(place)})
    return ", ".join(found[:3])


def waits_for_restores(namespace: str, places: Sequence[Place], taken: Sequence[Taken]) -> str:
    """Given a run's namespace, what it reads and where restores write, return what it waits for."""
    found = sorted({who for place in places if (who := in_the_way(namespace, place, taken))})
    return f"waiting for the restore into what it reads: {', '.join(found[:3])}" if found else ""
